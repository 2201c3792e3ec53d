"""Whoever ends in order loses nothing: neither what is in flight nor what is still being sent."""

import asyncio
import signal
import time
from types import SimpleNamespace
from unittest import mock

import pytest

from services.backend.__main__ import _finish
from services.backend.renewal import ASK_S
from services.backend.settings import SETTLE_S
from services.router import settings
from services.router.__main__ import DRAIN_POLL_S, drain
from tests.running import AT_MOST_S
from tests.services.live import Service, client, eventually, json_of, router, service, until
from tests.services.router.raw import raw_client, raw_replica
from tests.services.traffic import Traffic, post

QUICK = {
    "router": {
        "health": {"interval_s": 0.1}, "timeouts": {"connect_s": 20, "attempt_s": 20, "overall_s": 60},
    },
    "policy": {"name": "round_robin"},
}  # fmt: skip
"""Nothing is lost but by how a service ends: no attempt is given up by the clock."""
SIZES = [10, 200_000]


async def in_flight(session, front):
    return (await json_of(session, f"{front.admin}/stats"))["in_flight"]


async def gone(started):
    return await asyncio.to_thread(started.process.wait, AT_MOST_S) == 0


@pytest.mark.parametrize("size", SIZES)
async def test_a_router_that_ends_reads_the_bodies_that_are_under_way(size):
    async def length(_head, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nread")

    with router(settings=QUICK) as front:
        async with client() as session, raw_replica(front, session, length) as replica, raw_client(front) as one:
            await one.send(post(size) + b"a" * (size // 2))

            async def begun():
                return await in_flight(session, front) == 1

            await eventually(begun, "the request has begun")
            front.process.send_signal(signal.SIGTERM)

            async def drains():
                async with session.get(f"{front.admin}/readyz") as response:
                    return response.status == 503 and (await response.json())["status"] == "draining"

            await eventually(drains, "the router drains")
            await asyncio.sleep(0.5)  # longer than what it waits for nobody
            await one.send(b"b" * (size - size // 2))
            status, headers, body = await one.answer()
            assert (status, headers["connection"], body) == (200, b"close", b"read")
            assert [body for _, body in replica.seen] == [b"a" * (size // 2) + b"b" * (size - size // 2)]
        assert await gone(front)


async def test_a_client_that_is_connected_may_ask_once_more_and_is_told_that_it_was_the_last_time():
    asked_again = asyncio.Event()

    async def slow(head, writer):
        if b"/slow" in head:
            await asked_again.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere")

    with router(settings=QUICK) as front:
        async with client() as session, raw_replica(front, session, slow):
            async with raw_client(front) as kept, raw_client(front) as busy:
                await kept.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await kept.answer())[1].get("connection") != b"close"
                await busy.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")

                async def begun():
                    return await in_flight(session, front) == 1

                await eventually(begun, "the request has begun")
                front.process.send_signal(signal.SIGTERM)

                async def refused():
                    try:
                        async with raw_client(front):
                            return False
                    except ConnectionError:
                        return True

                await eventually(refused, "nobody else is let in")
                for one in (kept, busy):
                    if one is kept:
                        await one.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
                    else:
                        asked_again.set()
                    status, headers, _ = await one.answer()
                    assert (status, headers["connection"]) == (200, b"close")
                    assert await one.rest() == b""
        assert await gone(front)


async def test_a_router_that_nobody_asks_anything_ends_though_somebody_is_connected():
    with router(settings=QUICK) as front:
        async with raw_client(front):
            front.process.send_signal(signal.SIGTERM)
            assert await gone(front)


@pytest.fixture
def turned(monkeypatch):
    """A router's clock, which stands still but for its own pauses."""
    clock = SimpleNamespace(now=100.0)

    async def sleep(seconds):
        clock.now += seconds

    monkeypatch.setattr("services.router.__main__.time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr("services.router.__main__.asyncio", SimpleNamespace(sleep=sleep))
    return clock


async def test_a_router_that_nobody_asks_anything_waits_no_longer_than_it_takes_to_be_sure(turned):
    looks = []
    await drain(mock.Mock(in_flight=0, totals={"requests": 0}), mock.AsyncMock(is_unread=lambda: False), looks.append)
    assert len(looks) <= settings.SETTLE_S / DRAIN_POLL_S + 1 and looks[-1] - looks[0] < settings.SETTLE_S
    assert turned.now - 100.0 >= settings.SETTLE_S


async def test_a_router_that_ends_waits_while_short_requests_come_that_are_over_whenever_it_looks(turned):
    proxy = mock.Mock(in_flight=0, totals={"requests": 0})
    looks = []

    def tick(now):
        looks.append(now)
        if len(looks) < 60 and len(looks) % 5 == 0:  # one in 50 ms
            proxy.totals["requests"] += 1

    await drain(proxy, mock.AsyncMock(is_unread=lambda: False), tick)
    assert len(looks) >= 60 and proxy.draining


async def test_a_router_that_ends_waits_for_clients_that_still_read_what_they_were_answered(turned):
    looks = []
    server = mock.AsyncMock(is_unread=lambda: len(looks) < 60)
    await drain(mock.Mock(in_flight=0, totals={"requests": 0}), server, looks.append)
    assert len(looks) >= 60


async def test_a_replica_that_ends_asks_its_router_a_few_times_only():
    asked = 0

    async def coming():
        nonlocal asked
        asked += 1
        return 0 if asked > 3 else 1

    began = time.monotonic()
    await _finish(mock.Mock(in_flight=0), mock.Mock(coming=coming))
    assert asked == 4 and time.monotonic() - began >= SETTLE_S + 3 * ASK_S


async def test_a_replica_that_ends_reads_the_bodies_that_are_under_way():
    with service("backend", "--port", 0) as replica:
        async with raw_client(replica) as one:
            await one.send(post(10, more="X-Aegis-Demand-Ms: 1\r\n") + b"a" * 5)

            async def here():
                async with raw_client(replica) as other:
                    await other.send(b"GET /probe HTTP/1.1\r\nHost: x\r\n\r\n")
                    return b'"in_flight":1' in (await other.answer())[2]

            await eventually(here, "the request is here")
            replica.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.5)  # longer than what it waits for nobody
            await one.send(b"b" * 5)
            assert (await one.answer())[0] == 200
        assert await gone(replica)


async def test_a_replica_waits_for_a_request_of_which_nothing_has_come_yet():
    """The router has chosen it for an upload whose client has sent no byte of its body: it still connects and sends."""
    with router(settings=QUICK) as front:
        with service("backend", "--port", 0, "--id", "d1", "--router", front.admin) as replica:
            async with client() as session, raw_client(front) as one:
                await until(session, front.admin, "d1", "ready")
                await one.send(post(200_000, more="X-Aegis-Demand-Ms: 1\r\n"))

                async def chosen():
                    return (await json_of(session, f"{front.admin}/replicas/d1"))["in_flight"] == 1

                await eventually(chosen, "it is chosen")
                replica.process.send_signal(signal.SIGTERM)
                await until(session, front.admin, "d1", "draining")
                await asyncio.sleep(0.5)  # longer than what it waits for nobody
                await one.send(b"a" * 200_000)
                status, headers, _ = await one.answer()
                assert (status, headers["x-aegis-replica"], headers["x-aegis-attempts"]) == (200, b"d1", b"1")
                await until(session, front.admin, "d1", None)
            assert await gone(replica)


@pytest.mark.slow
async def test_a_restart_and_a_scale_down_lose_nothing_and_send_no_post_twice():
    with router(settings=QUICK) as front:
        ports = {}

        def start(id_):
            arguments = ("--port", ports.get(id_, 0), "--id", id_, "--router", front.admin, "--concurrency", 8)
            replica = Service("backend", *arguments)
            ports[id_] = replica.url.rsplit(":", 1)[1]
            return replica

        replicas = {id_: await asyncio.to_thread(start, id_) for id_ in ("d1", "d2")}
        try:
            async with client() as session:
                for id_ in replicas:
                    await until(session, front.admin, id_, "ready")
                traffic = Traffic(front)
                before = replicas["d1"]
                assert await asyncio.to_thread(before.stop) == 0
                replicas["d1"] = await asyncio.to_thread(start, "d1")
                before.log.close()
                await until(session, front.admin, "d1", "ready")
                assert await asyncio.to_thread(replicas["d2"].stop) == 0
                await until(session, front.admin, "d2", None)
                await traffic.end()
                events = [e["event"] for e in (await json_of(session, f"{front.admin}/events"))["events"]]
        finally:
            for replica in replicas.values():
                replica.stop()
                replica.log.close()
        assert traffic.lost == [] and len(traffic.answers) > 50
        assert {attempts for _, size, attempts in traffic.answers if size} == {b"1"}
        assert events.count("drained") == 2 and "expired" not in events
