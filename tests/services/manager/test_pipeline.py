"""Metrics that come late, averaged, or not at all: what a scaler sees of them, and that it holds where it sees none."""

from typing import Any

import pytest

from services.manager import scalers
from services.manager.deciding import Deciding
from services.manager.limits import Limits
from services.manager.observation import Observation, ReplicaLoad
from services.manager.pipeline import Pipeline
from services.manager.settings import ScalingSettings, SignalSettings


def truth(in_flight, current=2, latencies=None, ready=None):
    """`current` replicas that share the work evenly."""
    ready = current if ready is None else ready
    each = None if in_flight is None else in_flight / current
    loads = [ReplicaLoad(f"r{n}", each, 1, n <= ready, each, each, each) for n in range(1, current + 1)]
    return Observation(loads, current, in_flight, in_flight, None, in_flight, in_flight, in_flight, latencies)


def course(values, every_s=1.0, seed=1, time_factor=1.0, **settings):
    """What is seen of the work at each look; the first look of a manager has nothing to compare with."""
    pipeline = Pipeline(SignalSettings(**settings), seed, time_factor)
    pipeline.see(truth(None), 0.0)
    return [pipeline.see(truth(value), every_s * number).in_flight for number, value in enumerate(values, 1)]


def test_without_a_pipeline_the_scaler_sees_the_very_truth():
    pipeline, seen = Pipeline(SignalSettings(), 1), truth(3.0)
    assert pipeline.see(seen, 0.0) is seen


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"delay_s": 2}, [None, None, 1, 2, 3, 4, 5, 6]),
        ({"resolution_s": 3}, [None, None, 2, 2, 2, 5, 5, 5]),  # the means of 1, 2, 3 and of 4, 5, 6
        ({"resolution_s": 3, "delay_s": 1}, [None, None, None, 2, 2, 2, 5, 5]),
        ({"missing": [[3, 5]]}, [1, 2, None, None, 5, 6, 7, 8]),  # samples that end at 3 and 4
        ({"missing": [[3, 5]], "stale": True}, [1, 2, 2, 2, 5, 6, 7, 8]),
        ({"missing": [[3, 5]], "stale": True, "delay_s": 1}, [None, 1, 2, 2, 2, 5, 6, 7]),
        ({"missing": [[0, 2]], "stale": True}, [None, 2, 3, 4, 5, 6, 7, 8]),  # nothing to repeat yet
        ({"gaps": 1}, [None] * 8),
    ],
)
def test_what_is_seen_by_hand(settings, expected):
    assert course(range(1, 9), **settings) == expected


def test_the_same_seconds_pass_faster_for_a_scaler_that_is_sped_up():
    fast = course(range(1, 9), every_s=1.0, time_factor=15, resolution_s=45, delay_s=15)
    assert fast == course(range(1, 9), every_s=15.0, resolution_s=45, delay_s=15)


def test_looks_that_are_late_by_milliseconds_end_a_sample_once():
    pipeline = Pipeline(SignalSettings(resolution_s=3), 1)
    pipeline.see(truth(None), 100.0)
    looks = [101.004, 102.009, 103.015, 104.021, 104.999, 105.998, 107.04]
    seen = [pipeline.see(truth(float(n)), at) for n, at in enumerate(looks, 1)]
    assert [each.in_flight for each in seen[:2]] == [None, None]
    assert [each.in_flight for each in seen[2:]] == pytest.approx([2.0] * 3 + [5.0] * 2, rel=0.01)
    assert seen[3].age_s == pytest.approx(104.021 - 103.015) and seen[3].window_s == pytest.approx(3.015)


def test_gaps_are_drawn_by_the_seed_and_repeat():
    first, again, other = (course(range(1, 2001), gaps=0.3, seed=seed) for seed in (7, 7, 8))
    assert first == again != other
    for seen in (first, other):
        assert seen.count(None) / 2000 == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / 2000) ** 0.5)


def test_percentiles_of_a_longer_window_are_of_all_answers_in_it_not_means_of_percentiles():
    pipeline = Pipeline(SignalSettings(resolution_s=2), 1)
    pipeline.see(truth(None), 0.0)
    pipeline.see(truth(1.0, latencies={10.0: 98, 500.0: 2}), 1.0)
    seen = pipeline.see(truth(1.0, latencies={10.0: 0, 500.0: 2}), 2.0)
    assert seen.p95_ms == 10.0  # the mean of 10 and 500 would be 255
    assert sum(seen.latencies.values()) == 102


def test_who_is_ready_is_true_and_one_that_was_not_there_then_has_no_metric():
    pipeline = Pipeline(SignalSettings(delay_s=1), 1)
    pipeline.see(truth(None), 0.0)
    pipeline.see(truth(2.0), 1.0)
    seen = pipeline.see(truth(9.0, current=3, ready=2), 2.0)
    assert (seen.current, seen.ready, len(seen.replicas)) == (3, 2, 3)
    assert [load.in_flight for load in seen.replicas] == [1.0, 1.0, None]
    assert seen.in_flight == 2.0


SCALERS = {
    "target_tracking": {},
    "threshold": {"period_s": 1.0},
    "hpa": {},
    "keda": {},
    "knative": {},
    "queueing": {},
    "predictive": {},
}


@pytest.mark.parametrize("name", SCALERS)
def test_no_metrics_is_cannot_tell_and_the_number_holds(name):
    # kubernetes #30471 and #130130: an HPA without metrics neither adds nor takes away
    settings = ScalingSettings(max_replicas=50, signal=SignalSettings(missing=[[100, 200]]))
    deciding = Deciding(scalers.create(name, SCALERS[name]), Limits(settings), 4)
    for second in range(101):
        deciding.decide(truth(None if second == 0 else 2.4, deciding.desired), float(second), 0.0)
    held = deciding.desired
    for second in range(101, 200):
        deciding.decide(truth(100.0, held), float(second), 0.0)
    made = [d for d in deciding.decisions(0)["decisions"] if d["monotonic_s"] >= 165]  # no window is as long as that
    assert {d["desired"] for d in made} == {held}
    assert {d["raw_desired"] for d in made} == {None} and deciding.counts["no_numbers"] >= len(made)
    assert all("cannot tell" in d["reason"] for d in made)
    for second in range(200, 330):
        deciding.decide(truth(100.0, deciding.desired), float(second), 0.0)
    assert deciding.desired > held, "it goes on once there are metrics"


def added_at(**signal):
    """When an HPA on requests in flight first acts on a load that jumps from one replica's to four's, second 300."""
    options = {"metrics": [{"type": "External", "name": "in_flight", "target": "AverageValue", "value": 1}]}
    settings = ScalingSettings(max_replicas=50, interval_s=15, signal=SignalSettings(**signal))
    deciding = Deciding(scalers.create("hpa", options), Limits(settings), 1)
    for second in range(0, 600, 15):
        value = None if second == 0 else 1.0 if second <= 300 else 4.0
        deciding.decide(truth(value, deciding.desired), float(second), 0.0)
        if deciding.desired > 1:
            return second, deciding.desired
    return None


@pytest.mark.parametrize(
    ("signal", "second"),
    [({}, 315), ({"delay_s": 60}, 375), ({"resolution_s": 15}, 315), ({"resolution_s": 60, "delay_s": 60}, 420)],
)
def test_an_hpa_with_metrics_a_minute_late_acts_a_minute_late(signal, second):
    # Kubernetes' sync period of 15 s; of means of a minute, the one of 300 to 360 s is all of the new load
    assert added_at(**signal) == (second, 4)


@pytest.mark.parametrize(("delay_s", "most"), [(0, 2), (30, 8), (60, 32)])
def test_a_value_that_is_late_is_multiplied_again_at_each_sync(delay_s, most):
    # 400 ms with one replica, half of that with two, and so on; wanted are 200 ms: two. The ratio of 2 is applied to
    # those that are there now, every 15 s until the first of them shows in the metric.
    options = {"metrics": [{"type": "External", "name": "p95_ms", "target": "Value", "value": 200}]}
    settings = ScalingSettings(max_replicas=64, interval_s=15, signal=SignalSettings(delay_s=delay_s))
    deciding, numbers = Deciding(scalers.create("hpa", options), Limits(settings), 1), []
    for second in range(0, 300, 15):
        latencies = None if second == 0 else {400.0 / deciding.desired: 100}
        deciding.decide(truth(1.0, deciding.desired, latencies), float(second), 0.0)
        numbers.append(deciding.desired)
    assert max(numbers) == most


def test_a_new_pods_cpu_is_not_believed_where_its_sample_is_older_than_its_readiness():
    # replica_calculator.go: within the initialisation period a sample has to begin after the pod was ready
    metrics = [{"type": "Resource", "name": "busy", "target": "Utilization", "value": 50}]

    def asked(age_s):
        scaler: Any = scalers.create("hpa", {"metrics": metrics})
        loads = [ReplicaLoad("r1", 1.0, 1, True, busy=0.9), ReplicaLoad("r2", 1.0, 1, False, busy=0.9)]
        scaler.decide(Observation(loads[:1], 1, 0.9), 0.0)
        scaler.decide(Observation(loads, 2, 0.9), 60.0)
        ready = [loads[0], ReplicaLoad("r2", 1.0, 1, True, busy=0.9)]
        scaler.decide(Observation(ready, 2, 1.8), 75.0)
        scaler.decide(Observation(ready, 2, 1.8, age_s=age_s, window_s=15.0), 105.0)
        return scaler.why

    # Both at 90 % of 50 %: four. While the new one counts as idle: the mean of 90 and 0 is 45, within tolerance.
    assert "asks for 4" in asked(0.0)
    assert "asks for 2" in asked(60.0)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"delay_s": -1}, "autoscaling.signal.delay_s=-1: must be between 0 and 600"),
        ({"gaps": 1.5}, "autoscaling.signal.gaps=1.5: must be between 0 and 1"),
        ({"missing": [[5, 3]]}, "autoscaling.signal.missing.0=[5, 3]: must be [from_s, to_s]"),
        ({"missing": [7]}, "autoscaling.signal.missing.0=7: must be [from_s, to_s]"),
        ({"stale": True}, "autoscaling.signal.stale=true: every sample comes"),
        ({"stale": True, "delay_s": 30}, "autoscaling.signal.stale=true: every sample comes"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(settings, says):
    with pytest.raises(ValueError) as error:
        ScalingSettings(signal=SignalSettings(**settings)).validate()
    assert str(error.value).startswith(says)
