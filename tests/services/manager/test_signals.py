"""The signals that scalers may be told to read: what the manager makes of the router's counts, and who reads which."""

from typing import Any

import pytest

from services.manager import scalers
from services.manager.deciding import Deciding
from services.manager.engines import Running
from services.manager.limits import Limits
from services.manager.observation import Observation, ReplicaLoad, percentile
from services.manager.settings import ScalingSettings
from services.manager.signals import SIGNALS
from services.router.fleet import Fleet
from services.router.latencies import Latencies
from services.router.replica import describe
from services.router.settings import EjectionSettings, HealthCheckSettings
from tests.services.live import backend, client, eventually, json_of, router, until


class Watched:
    """A router's fleet and its counts, and a manager that looks at them."""

    def __init__(self):
        self.fleet = Fleet(HealthCheckSettings(), EjectionSettings(), lambda *_, **__: None)
        self.latencies = Latencies()
        self.offered = 0
        scaler = scalers.create("target_tracking", {"metric": "p95_ms", "target": 1000.0})
        self.deciding = Deciding(scaler, Limits(ScalingSettings()), 2)

    def look(self, now, waiting_s=0.0):
        stats = {
            "monotonic_s": now, "began_s": 0.0, "work_seconds_total": self.fleet.work_seconds(now) + waiting_s,
            "requests_total": self.offered, "latencies_ms": self.latencies.told(),
            "replicas": [describe(replica, now) for replica in self.fleet.replicas.values()],
        }  # fmt: skip
        return self.deciding.observe(stats, [Running(id_, "", "", 1, "running") for id_ in ("r1", "r2")])


@pytest.fixture
def watched():
    found = Watched()
    for id_ in ("r1", "r2"):
        found.fleet.put(id_, 0.0, url=f"http://{id_}", concurrency=2, state="ready")
        found.fleet.on_check(id_, True, 0.0)
    found.look(0.0)
    return found


def begin(watched, id_, count, now):
    for _ in range(count):
        watched.fleet.on_start(watched.fleet.replicas[id_], now)


def test_slots_in_use_and_requests_in_line_by_hand(watched):
    begin(watched, "r1", 3, 0.0)  # two slots: one waits
    begin(watched, "r2", 1, 0.5)
    seen = watched.look(1.0, waiting_s=2.0)  # and two in the router's line
    assert [(load.busy, load.queue) for load in seen.replicas] == [(2.0, 1.0), (0.5, 0.0)]
    assert (seen.in_flight, seen.busy, seen.queue) == (5.5, 2.5, 3.0)
    watched.fleet.on_finish(watched.fleet.replicas["r1"], "ok", 0.1, 1.5)
    assert watched.look(2.0, waiting_s=2.0).queue == pytest.approx(0.5)


def test_the_95th_percentile_is_of_what_was_answered_since_the_last_look(watched):
    for _ in range(500):
        watched.latencies.add(200, 9.0)
    watched.offered = 500
    assert watched.look(1.0).p95_ms == pytest.approx(9000, rel=0.02)
    for number in range(1, 101):
        watched.latencies.add(200, number / 1e3)
    for _ in range(1000):
        watched.latencies.add(503, 0.0001)  # who fails fast must not look fast
    watched.offered += 1100
    seen = watched.look(3.0)
    assert 95 <= seen.p95_ms <= 95 * 1.02
    assert seen.offered_rps == 550
    assert watched.look(4.0).p95_ms is None, "nobody was answered"


def test_latencies_take_no_more_room_whatever_comes():
    latencies = Latencies()
    for power in range(-9, 9):
        latencies.add(200, 10.0**power)
    assert sum(latencies.told().values()) == 18
    assert len(latencies.told()) <= 700


def test_percentiles_by_hand():
    assert percentile({}, 0.95) is None
    assert percentile({5.0: 19, 7.0: 1}, 0.95) == 5.0
    assert percentile({5.0: 18, 7.0: 2}, 0.95) == 7.0
    assert percentile({7.0: 1, 5.0: 0}, 0.95) == 7.0


def test_cpu_is_what_a_process_used_between_its_last_two_words(watched):
    fleet = watched.fleet

    def says(id_, now, cpu_s):
        fleet.put(id_, now, url=f"http://{id_}", lease_s=3, cpu_s=cpu_s)

    says("r1", 0.2, 10.0)
    assert watched.look(1.0).replicas[0].cpu is None, "one word is no rate"
    says("r1", 1.2, 11.5)
    says("r2", 1.3, 4.0)
    seen = watched.look(2.0)
    assert [load.cpu for load in seen.replicas] == [pytest.approx(1.5), None]
    assert seen.cpu is None, "of one in rotation nothing is known"
    says("r2", 2.3, 4.5)
    seen = watched.look(2.5)  # r1 has said nothing since
    assert [load.cpu for load in seen.replicas] == pytest.approx([1.5, 0.5])
    assert seen.cpu == pytest.approx(2.0)
    says("r1", 2.7, 0.1)  # another process
    assert watched.look(3.0).replicas[0].cpu is None


LOADS = [ReplicaLoad(f"r{n}", 6.0, 2, True, 40.0, 1.6, 1.0) for n in range(1, 5)]
SEEN = Observation(LOADS, 4, 24.0, 160.0, None, 180.0, 6.4, 4.0, {300.0: 100})
"""Four replicas with two slots each."""


@pytest.mark.parametrize(
    ("metric", "target", "each"),
    [
        ("in_flight", 1.5, 3.0),  # 24 over 8 slots
        ("busy", 0.4, 0.8),  # 6.4 of 8 slots
        ("cpu", 0.25, 0.5),  # 4 of 8 cores
        ("rate_rps", 20, 20),  # 160 over 4 replicas
        ("offered_rps", 22.5, 22.5),
        ("queue", 2.2, 2.2),  # 17.6 in line over 4 replicas
        ("p95_ms", 150, 150),
    ],
)
def test_who_is_told_to_reads_it_and_asks_for_eight_where_it_is_twice_its_target(metric, target, each):
    tracking = scalers.create("target_tracking", {"metric": metric, "target": target})
    assert tracking.decide(SEEN, 0.0) == 8.0
    kind = "Value" if metric == "p95_ms" else "AverageValue"
    free = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 99, "periodSeconds": 1}]}
    hpa = {"metrics": [{"type": "External", "name": metric, "target": kind, "value": each}], "behavior": {"scaleUp": free}}
    assert scalers.create("hpa", hpa).decide(SEEN, 0.0) == 8.0
    keda = {"metric": metric, "metric_type": kind, "threshold": each, "behavior": {"scaleUp": free}}
    assert scalers.create("keda", keda).decide(SEEN, 0.0) == 8.0


def test_step_scaling_on_a_latency():
    # 300 ms are 100 above 200: the step of 50 adds half of four
    options = {"metric": "p95_ms", "threshold": 200, "up": [{"breach": 20, "change": 25}, {"breach": 50, "change": 50}]}
    scaler: Any = scalers.create("threshold", {**options, "period_s": 60.0})
    scaler.decide(SEEN, 0.0)
    assert scaler.decide(SEEN, 60.0) == 6.0
    assert scaler.why.startswith("300.0 p95_ms, alarm up")


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("target_tracking", {"metric": "p99_ms"}, f"scaler.metric=p99_ms: must be one of {', '.join(SIGNALS)}"),
        ("threshold", {"metric": "memory"}, "scaler.metric=memory: must be one of in_flight, busy"),
        ("keda", {"metric": "p95_ms"}, "scaler.metric_type=AverageValue: must be Value where scaler.metric=p95_ms"),
        (
            "hpa",
            {"metrics": [{"type": "External", "name": "p95_ms", "target": "AverageValue", "value": 1}]},
            "scaler.metrics.0.target=AverageValue: must be Value where name=p95_ms",
        ),
        (
            "hpa",
            {"metrics": [{"type": "Pods", "name": "p95_ms", "target": "AverageValue", "value": 1}]},
            "scaler.metrics.0.name=p95_ms: must be one of in_flight, rate_rps, busy, cpu, queue",
        ),
        (
            "hpa",
            {"metrics": [{"type": "Resource", "name": "queue", "target": "Utilization", "value": 50}]},
            "scaler.metrics.0.name=queue: must be one of in_flight, busy, cpu where target=Utilization",
        ),
    ],
)
def test_a_signal_that_cannot_be_read_so_is_refused(name, options, says):
    with pytest.raises(ValueError) as error:
        scalers.create(name, options)
    assert str(error.value).startswith(says)


def test_what_a_scaler_reads_stands_in_its_decisions():
    deciding = Deciding(scalers.create("target_tracking", {"metric": "p95_ms"}), Limits(ScalingSettings()), 4)
    deciding.decide(SEEN, 0.0, 0.0)
    deciding.set_by_hand(3, 1.0, 1.0)
    first, second = (made["observation"] for made in deciding.decisions(0)["decisions"])
    assert (first["signals"], first["age_s"], first["in_flight"]) == ({"p95_ms": 300.0}, 0.0, 24.0)
    assert (second["signals"], second["age_s"]) == ({}, None)


async def test_a_replica_that_burns_cpu_tells_its_router_how_much_and_the_router_how_long_it_took():
    with router() as front, backend("--kind", "cpu", "--id", "r1", "--router", front.admin):
        async with client() as session:
            await until(session, front.admin, "r1", "ready")

            async def used_s():
                (replica,) = (await json_of(session, f"{front.admin}/replicas"))["replicas"]
                return replica["cpu_seconds_total"]

            before = await eventually(used_s, "it has said what it used")
            async with session.get(f"{front.url}/work", headers={"X-Aegis-Demand-Ms": "400"}) as response:
                assert response.status == 200

            async def has_burnt():
                return await used_s() >= before + 0.4

            await eventually(has_burnt, "the router hears of it")
            ((edge, count),) = (await json_of(session, f"{front.admin}/stats"))["latencies_ms"].items()
            assert (float(edge) >= 400, count) == (True, 1)
