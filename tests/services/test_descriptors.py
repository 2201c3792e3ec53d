"""What runs out on the router's own machine is the router's fault: no replica is blamed, and it is told."""

import asyncio
import errno
import itertools
import json
import os
import resource
import sys
from unittest import mock

import aiohttp
import pytest
from aiohttp import web

from services.descriptors import own_fault, raise_limit
from services.router.connections import most_clients
from tests.services.live import backend, client, eventually, json_of, router
from tests.services.metrics import metrics
from tests.services.router.upstreams import upstreams

if sys.platform != "linux":
    pytest.skip("another process' limits are looked at and set as Linux lets one", allow_module_level=True)

HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
SETTINGS = {
    "router": {
        "health": {"interval_s": 0.05, "jitter": 0.0, "unhealthy_threshold": 1},
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
        answer = await asyncio.wait_for(reader.read(), 10)
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

                await eventually(exhausted, 10, "checks found no descriptor")
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


async def test_clients_beyond_the_routers_descriptors_are_turned_away_and_the_others_served():
    most = most_clients(160)
    async with client() as session:
        with router(settings=SETTINGS, descriptors=(160, 160)) as front:
            async with upstreams(front, session, slow):
                answers = await asyncio.gather(*(ask(front.url) for _ in range(most + 10)))
                statuses = [answer and answer[0] for answer in answers]
                assert statuses.count(200) == most and statuses.count(503) == 10
                assert {json.loads(body)["reason"] for status, body in answers if status == 503} == {"exhausted"}
                stats = await json_of(session, f"{front.admin}/stats")
                assert [(r["state"], r["failures_total"]) for r in stats["replicas"]] == [("ready", 0)]
                assert (await metrics(session, front.admin))["aegis_router_exhausted_total", ("error", "clients")] == 10
                assert await ask(front.url) == (200, b"here")
