"""Step scaling against the example and the rules of AWS' documentation."""

import pytest

from services.manager import scalers
from services.manager.scalers import Observation, ReplicaLoad


def threshold(**options):
    return scalers.create("threshold", options)


def seen(current, per_cent, ready=None):
    loads = [ReplicaLoad(f"r{n}", None, 1, n < (current if ready is None else ready)) for n in range(current)]
    rotating = sum(load.ready for load in loads)
    return Observation(loads, current, None if per_cent is None else per_cent / 100 * rotating)


def course(scaler, points, current=10, *, period_s=60.0):
    """The numbers, a value of the metric a period, all of which warm up at once."""
    scaler.decide(seen(current, None), 0.0)
    numbers = []
    for number, point in enumerate(points, 1):
        current = int(scaler.decide(seen(current, point), number * period_s))
        numbers.append(current)
    return numbers


def test_the_documentations_example_comes_out():
    # Ten; nothing between 40 and 60; 60: 10 % of ten; 70: 30 % of 11, 3.3; 40: 10 % of 14, 1.4; 30: 30 % of 13, 3.9.
    assert course(threshold(warmup_s=0.0), [59, 41, 60, 70, 40, 30]) == [10, 10, 11, 14, 13, 10]


@pytest.mark.parametrize(
    ("change", "capacity", "number"),
    [(12.7, 100, 112), (6.7, 10, 11), (-6.7, 10, 9), (-66.7, 10, 4), (25.0, 4, 5), (50.0, 0, 0)],
)
def test_changes_in_per_cent_are_rounded_as_documented(change, capacity, number):
    # Above 1 down, 12.7 to 12; between 0 and 1 to 1, .67 to 1; downwards likewise, -.58 to -1, -6.67 to -6.
    step = [{"breach": 10 if change > 0 else -10, "change": change}]
    scaler = threshold(warmup_s=0.0, **({"up": step} if change > 0 else {"down": step}))
    assert course(scaler, [90 if change > 0 else 10], capacity)[0] == number if capacity else True


def test_a_change_in_per_cent_is_of_so_many_at_least():
    # 25 % of four is one; with a magnitude of two, two.
    step = [{"breach": 10, "change": 25}]
    assert course(threshold(warmup_s=0.0, up=step, min_magnitude=2), [90], 4) == [6]


def test_a_change_may_be_of_a_number_or_to_one():
    step = [{"breach": 10, "change": 5}]
    assert course(threshold(warmup_s=0.0, up=step, adjustment="ChangeInCapacity"), [90], 3) == [8]
    to_one = {"up": step, "down": [{"breach": -10, "change": 1}], "adjustment": "ExactCapacity"}
    assert course(threshold(warmup_s=0.0, **to_one), [90, 10], 3) == [5, 1]


def test_what_warms_up_is_not_added_again_and_more_is_by_the_difference():
    scaler = threshold(warmup_s=300.0)
    # 60: one more. Still 60: it is on its way. 70: 30 % of the ten that are warm, less the one.
    assert course(scaler, [60, 60, 70, 70]) == [11, 11, 13, 13]


def test_who_is_wanted_and_has_not_begun_to_start_warms_up_too():
    """Not all start at once: ten are warm, two start, and three wait for their turn."""
    scaler = threshold(warmup_s=300.0)
    scaler.decide(seen(10, None), 0.0)
    there = seen(12, 70, ready=10)
    assert scaler.decide(Observation(there.replicas, 15, there.in_flight), 60.0) == 15, "30 % of ten are on their way, not of 13"


def test_nothing_is_taken_away_while_one_warms_up():
    scaler = threshold(warmup_s=300.0)
    numbers = course(scaler, [60] + [30] * 6)
    assert numbers == [11, 11, 11, 11, 11, 11, 8], "ready at 120 s, warm from 420 s on: 30 % of 11"


def test_a_period_has_one_value_and_several_must_be_beyond_it_where_that_is_asked():
    scaler = threshold(warmup_s=0.0, up_periods=2)
    scaler.decide(seen(10, None), 0.0)
    numbers = [scaler.decide(seen(10, 90 if 60 < now <= 180 else 50), float(now)) for now in range(10, 241, 10)]
    assert [now for now, number in zip(range(10, 241, 10), numbers, strict=True) if number == 13] == [180]


def test_a_time_factor_makes_periods_shorter():
    assert course(threshold(warmup_s=0.0, time_factor=15.0), [60, 70], period_s=4.0) == [11, 14]


def test_periods_without_numbers_are_no_breach():
    scaler = threshold(warmup_s=0.0)
    scaler.decide(seen(10, None), 0.0)
    assert scaler.decide(seen(10, None), 60.0) is None
    assert scaler.decide(seen(10, 90), 120.0) == 13


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"up": []}, r"scaler\.up=\[\]: must have one step"),
        ({"down": [{"breach": 10, "change": -1}]}, r"scaler\.down\.0\.breach=10: must be between -10000 and 0"),
        ({"up": [{"breach": 10}]}, r"scaler\.up\.0=.*: must be a section with breach, change"),
        ({"adjustment": "ExactCapacity"}, r"scaler\.down\.\d\.change=-10: must be between 0 and 10000"),
        (
            {"adjustment": "ChangeInCapacity", "up": [{"breach": 10, "change": 0.5}]},
            r"scaler\.up\.0\.change=0\.5: must be a whole number where adjustment=ChangeInCapacity",
        ),
        ({"adjustment": "percent"}, r"scaler\.adjustment=percent: must be one of"),
    ],
)
def test_steps_that_make_no_sense_are_refused_by_their_key(options, words):
    with pytest.raises(ValueError, match=words):
        threshold(**options)


def test_one_that_leaves_rotation_for_a_while_does_not_warm_up_again():
    scaler = threshold(warmup_s=100.0)
    scaler.decide(seen(10, None), 0.0)
    assert scaler.decide(seen(10, 90, ready=8), 60.0) == 13, "30 % of ten: those of the first look are warm"
