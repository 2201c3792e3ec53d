"""The metrics of all three services: by Prometheus' conventions, and each request counted once."""

import asyncio
import itertools
import json
import platform
import re

import pytest

import record
import services
from tests.services.live import Service, backend, client, eventually, router, until
from tests.services.metrics import families, metrics
from tests.services.router.raw import together, working


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A router, and a manager with one replica of one slot."""
    folder = tmp_path_factory.mktemp("metrics")
    path = folder / "manager.json"
    content = {
        "scaling": {"max_replicas": 2, "interval_s": 0.2},
        "scaler": {"name": "none"},
        "replica": {"concurrency": 1, "queue_limit": 1},
    }
    path.write_text(json.dumps(content))
    with router(settings={"router": {"timeouts": {"attempt_s": 60, "overall_s": 60}}}) as front:
        manager = Service("manager", "--port", 0, "--router", front.admin, "--config", path, "--log-dir", folder)
        yield front, manager
        manager.stop()


async def replica_of(session, manager):
    async with session.get(f"{manager.url}/status") as response:
        return (await response.json())["replicas"][0]["admin_url"]


async def test_names_and_buckets_follow_prometheus_conventions(stack):
    front, manager = stack
    async with client() as session:
        for url, prefix in (
            (front.admin, "aegis_router_"),
            (manager.url, "aegis_manager_"),
            (await replica_of(session, manager), "aegis_replica_"),
        ):
            async with session.get(f"{url}/metrics") as response:
                found = families(await response.text())
            assert any(name.startswith("process_cpu_seconds") for name in found)
            (built,) = found.pop("aegis_build_info").samples
            assert built.value == 1 and built.labels["version"] == record.__version__ == services.__version__
            assert built.labels["revision"] and built.labels["python"] == platform.python_version()
            for name, family in found.items():
                assert name.startswith((prefix, "process_")), name
                assert re.fullmatch(r"[a-z_]+", name) and family.documentation
                assert not re.search(r"_(ms|milliseconds|percent)\b", name)
                if family.type == "histogram":
                    assert name.endswith("_seconds")
                    bounds = [float(s.labels["le"]) for s in family.samples if s.name.endswith("_bucket")][:-1]
                    assert bounds[0] <= 0.001 and bounds[-1] >= 10
                    assert max(b / a for a, b in itertools.pairwise(bounds)) < 1.34


def grown(before, after, name):
    return {
        dict(key[1:])["outcome"]: after[key] - before.get(key, 0)
        for key in after
        if key[0] == name and after[key] != before.get(key, 0)
    }


async def test_every_request_is_counted_once_by_its_end_and_checks_are_not(stack):
    front, manager = stack
    async with client() as session:
        replica = await replica_of(session, manager)
        await until(session, front.admin, "r1", "ready")
        routed, worked = await metrics(session, front.admin), await metrics(session, replica)

        async def ask(demand):
            async with session.get(f"{front.url}/work", headers={"X-Aegis-Demand-Ms": str(demand)}) as response:
                return response.status

        async def served():
            return (await metrics(session, replica))["aegis_replica_in_flight_requests",] == 1

        answers = await together(front, *[working(800)] * 4)
        assert sorted(status for status, *_ in answers) == [200, 200, 503, 503]
        assert await ask("nonsense") == 422
        gives_up = asyncio.create_task(ask(50_000))
        await eventually(served, "the request has come to the replica")
        gives_up.cancel()
        async with session.put(f"{replica}/faults", json={"error": {"rate": 1.0}}) as response:
            assert response.status == 200
        assert await ask(5) == 500
        shown = await metrics(session, replica)
        active = {dict(k[1:])["kind"] for k, v in shown.items() if k[0] == "aegis_replica_fault_active" and v}
        assert active == {"error"}

        async def failed_checks():  # they are answered by the fault, too
            return (await metrics(session, front.admin))["aegis_router_replicas", ("state", "ejected")] or None

        await eventually(failed_checks, "the health check fails")
        async with session.delete(f"{replica}/faults") as response:
            assert response.status == 200

        async def counted():
            ends = grown(routed, await metrics(session, front.admin), "aegis_router_requests_total")
            return ends if sum(ends.values()) == 7 else None

        ends = await eventually(counted, "seven requests ended")
        assert ends == {"2xx": 2, "4xx": 1, "5xx": 3, "cancelled": 1}

        async def all_over():  # the replica hears after the router that a client has hung up
            now = await metrics(session, replica)
            return now if now["aegis_replica_in_flight_requests",] == 0 else None

        after = await eventually(all_over, "nothing is left at the replica")
        served = grown(worked, after, "aegis_replica_requests_total")
        # Of the faulty request all three attempts came here: there is nobody else.
        assert served == {"ok": 2, "overloaded": 2, "invalid": 1, "cancelled": 1, "fault": 3}
        assert after["aegis_replica_busy_slots",] == after["aegis_replica_in_flight_requests",] == 0
        attempts = grown(routed, await metrics(session, front.admin), "aegis_router_attempts_total")
        assert attempts == {"ok": 3, "overloaded": 2, "cancelled": 1, "error": 3}


@pytest.mark.parametrize("options", [(), ("--discipline", "ps"), ("--kind", "cpu")], ids=["fifo", "ps", "cpu"])
async def test_saturation_shows_as_busy_slots_and_waiting_requests(options):
    with backend("--concurrency", 2, *options) as replica:
        async with client() as session:

            async def work():
                async with session.get(f"{replica.url}/work", headers={"X-Aegis-Demand-Ms": "20000"}) as response:
                    return response.status

            async def saturated():
                now = await metrics(session, replica.admin)
                names = ("busy_slots", "slots", "waiting_requests", "in_flight_requests")
                return [now[f"aegis_replica_{name}",] for name in names] == [2, 2, 1, 3]

            working = [asyncio.create_task(work()) for _ in range(3)]
            await eventually(saturated, "two slots busy, one request waiting")
            for task in working:
                task.cancel()


async def test_the_manager_tells_wanted_asked_for_and_present_replicas_and_why(stack):
    front, manager = stack
    async with client() as session:
        await until(session, front.admin, "r1", "ready")

        async def settled(wanted):
            now = await metrics(session, manager.url)
            keys = [(f"aegis_manager_{name}_replicas",) for name in ("desired", "demanded", "ready", "running")]
            return now if [now.get(key) for key in keys] == [wanted] * 4 else None

        now = await eventually(lambda: settled(1), "all show one replica")
        assert now["aegis_manager_max_replicas",] == 2 and now["aegis_manager_autoscaler_enabled",] == 1
        assert now["aegis_manager_decisions_total", ("reason", "steady")] > 0
        async with session.put(f"{manager.url}/scale", json={"replicas": 2}) as response:
            assert response.status == 200
        now = await metrics(session, manager.url)
        assert now["aegis_manager_autoscaler_enabled",] == 0 and ("aegis_manager_demanded_replicas",) not in now
        async with session.put(f"{manager.url}/autoscaler", json={"enabled": True}) as response:
            assert response.status == 200
        now = await eventually(lambda: settled(2), "all show two replicas")
        assert now["aegis_manager_decisions_total", ("reason", "by_hand")] == 1
        assert now["aegis_manager_starts_total",] == 2 and now["aegis_manager_failed_starts_total",] == 0


async def test_without_its_router_the_manager_counts_failed_looks_and_shows_no_number_that_it_does_not_know(tmp_path):
    with router() as front:
        gone = front.admin
    manager = Service("manager", "--port", 0, "--router", gone, "--replicas", 1, "--log-dir", tmp_path)
    try:
        async with client() as session:

            async def failed():
                now = await metrics(session, manager.url)
                return now if now["aegis_manager_failed_looks_total",] else None

            now = await eventually(failed, "a failed look")
            assert ("aegis_manager_ready_replicas",) not in now
            assert ("aegis_manager_demanded_replicas",) not in now
            assert now["aegis_manager_desired_replicas",] == 1
    finally:
        manager.stop()


async def test_a_replica_that_does_not_come_up_is_counted(tmp_path):
    # The first replica has its speed, a second one has none that is allowed.
    path = tmp_path / "manager.json"
    path.write_text(json.dumps({"scaler": {"name": "none"}, "replica": {"speeds": [1.0, 0.0]}, "replicas": 1}))

    with router() as front:
        manager = Service("manager", "--port", 0, "--router", front.admin, "--config", path, "--log-dir", tmp_path)
        try:
            async with client() as session:
                async with session.put(f"{manager.url}/scale", json={"replicas": 2}) as response:
                    assert response.status == 200

                async def failed():
                    return (await metrics(session, manager.url))["aegis_manager_failed_starts_total",] >= 1

                await eventually(failed, "a failed start")
        finally:
            manager.stop()
