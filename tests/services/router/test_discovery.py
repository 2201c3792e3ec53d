"""What Prometheus is told: where the replicas are, and how the router sees each of them."""

from collections import Counter

import pytest
from prometheus_client import generate_latest

from services.router.events import EventLog
from services.router.fleet import Fleet
from services.router.settings import EjectionSettings, HealthCheckSettings
from services.router.telemetry import Telemetry
from tests.services.live import backend, client, eventually, json_of, router, until
from tests.services.metrics import metrics, samples


def target(groups, id_):
    return next((g["targets"][0] for g in groups if g["labels"]["replica"] == id_), None)


async def test_every_replica_is_a_target_at_its_admin_port_until_it_is_gone():
    with router() as front, backend("--router", front.admin, "--id", "a1") as replica:
        async with client() as session:
            await until(session, front.admin, "a1", "ready")
            for id_, body in (
                ("a2", {"url": "http://127.0.0.1:9"}),
                ("a3", {"url": "http://[::1]:9"}),
                ("a4", {"url": "http://some-host"}),
            ):
                async with session.put(f"{front.admin}/replicas/{id_}", json=body) as response:
                    assert response.status == 201
            async with session.get(f"{front.admin}/sd") as response:
                assert response.content_type == "application/json"
                groups = await response.json()
            admin = replica.admin.removeprefix("http://")
            assert [target(groups, f"a{n}") for n in (1, 2, 3, 4)] == [
                admin, "127.0.0.1:9", "[::1]:9", "some-host:80",
            ]  # fmt: skip
            assert groups[0]["labels"]["__meta_aegis_state"] == "ready"
            assert "aegis_replica_slots" in {key[0] for key in await metrics(session, f"http://{admin}")}
            async with session.put(f"{front.admin}/replicas/a1", json={"state": "draining"}) as response:
                assert response.status == 200
            assert target(await json_of(session, f"{front.admin}/sd"), "a1") == admin
            replica.stop()

            async def gone():
                return target(await json_of(session, f"{front.admin}/sd"), "a1") is None

            await eventually(gone, "a1 is no target any more")
            assert not [key for key in await metrics(session, front.admin) if ("replica", "a1") in key]


@pytest.fixture
def seen():
    """A fleet of two, and a way to read what is shown of it."""
    events, telemetry = EventLog(), Telemetry()
    fleet = Fleet(HealthCheckSettings(), EjectionSettings(consecutive_failures=2), events.emit)
    telemetry.watch(fleet, events.counts)
    for id_ in ("r1", "r2"):
        fleet.put(id_, 0.0, url=f"http://{id_}:1")
        fleet.on_check(id_, True, 0.0)
    return fleet, lambda: samples(generate_latest(telemetry.registry).decode())


def test_an_ejection_shows_in_state_and_counters(seen):
    fleet, read = seen
    replica = fleet.replicas["r1"]
    for _ in range(2):
        fleet.on_start(replica, 1.0)
        fleet.on_finish(replica, "error", 0.1, 1.1)
    fleet.on_start(fleet.replicas["r2"], 1.2)
    now = read()
    states = {
        dict(key[1:])["state"]: value for key, value in now.items() if ("replica", "r1") in key and "state" in key[0]
    }
    assert states == {"pending": 0, "ready": 0, "ejected": 1, "draining": 0}
    assert now["aegis_router_replica_ejections_total", ("replica", "r1")] == 1
    assert now["aegis_router_replica_failures_total", ("replica", "r1")] == 2
    assert now["aegis_router_replica_in_flight_requests", ("replica", "r2")] == 1
    assert now["aegis_router_replicas", ("state", "ejected")] == now["aegis_router_replicas", ("state", "ready")] == 1
    assert now["aegis_router_events_total", ("event", "ejected")] == 1
    fleet.on_check("r2", False, 2.0)
    fleet.on_check("r2", False, 2.5)
    assert read()["aegis_router_replica_ejections_total", ("replica", "r2")] == 1


def test_a_replica_that_is_gone_leaves_no_series_and_the_events_stay(seen):
    fleet, read = seen
    before = Counter(dict(key[1:]).get("replica") for key in read())
    assert before["r1"] == before["r2"] == 8
    fleet.remove("r1", 3.0)
    after = read()
    assert Counter(dict(key[1:]).get("replica") for key in after)["r1"] == 0
    assert after["aegis_router_events_total", ("event", "removed")] == 1
    assert after["aegis_router_events_total", ("event", "registered")] == 2
