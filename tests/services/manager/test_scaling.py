"""The scaler's formula against Kubernetes' documented behaviour, and the wrapper around every scaler."""

import math

import pytest

from services.manager import scalers
from services.manager.limits import Limits
from services.manager.scalers import Observation, ReplicaLoad
from services.manager.settings import ScalingSettings


def observed(*loads, slots=1):
    """Replicas with that many requests in flight; None = not seen."""
    replicas = [ReplicaLoad(f"r{n}", load, slots, load is not None) for n, load in enumerate(loads, 1)]
    return Observation(replicas, len(replicas))


def wish(*loads, target=0.5, **options):
    return scalers.create("target_tracking", {"target": target}).decide(observed(*loads, **options), 0.0)


@pytest.mark.parametrize(
    ("loads", "replicas"),
    [
        ((1.0, 1.0), 4),  # twice the target: twice the pods
        ((0.25, 0.25, 0.25, 0.25), 2),
        ((0.9, 0.9, 0.9, None), 6),  # missing counts 0 when scaling up: 4 * (2.7/4)/0.5 = 5.4
        ((0.2, 0.2, 0.2, None), 3),  # missing counts the target when scaling down: 4 * (1.1/4)/0.5 = 2.2
        ((0.52, 0.52), 2),  # within 10 %
        ((0.9, None, None, None), 4),  # the assumption would turn it round: stay
    ],
)
def test_the_horizontal_pod_autoscalers_numbers(loads, replicas):
    limits = Limits(ScalingSettings(max_replicas=64, max_up=64, max_down=64, stabilization_down_s=0))
    assert limits.decide(wish(*loads), len(loads), 100.0).desired == replicas


def test_load_is_per_slot_and_replicas_that_are_not_ready_count_as_missing():
    assert wish(1.0, 1.0, slots=2) == pytest.approx(2.0)
    starting = Observation([ReplicaLoad("r1", 1.0, 1, True), ReplicaLoad("r2", 0.0, 1, False)], 2)
    assert scalers.create("target_tracking", {"target": 0.5}).decide(starting, 0.0) == pytest.approx(2.0)


def test_nothing_seen_is_cannot_tell():
    assert wish(None, None) is None
    assert wish() is None


def limits(**settings):
    return Limits(ScalingSettings(**{"stabilization_down_s": 0.0, **settings}))


@pytest.mark.parametrize(("wish_", "current"), [(None, 3), (math.nan, 3)])
def test_cannot_tell_changes_nothing_but_bounds_hold(wish_, current):
    assert limits().decide(wish_, current, 0.0).desired == current
    assert limits(max_replicas=2).decide(wish_, current, 0.0).desired == 2


@pytest.mark.parametrize(("wish_", "desired"), [(1e9, 6), (math.inf, 6), (-5.0, 1), (0.0, 1)])
def test_no_wish_passes_the_bounds(wish_, desired):
    assert limits(max_up=64, max_down=64).decide(wish_, 3, 0.0).desired == desired


@pytest.mark.parametrize(("wish_", "desired"), [(4.39, 4), (4.41, 5), (3.61, 4), (3.59, 4), (2.99, 3)])
def test_within_the_tolerance_nothing_changes_and_beyond_it_is_the_next_whole_number_up(wish_, desired):
    assert limits(max_up=64, max_down=64).decide(wish_, 4, 0.0).desired == desired


def test_rate_limits_hold_in_both_directions():
    held = limits(max_up=2, max_down=1)
    up = held.decide(6.0, 1, 0.0)
    assert up.desired == 3 and "at most 2" in up.reason
    assert held.decide(1.0, 6, 1.0).desired == 5


def test_scaling_down_takes_the_highest_wish_of_its_window():
    held, current = limits(stabilization_down_s=5.0, max_down=64, max_up=64), 4
    for now, wish_ in enumerate((4, 1, 1, 2, 1, 1, 1, 1, 1, 1), 0):
        decision = held.decide(float(wish_), current, float(now))
        current = decision.desired
        expected = 4 if now < 6 else 2 if now < 9 else 1
        assert current == expected, (now, decision)


def test_scaling_up_takes_the_lowest_wish_of_its_window():
    held = limits(stabilization_up_s=3.0, max_up=64)
    assert [held.decide(w, 2, float(t)).desired for t, w in enumerate((2.0, 6.0, 6.0, 5.0, 6.0))] == [2, 2, 2, 2, 5]


def test_a_window_that_was_not_watched_yet_does_not_scale_down():
    assert limits(stabilization_down_s=5.0).decide(1.0, 4, 0.0).desired == 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"min_replicas": 0}, "autoscaling.min_replicas=0: must be between 1 and 64"),
        ({"min_replicas": 5, "max_replicas": 4}, "autoscaling.min_replicas=5: must not exceed max_replicas=4"),
        ({"tolerance": -0.1}, "autoscaling.tolerance=-0.1"),
    ],
)
def test_settings_out_of_bounds_are_refused_by_name(settings, words):
    with pytest.raises(ValueError, match=words):
        ScalingSettings(**settings).validate()


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan")])
def test_a_target_that_makes_no_sense_is_refused(target):
    with pytest.raises(ValueError, match=r"scaler\.target"):
        scalers.create("target_tracking", {"target": target})
