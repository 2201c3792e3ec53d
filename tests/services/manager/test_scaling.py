"""The scaler's formula against Kubernetes' documented behaviour, and the wrapper around every scaler."""

import math

import pytest

from services.manager import scalers
from services.manager.limits import Limits
from services.manager.scalers import Observation, ReplicaLoad
from services.manager.settings import ScalingSettings


def observed(*loads, slots=()):
    """Replicas with that many requests in flight; None = not in rotation. `slots` = 1 unless given."""
    each = slots or [1] * len(loads)
    replicas = [ReplicaLoad(f"r{n}", x, s, x is not None) for n, (x, s) in enumerate(zip(loads, each, strict=True), 1)]
    return Observation(replicas, len(replicas), sum(load for load in loads if load is not None))


def wish(*loads, target=0.5, slots=()):
    return scalers.create("target_tracking", {"target": target}).decide(observed(*loads, slots=slots), 0.0)


def decided(*loads, target, current=None, slots=()):
    """What becomes of it without windows and rates: the number by the formula and the tolerance."""
    free = Limits(ScalingSettings(max_replicas=64, max_up=64, max_down=64, stabilization_down_s=0))
    seen = observed(*loads, slots=slots)
    current = len(loads) if current is None else current
    asked = wish(*loads, target=target, slots=slots)
    return free.decide(asked, current, 100.0, ready=seen.ready, present=len(loads)).desired


@pytest.mark.parametrize(
    ("loads", "target", "replicas"),
    [
        ((0.3, 0.5, 0.7), 0.3, 5),  # ScaleUp
        ((None, 0.5, 0.7), 0.3, 4),  # ScaleUpUnreadyLessScale
        ((0.4, None, None), 0.3, 3),  # ScaleUpUnreadyNoScale: the assumption would turn it round
        ((0.5, 0.7), 0.3, 4),  # ScaleUpIgnoresDeletionPods: those that drain are not among them
        ((20, 10, 30), 15, 4),  # ScaleUpCM
        ((0.1, 0.3, 0.5, 0.25, 0.25), 0.5, 3),  # ScaleDown
        ((12, 12, 12, 12, 12), 20, 3),  # ScaleDownCM
        ((0.1, 0.3, 0.5, None, None), 0.5, 2),  # ScaleDownIncludeUnreadyPods
        ((0.1, None, None, None, None), 0.5, 1),  # ScaleDownExcludeUnscheduledPods
        ((20, 21, 21), 20, 3),  # ToleranceCM
    ],
)
def test_kubernetes_own_tests_of_its_autoscaler_come_out_the_same(loads, target, replicas):
    # pkg/controller/podautoscaler/replica_calculator_test.go, TestReplicaCalc...
    assert decided(*loads, target=target) == replicas


def test_the_metric_is_all_of_the_work_over_all_of_the_slots():
    # TestReplicaCalcTolerance: requests of 0.9, 1.0 and 1.1 cores, usage of 1.01, 1.03 and 1.02, target 100 %
    assert decided(1010, 1030, 1020, target=1.0, slots=(900, 1000, 1100)) == 3
    assert wish(1.0, 1.0, slots=(2, 2)) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("loads", "current", "replicas"),
    [
        ((0.5, 0.5), 4, 4),  # two of four run, exactly on target: the wish of 2 is no reason for fewer
        ((0.5, 0.5, None, None), 4, 4),
        ((0.5,) * 4, 2, 2),  # two too many that nobody wants any more
        ((0.544,) * 4, 4, 4),
        ((0.556,) * 4, 4, 5),
        ((0.456,) * 8, 8, 8),
        ((0.44,) * 8, 8, 8),  # 7.04: the next whole number up
        ((0.43,) * 8, 8, 7),
        ((1.4, 1.4, None, None), 8, 8),  # 5.6 of 8 wanted, four of which have yet to be begun: not turned round
    ],
)
def test_the_tolerance_is_on_the_metric_over_its_target(loads, current, replicas):
    assert decided(*loads, target=0.5, current=current) == replicas


def test_nothing_seen_is_cannot_tell():
    assert wish(None, None) is None
    assert wish() is None
    first = Observation([ReplicaLoad("r1", None, 1, True)], 1, None)
    assert scalers.create("target_tracking", {"target": 0.5}).decide(first, 0.0) is None


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


def test_a_fleet_that_grows_is_not_kept_short_by_the_tolerance_and_one_that_has_grown_is_not_moved_by_it():
    held, free = limits(max_replicas=16, max_up=64), {"ready": 2, "present": 7}
    assert held.decide(6.86, 2, 0.0).desired == 7  # a mean over a second in which the load began
    assert held.decide(7.62, 7, 1.0, **free).desired == 8, "7.62 over 7 is within 10 %, but nothing has settled"
    assert [held.decide(7.62, 8, float(t)).desired for t in (2, 3)] == [8, 8]
    assert held.decide(8.6, 8, 4.0).desired == 8, "in rotation for an interval: settled"
    assert held.decide(8.6, 8, 5.0, ready=7, present=8).desired == 8, "nor does one that restarts begin it again"
    assert held.decide(8.9, 8, 6.0).desired == 9


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


def test_the_enhancement_proposals_own_example_comes_out_the_same():
    """KEP 853 of kubernetes/enhancements: ten recommendations, the largest one counts; then one that is the last 10 is
    out of the window, and 9 is the largest."""
    recommended = [10, 9, 8, 9, 9, 8, 9, 8, 9, 8, 7]
    held = limits(stabilization_down_s=9.0, max_replicas=10, max_down=5, tolerance=0.0)  # it is in these already
    current, taken = 10, []
    for minute, number in enumerate(recommended):
        current = held.decide(float(number), current, float(minute)).desired
        taken.append(current)
    assert taken == [10] * 10 + [9]
