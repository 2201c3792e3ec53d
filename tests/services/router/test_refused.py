"""A refused connection: nobody listens there, so the replica is left out at once, whoever finds out, live or simulated."""

import asyncio
import contextlib

import pytest

from experiments.plan.fault_plan import Fault
from experiments.plan.schedule import build_schedule
from experiments.simulator.stack import VirtualStack
from services.router.fleet import Fleet
from services.router.settings import EjectionSettings, HealthCheckSettings
from tests.experiments.simulated import configured
from tests.services.live import client, json_of, router, until


class Told(Fleet):
    """A fleet in rotation that keeps who was ejected, by what, after how many failures and for how long."""

    def __init__(self, count, **ejection):
        self.ejected = []
        super().__init__(HealthCheckSettings(enabled=False), EjectionSettings(**ejection), self.heard)
        for number in range(1, count + 1):
            self.put(f"r{number}", 0.0, url=f"http://127.0.0.1:{9000 + number}")

    def heard(self, event, replica, _now, **detail):
        if event == "ejected":
            self.ejected.append((replica, detail["cause"], detail["failures"], detail["for_s"]))

    def attempt(self, id_, reason, now=0.0):
        replica = self.replicas[id_]
        self.on_start(replica, now)
        self.on_finish(replica, "error", 0.001, now, reason)


def test_one_refused_connection_ejects_and_one_failure_of_another_kind_does_not():
    fleet = Told(3)
    for reason in ("connect", "reset", "timeout", "status 500"):
        fleet.attempt("r1", reason)
    assert fleet.ejected == []
    fleet.attempt("r2", "refused")
    assert fleet.ejected == [("r2", "refused", 1, 2.0)]
    fleet.attempt("r2", "refused")
    fleet.tick(2.0)
    fleet.attempt("r2", "refused", 2.1)
    assert fleet.ejected[1:] == [("r2", "refused", 1, 4.0)], "for longer, since nothing was answered in between"


def test_neither_the_last_one_nor_more_than_the_share_is_ejected_by_refusals():
    for count, most in ((1, 0), (2, 1), (4, 2), (5, 2)):
        fleet = Told(count)
        for id_ in list(fleet.replicas):
            fleet.attempt(id_, "refused")
        assert len(fleet.ejected) == most


@pytest.mark.parametrize("setting", [{"refused": False}, {"enabled": False}])
def test_where_that_is_switched_off_a_refusal_is_a_failure_like_any_other(setting):
    fleet = Told(3, **setting)
    for _ in range(5):
        fleet.attempt("r1", "refused")
    assert [cause for _, cause, _, _ in fleet.ejected] == ["consecutive_failures"] * ("enabled" not in setting)


async def test_a_replica_that_listens_no_more_is_left_out_after_the_first_request_that_finds_out():
    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            assert head
        writer.close()

    servers = [await asyncio.start_server(serve, "127.0.0.1", 0) for _ in range(3)]
    settings = {"router": {"health": {"interval_s": 600}}, "policy": {"name": "round_robin"}}
    with router(settings=settings) as front:
        async with client() as session:
            for number, server in enumerate(servers, 1):
                url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
                async with session.put(f"{front.admin}/replicas/r{number}", json={"url": url}) as response:
                    assert response.status == 201
                await until(session, front.admin, f"r{number}", "ready")
            servers[0].close()
            await servers[0].wait_closed()
            for _ in range(3):
                async with session.get(f"{front.url}/x") as response:
                    assert response.status == 200
            events = (await json_of(session, f"{front.admin}/events"))["events"]
            found = [(e["replica"], e["cause"], e["failures"], e["reason"]) for e in events if e["event"] == "ejected"]
            assert found == [("r1", "refused", 1, "refused")]
    for server in servers:
        server.close()


def test_the_simulated_router_ejects_by_a_refused_connection_too():
    config = configured(0.5, replicas=3, requests=300)
    config.router.health.interval_s = 600.0
    ejected = []

    def hears(_source, event, _now, **detail):
        if event == "ejected":
            ejected.append((detail["replica"], detail["cause"], detail["failures"]))

    fault = Fault(at_s=2, action="kill", target="r1", for_s=3)
    stack = VirtualStack(config, [fault], build_schedule(config.workload, config.seed), hears)
    stack.run(lambda _: True)
    assert ejected and ejected[0] == ("r1", "refused", 1)
