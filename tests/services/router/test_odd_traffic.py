"""Traffic that a proxy meets in the wild, and policies that fail: nothing is lost, miscounted or misattributed."""

import asyncio
import gzip

import pytest
from aiohttp import web

from services.router.dispatch import Dispatcher, PolicyError
from services.router.events import EventLog
from services.router.fleet import Fleet
from services.router.policies import Pick
from services.router.settings import RouterSettings
from tests.services.live import client, json_of, router
from tests.services.router.upstreams import upstreams


@pytest.fixture(scope="module")
def started():
    settings = {"health": {"interval_s": 600, "timeout_s": 30}, "retry": {"max_body_bytes": 4 << 20}}
    with router(settings={"router": settings, "policy": {"name": "round_robin"}}) as process:
        yield process


async def exchange(started, request, answers=1):
    """Send bytes; the heads of so many answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(started.url.rsplit(":", 1)[1]))
    writer.write(request)
    heads = [await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30) for _ in range(answers)]
    writer.close()
    return heads


@pytest.mark.parametrize("body", [gzip.compress(b"x" * 5000), b"not gzip at all"], ids=["gzip", "nonsense"])
async def test_a_compressed_upload_arrives_byte_for_byte(started, body):
    got = []

    async def keep(request):
        got.append(await request.content.read())
        return web.Response()

    async with client() as session, upstreams(started, session, keep, raw=True):
        headers = {"Content-Encoding": "gzip"}
        async with session.post(f"{started.url}/up", data=body, headers=headers) as response:
            assert response.status == 200
    assert got == [body]


async def test_a_body_that_is_kept_for_a_retry_may_be_as_large_as_the_setting_says(started):
    async def length(request):
        return web.json_response(sum([len(chunk) async for chunk in request.content.iter_any()]))

    async with client() as session, upstreams(started, session, length):
        async with session.post(f"{started.url}/up", data=b"x" * (2 << 20)) as response:
            assert (response.status, await response.json()) == (200, 2 << 20)


async def broken(request):
    """The head of a small answer, a part of its body, and a reset."""
    request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
    await asyncio.sleep(0.02)
    request.transport.abort()
    await asyncio.sleep(30)


async def fine(_request):
    return web.Response(text="fine")


async def test_a_small_answer_that_breaks_off_is_tried_again_or_told_as_502(started):
    async with client() as session:
        async with upstreams(started, session, broken, fine):
            for _ in range(3):
                async with session.get(f"{started.url}/x") as response:
                    assert (response.status, await response.text()) == (200, "fine")
        async with upstreams(started, session, broken), session.get(f"{started.url}/x") as response:
            assert response.status == 502
            assert (await response.json())["reason"] == "reset"


async def test_what_comes_in_is_what_is_counted(started):
    async with client() as session, upstreams(started, session, fine, broken):
        for _ in range(6):
            async with session.get(f"{started.url}/x") as response:
                await response.read()
        stats = await json_of(session, f"{started.admin}/stats")
        ended = sum(stats["responses"].values()) + stats["cancelled_total"] + stats["broken_total"]
        assert stats["requests_total"] == ended + stats["in_flight"]


async def test_after_an_upgrade_that_is_not_made_the_client_knows_to_connect_anew(started):
    async with client() as session, upstreams(started, session, fine):
        asks = b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
        (head,) = await exchange(started, asks)
        assert b" 200 " in head
        assert b"connection: close" in head.lower()


async def test_an_old_client_is_not_told_to_continue(started):
    async with client() as session, upstreams(started, session, fine):
        asks = b"POST /x HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nab"
        (head,) = await exchange(started, asks)
        assert b" 200 " in head


class Failing:
    """A policy that raises where it is told to."""

    name = "failing"

    def __init__(self, where):
        self.where = where

    def pick(self, candidates, request, now):
        return Pick(candidates[0], "only")

    def on_start(self, replica, now):
        if self.where == "on_start":
            raise RuntimeError("started badly")

    def on_finish(self, replica, outcome, latency, now):
        if self.where == "on_finish":
            raise RuntimeError("finished badly")


def test_a_policy_that_raises_in_its_hooks_leaves_the_accounts_straight(capsys):
    settings = RouterSettings()
    fleet = Fleet(settings.health, settings.ejection, EventLog().emit)
    fleet.put("r1", 0.0, url="http://127.0.0.1:9")
    fleet.on_check("r1", True, 0.5)
    replica = fleet.replicas["r1"]
    dispatcher = Dispatcher(settings, fleet, Failing("on_start"))
    with pytest.raises(PolicyError, match="started badly"):
        dispatcher.choose(dispatcher.open(1.0, idempotent=True), "1", None, 1.0)
    assert replica.in_flight == 0
    dispatcher = Dispatcher(settings, fleet, Failing("on_finish"))
    dispatcher.choose(dispatcher.open(1.0, idempotent=True), "1", None, 1.0)
    dispatcher.finish(replica, "ok", 0.1, 2.0)
    assert (replica.in_flight, replica.requests_total) == (0, 1)
    assert "finished badly" in capsys.readouterr().err
