"""A router that stood still while it connected to a replica does not take that for the replica's silence."""

import asyncio
import contextlib
import random
import time
from types import SimpleNamespace

import aiohttp
import pytest
import uvloop

from services.router.events import EventLog
from services.router.fleet import Fleet
from services.router.policies import create
from services.router.proxy import Proxy
from services.router.settings import RouterSettings
from services.router.telemetry import Telemetry
from services.router.wire.heartbeat import Heartbeat
from services.router.wire.pool import Pool
from services.router.wire.server import DataServer
from services.startup import listen, url_of

pytestmark = pytest.mark.slow  # sockets
SHORT_S = 0.2
STOOD_S = 0.5
LONG_S = 20.0


class Standing(Pool):
    """The loop stands still right after a connection has been begun: it is made, and nobody looks."""

    async def create(self, url):
        self._loop.call_soon(time.sleep, STOOD_S)
        return await super().create(url)


@contextlib.asynccontextmanager
async def replica():
    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize(("connect_s", "attempt_s"), [(SHORT_S, LONG_S), (LONG_S, SHORT_S)])
def test_a_connection_that_was_made_while_the_router_stood_still_is_used(connect_s, attempt_s):
    async def main():
        settings = RouterSettings()
        settings.health.enabled = False
        settings.timeouts.attempt_s = attempt_s
        fleet = Fleet(settings.health, settings.ejection, EventLog().emit)
        heartbeat, pool = Heartbeat(), Standing(connect_s, 100)
        proxy = Proxy(settings, fleet, create("round_robin", {}, random.Random(0)), Telemetry(), pool, heartbeat)
        front = DataServer(proxy, heartbeat, most=100, head_s=60, idle_s=30)
        sock = listen("127.0.0.1", 0)
        await front.start(sock)
        async with replica() as url, aiohttp.ClientSession() as session:
            fleet.put("r1", time.monotonic(), url=url)
            async with session.get(url_of(sock)) as response:
                assert (response.status, await response.text()) == (200, "fine")
                assert response.headers["X-Aegis-Attempts"] == "1"
            assert fleet.replicas["r1"].failures_total == 0 and proxy.totals["late"] >= 1  # more where it stood still again
            await pool.close()
        await front.cleanup()
        heartbeat.stop()

    uvloop.run(main())


async def test_a_connection_that_is_not_made_is_given_up_after_its_time(monkeypatch):
    async def hangs(*_):
        await asyncio.Event().wait()

    loop = asyncio.get_running_loop()
    late = []
    pool = Pool(SHORT_S, 100)
    pool.late = lambda: late.append(1)
    made_up = SimpleNamespace(call_later=loop.call_later, time=loop.time, create_connection=hangs)
    monkeypatch.setattr(pool, "_loop", made_up)
    began = loop.time()
    with pytest.raises(TimeoutError):
        await pool.create("http://127.0.0.1:9")
    assert loop.time() - began >= SHORT_S * 0.9 and late == []
    await pool.close()
