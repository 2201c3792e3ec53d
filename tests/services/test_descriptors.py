"""What runs out on the router's own machine is the router's fault: no replica is blamed, and it is told."""

import asyncio
import contextlib
import errno
import itertools
import json
import os
import random
import resource
import sys
from dataclasses import replace
from typing import Any
from unittest import mock

import aiohttp
import psutil
import pytest
from aiohttp import test_utils, web

from services.descriptors import own_fault, raise_limit
from services.router.fleet import Fleet
from services.router.policies import create
from services.router.proxy import Proxy
from services.router.settings import RouterSettings
from services.router.telemetry import Telemetry
from services.router.wire.heartbeat import Heartbeat
from services.router.wire.pool import Pool
from services.router.wire.server import DataServer, most_clients
from services.startup import listen, url_of
from tests.services.live import backend, client, eventually, json_of, router
from tests.services.metrics import metrics
from tests.services.router.raw import raw_client
from tests.services.router.upstreams import upstreams

if sys.platform != "linux":
    pytest.skip("another process' limits are looked at and set as Linux lets one", allow_module_level=True)

HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
SETTINGS: dict[str, Any] = {
    "router": {
        "health": {"interval_s": 0.05, "jitter": 0.0, "unhealthy_threshold": 1, "timeout_s": 30},
        "ejection": {"consecutive_failures": 1},
    },
    "policy": {"name": "round_robin"},
}


@pytest.mark.parametrize("start", [router, backend])
def test_a_service_may_open_as_many_descriptors_as_the_machine_allows(start):
    hard = min(HARD, 20_000)
    with start(descriptors=(256, hard)) as started:
        assert resource.prlimit(started.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)


def test_a_limit_is_never_lowered_and_one_that_is_refused_leaves_what_was():
    with mock.patch("services.descriptors.resource.getrlimit", return_value=(50_000, resource.RLIM_INFINITY)):
        with mock.patch("services.descriptors.resource.setrlimit", side_effect=ValueError) as refused:
            assert raise_limit() == 50_000
        assert [call.args[1][0] for call in refused.call_args_list] == [resource.RLIM_INFINITY]
    with mock.patch("services.descriptors.resource.getrlimit", return_value=(256, resource.RLIM_INFINITY)):
        with mock.patch("services.descriptors.resource.setrlimit", side_effect=[ValueError, None]):
            assert raise_limit() == 10_240  # macOS


@pytest.mark.parametrize("soft", [256, resource.RLIM_INFINITY])
def test_no_limit_is_a_number_that_one_can_divide(soft):
    """RLIM_INFINITY is -1, and a router would let in one client."""
    with mock.patch("services.descriptors.resource.getrlimit", return_value=(soft, resource.RLIM_INFINITY)):
        with mock.patch("services.descriptors.resource.setrlimit"):
            assert raise_limit() == 1_048_576


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS])
def test_what_the_machine_lacks_is_told_from_what_a_peer_does(number):
    def wrapped(number):
        return aiohttp.ClientConnectorError(mock.Mock(), OSError(number, os.strerror(number)))

    assert own_fault(wrapped(number)) == own_fault(OSError(number, "")) == errno.errorcode[number]
    assert own_fault(wrapped(errno.ECONNREFUSED)) is None and own_fault(TimeoutError()) is None


def test_two_descriptors_a_client_and_some_for_the_rest():
    assert most_clients(1024) == 480
    assert most_clients(1 << 20) == (1 << 19) - 32
    assert all(0 < most_clients(n) <= n // 2 for n in range(2, 200))


async def slow(_request):
    await asyncio.sleep(0.5)
    return web.Response(text="here")


def limit(started, more):
    """Let the process open `more` descriptors than it has; returns how to undo that."""
    before = resource.prlimit(started.process.pid, resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir(f"/proc/{started.process.pid}/fd")}
    free = (number for number in itertools.count() if number not in taken)
    resource.prlimit(started.process.pid, resource.RLIMIT_NOFILE, (next(itertools.islice(free, more, None)), before[1]))
    return lambda: resource.prlimit(started.process.pid, resource.RLIMIT_NOFILE, before)


async def ask(url):
    """Status and body of an answer, None where the connection was closed instead."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    try:
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 30)
    except ConnectionError:
        return None
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]), body) if answer else None


async def test_a_router_without_descriptors_blames_no_replica_and_says_that_it_is_its_own_fault():
    async with aiohttp.ClientSession() as admin, client() as session:  # `admin` keeps a connection
        with router(settings=SETTINGS) as front:
            async with upstreams(front, session, slow, slow):
                assert (await json_of(admin, f"{front.admin}/stats"))["exhausted_total"] == 0
                undo = limit(front, 8)
                idle = []

                async def exhausted():  # whenever a check frees a descriptor, the next client takes it
                    idle.append(await asyncio.open_connection("127.0.0.1", int(front.url.rsplit(":", 1)[1])))
                    return (await json_of(admin, f"{front.admin}/stats"))["exhausted_total"] >= 5

                await eventually(exhausted, "checks found no descriptor")
                answers = await asyncio.gather(*(ask(front.url) for _ in range(12)))
                for _, writer in idle:
                    writer.close()
                counted = await metrics(admin, front.admin)
                undo()
                seen = {json.loads(body)["reason"] for status, body in filter(None, answers) if status == 503}
                assert seen <= {"exhausted"}
                assert counted["aegis_router_exhausted_total", ("error", "EMFILE")] >= 5
                stats = await json_of(admin, f"{front.admin}/stats")
                assert [(r["state"], r["failures_total"]) for r in stats["replicas"]] == [("ready", 0)] * 2
                words = {event["event"] for event in (await json_of(admin, f"{front.admin}/events"))["events"]}
                assert words == {"registered", "readmitted"}
                assert await ask(front.url) == (200, b"here")


async def test_an_attempt_without_a_descriptor_has_its_own_reason_and_ejects_nobody():
    async with aiohttp.ClientSession() as admin, client() as session:
        with router(settings={"router": {"health": {"interval_s": 600}}}) as front:
            async with upstreams(front, session, slow):
                await json_of(admin, f"{front.admin}/stats")
                undo = limit(front, 1)
                status, body = await ask(front.url)  # the one descriptor is the client's
                undo()
                assert (status, json.loads(body)["reason"]) == (503, "exhausted")
                stats = await json_of(admin, f"{front.admin}/stats")
                assert (stats["exhausted_total"], stats["retries_total"]) == (1, 0)
                assert [(r["state"], r["failures_total"], r["in_flight"]) for r in stats["replicas"]] == [
                    ("ready", 0, 0)
                ]
                counted = await metrics(admin, front.admin)
                assert counted["aegis_router_attempts_total", ("outcome", "exhausted")] == 1
                assert counted["aegis_router_rejections_total", ("reason", "exhausted")] == 1


async def all_served(front, count):
    """Clients that are all connected before the first one asks."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(raw_client(front)) for _ in range(count)]
        for each in clients:  # whom the router answers by itself it has let in
            await each.send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await each.answer())[0] == 501
        for each in clients:
            await each.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert [(await each.answer())[::2] for each in clients] == [(200, b"here")] * count


async def test_idle_connections_to_replicas_are_given_up_where_no_descriptor_is_left():
    async with aiohttp.ClientSession() as admin, client() as session:
        with router(settings={"router": {"health": {"interval_s": 600}}}) as front:
            await json_of(admin, f"{front.admin}/stats")
            async with contextlib.AsyncExitStack() as stack:
                limit(front, 42)
                for prefix in "uvw":  # 12 idle connections to each that is gone, 12 of clients, 12 to the new one
                    await stack.enter_async_context(upstreams(front, session, slow, prefix=prefix))
                    await all_served(front, 12)
                    async with session.delete(f"{front.admin}/replicas/{prefix}1") as response:
                        assert response.status == 204
            assert (await json_of(admin, f"{front.admin}/stats"))["exhausted_total"] == 0


class NoPorts(Pool):
    """Connects to no address of which the port is among the `refused`."""

    def __init__(self, most):
        super().__init__(connect_s=20, most=most)
        self.refused = []

    async def create(self, url):
        if int(url.rsplit(":", 1)[1]) in self.refused:
            raise OSError(errno.EADDRNOTAVAIL, "no port")
        return await super().create(url)


async def test_without_a_port_towards_one_replica_another_one_is_asked_and_nobody_ejected():
    """Local ports are counted per destination (ip(7)); what cannot be tried out here is made up at the pool."""
    settings = RouterSettings()
    fleet = Fleet(settings.health, replace(settings.ejection, consecutive_failures=1), mock.Mock())
    async with contextlib.AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(test_utils.RawTestServer(slow)) for _ in range(2)]
        pool = NoPorts(most=100)
        stack.push_async_callback(pool.close)
        heartbeat = Heartbeat()
        stack.callback(heartbeat.stop)
        proxy = Proxy(settings, fleet, create("round_robin", {}, random.Random(0)), Telemetry(), pool, heartbeat)
        front = DataServer(proxy, heartbeat, most=100, head_s=60, idle_s=30)
        stack.push_async_callback(front.cleanup)
        sock = listen("127.0.0.1", 0)
        await front.start(sock)
        for id_, server in (("r1", one), ("r2", two)):
            fleet.put(id_, 0.0, url=str(server.make_url("")).rstrip("/"))
            fleet.on_check(id_, True, 0.0)
            fleet.on_check(id_, True, 0.0)
        url = url_of(sock)
        pool.refused += [one.port, two.port]
        status, body = await ask(url)
        assert (status, json.loads(body)["reason"]) == (503, "exhausted")
        assert (proxy.totals["exhausted"], proxy.totals["retries"]) == (2, 1)
        pool.refused.remove(two.port)
        assert [await ask(url) for _ in range(4)] == [(200, b"here")] * 4
        assert 0 < proxy.totals["exhausted"] - 2 == proxy.totals["retries"] - 1 < 4  # round robin
        assert [replica.failures_total for replica in fleet.replicas.values()] == [0, 0] and len(
            fleet.candidates()
        ) == 2


async def test_clients_beyond_the_routers_descriptors_are_turned_away_and_the_others_served():
    most = most_clients(160)
    turned_away = asyncio.Event()

    async def held(_request):
        await turned_away.wait()
        return web.Response(text="here")

    timeouts = {"attempt_s": 60, "overall_s": 60}
    settings = {**SETTINGS, "router": {**SETTINGS["router"], "timeouts": timeouts}}
    async with client() as session:
        with router(settings=settings, descriptors=(160, 160)) as front:
            async with upstreams(front, session, held):
                asked = [asyncio.create_task(ask(front.url)) for _ in range(most + 10)]

                async def ten_are_answered():
                    return sum(task.done() for task in asked) == 10

                await eventually(ten_are_answered, "those beyond are turned away while the others are served")
                turned_away.set()
                answers = await asyncio.gather(*asked)
                statuses = [answer and answer[0] for answer in answers]
                assert statuses.count(200) == most and statuses.count(503) == 10
                assert {json.loads(body)["reason"] for status, body in answers if status == 503} == {"exhausted"}
                stats = await json_of(session, f"{front.admin}/stats")
                assert [(r["state"], r["failures_total"]) for r in stats["replicas"]] == [("ready", 0)]
                assert (await metrics(session, front.admin))["aegis_router_exhausted_total", ("error", "clients")] == 10
                assert await ask(front.url) == (200, b"here")


async def test_clients_beyond_the_routers_descriptors_are_turned_away_before_they_ask():
    most = most_clients(160)
    async with aiohttp.ClientSession() as admin:
        with router(settings=SETTINGS, descriptors=(160, 160)) as front:
            port = int(front.url.rsplit(":", 1)[1])
            assert await metrics(admin, front.admin)
            least = psutil.Process(front.process.pid).num_fds() + most
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(most)]
            process = psutil.Process(front.process.pid)

            async def let_in():
                return process.num_fds() >= least

            await eventually(let_in, "all that may are let in")
            before = process.num_fds()
            surplus = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
            for reader, _ in surplus:  # they keep silent, and do not close
                heard = await asyncio.wait_for(reader.read(), 30)
                head, _, body = heard.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 503 ") and b"\r\nConnection: close" in head
                assert f"Content-Length: {len(body)}".encode() in head and json.loads(body)["reason"] == "exhausted"

            async def closed():
                return process.num_fds() <= before

            await eventually(closed, "the router has their descriptors again")
            counted = await metrics(admin, front.admin)
            assert counted["aegis_router_exhausted_total", ("error", "clients")] == 10
            assert counted["aegis_router_rejections_total", ("reason", "exhausted")] == 10
            for _, writer in (*idle, *surplus):
                writer.close()
