"""`autoscaling.interval_s=0`: each scaler decides as often as where it comes from; and what people met of that."""

import pytest

from services.manager import scalers
from services.manager.deciding import Deciding
from services.manager.limits import Limits
from services.manager.scalers import SCALERS, Observation, ReplicaLoad
from services.manager.settings import ScalingSettings, SignalSettings

SYNC_S = 15.0


def fleet(count, load, current=None):
    """`count` ready replicas of a slot each that share the work evenly; of a slot no more than all is in use."""
    each = load / count
    loads = [ReplicaLoad(f"r{n}", each, 1, True, each, min(1.0, each)) for n in range(count)]
    return Observation(loads, count if current is None else current, load, load, busy=min(float(count), load))


def deciding(name, first=2, *, interval_s=0.0, signal=None, **options):
    """With room for all that is asked for."""
    settings = ScalingSettings(max_replicas=1000, max_up=1000, interval_s=interval_s, signal=signal or SignalSettings())
    return Deciding(scalers.create(name, options), Limits(settings), first)


@pytest.mark.parametrize(
    ("name", "factor", "interval_s"),
    [
        ("hpa", 1.0, 15.0),  # kube-controller-manager; kubernetes #110317
        ("keda", 1.0, 15.0),  # the HPA's from 1 to n: kedacore/keda #230, keda-docs #1079
        ("knative", 1.0, 2.0),  # knative/serving #229: every two seconds
        ("target_tracking", 1.0, 15.0),
        ("hpa", 15.0, 1.0),
        ("knative", 100.0, 0.1),  # no oftener than a manager can
        ("queueing", 15.0, 1.0),  # comes from nowhere
    ],
)
def test_each_decides_as_often_as_where_it_comes_from_in_its_own_seconds(name, factor, interval_s):
    assert deciding(name, time_factor=factor).limits.settings.interval_s == interval_s
    assert deciding(name, time_factor=factor, interval_s=7.0).limits.settings.interval_s == 7.0


def test_an_interval_that_no_manager_keeps_is_refused():
    for wrong in (0.05, -1.0, 601.0):
        with pytest.raises(ValueError, match=r"autoscaling\.interval_s="):
            ScalingSettings(interval_s=wrong).validate()
    ScalingSettings(interval_s=0.0).validate()


def test_cpu_that_is_full_takes_six_cycles_to_five_times_the_load():
    """metrics-server #763: at a target of 75 % no more than a third is added at a time, however much there is to do."""
    metric = {"type": "Resource", "name": "busy", "target": "Utilization", "value": 75}
    scaling, numbers = deciding("hpa", 10, metrics=[metric]), [10]
    for look in range(60):  # those that have just been added are measured a look later
        scaling.decide(fleet(scaling.desired, 50.0), SYNC_S * look, SYNC_S * look)
        numbers.append(scaling.desired)
    steps = list(dict.fromkeys(numbers))
    assert steps[:7] == [10, 14, 19, 26, 35, 47, 63], "the sixth is the first of fifty and more"


def test_cpu_that_is_scraped_every_half_minute_is_answered_within_55_seconds_at_the_worst():
    """kubernetes #110317: 10 s to measure, 30 s to scrape, 15 s between two syncs; half of that in the mean."""
    took = []
    for phase in range(30):
        signal = SignalSettings(delay_s=10.0, resolution_s=30.0)
        scaling, began = deciding("hpa", 10, signal=signal), 120.0 + phase
        for look in range(60):
            at = SYNC_S * look
            since = at - SYNC_S
            mean = 5.0 + 15.0 * min(1.0, max(0.0, at - began) / (at - since))
            scaling.decide(fleet(10, mean, scaling.desired), at, at)
            if scaling.desired > 10:
                took.append(at - began)
                break
    assert len(took) == 30 and 10.0 < max(took) <= 55.0
    assert 27.5 <= sum(took) / len(took) <= 55.0


def test_a_window_of_a_minute_upwards_is_four_samples():
    """SeldonIO/seldon-core #6019: of the last four, at the default rate of one in 15 s, the smallest counts."""
    behavior = {"scaleUp": {"stabilizationWindowSeconds": 60}}
    scaling, numbers = deciding("hpa", 2, behavior=behavior), []
    for look in range(12):
        load = 1.2 if look < 6 else 6.0
        scaling.decide(fleet(2, load, scaling.desired), SYNC_S * look, SYNC_S * look)
        numbers.append(scaling.desired)
    assert numbers == [2] * 9 + [6, 10, 10], "at the fourth look after the load came, then four pods in 15 s"


def test_what_nobody_reads_of_latencies_is_not_taken():
    assert {name for name in SCALERS.usable() if scalers.create(name, {}).takes_latencies} == {"none"}
    assert scalers.create("target_tracking", {"metric": "p95_ms", "target": 400.0}).takes_latencies
