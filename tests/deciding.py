"""Who a real proxy picked, with stamps of client and servers: both are this process, and have one clock.

One thing happens after the other: a request is sent once the one before has reached a server, or an answer has come back.
So the order of starts and ends is known, however slow the machine.
"""

import asyncio
import contextlib
import random
import time
from collections import defaultdict

import aiohttp
from aiohttp import web

from experiments.conforming.seen import Attempt, Seen, Span
from experiments.data_planes import HOST
from record.files import write_text
from tests.ports import free_ports
from tests.proxied import listens, logging
from tests.running import AT_MOST_S

STEP_S = 4e-3
"""From one thing to the next: a proxy's log has milliseconds, and it may send the last byte before it takes a request off."""
MOST = 8
"""In flight."""
SERVERS = "servers"
"""File beside a proxy's log: what it calls its servers, in the order of the configuration."""


def ids(count):
    return [f"r{number}" for number in range(1, count + 1)]


class _Servers:
    """Each answers a request once it may."""

    def __init__(self):
        self.taken, self.ended = {}, {}
        """By request: port and time; time."""
        self.arrived, self.may_end = defaultdict(asyncio.Event), defaultdict(asyncio.Event)

    async def start(self, port):
        async def answer(request):
            taken = time.monotonic()
            if "X-Number" not in request.headers:  # somebody else, who has had this port before
                return web.Response(status=404)
            number = int(request.headers["X-Number"])
            self.taken[number] = port, taken
            self.arrived[number].set()
            await self.may_end[number].wait()
            self.ended[number] = time.monotonic()
            return web.Response(text="ok")

        app = web.Application()
        app.router.add_get("/{any:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, HOST, port).start()
        return runner


async def _play(port, ports, process, count, rng):
    servers, sent, completed = _Servers(), {}, {}
    async with contextlib.AsyncExitStack() as stack:
        for each in ports:
            stack.push_async_callback((await servers.start(each)).cleanup)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        await stack.enter_async_context(asyncio.timeout(AT_MOST_S))
        await listens(port, process)

        async def one(number):
            sent[number] = time.monotonic()
            async with session.get(f"http://{HOST}:{port}/work", headers={"X-Number": str(number)}) as response:
                await response.read()
                assert response.status == 200
            completed[number] = time.monotonic()

        under_way = {}
        while len(completed) < count:
            if len(sent) < count and (not under_way or (len(under_way) < MOST and rng.random() < 0.5)):
                number = len(sent)
                under_way[number] = asyncio.create_task(one(number))
                await servers.arrived[number].wait()
            else:
                number = rng.choice(list(under_way))
                servers.may_end[number].set()
                await under_way.pop(number)
            await asyncio.sleep(STEP_S)
    began = min(sent.values())
    attempts = []
    for number in completed:
        picked, taken = servers.taken[number]
        span = Span(sent[number] - began, taken - began)
        over = Span(servers.ended[number] - began, completed[number] - began)
        attempts.append(Attempt(number, 1, ports.index(picked), span, over))
    return attempts


def decisions(name, folder, edit=None, words_of=list, *, count=400, weights=(1.0,) * 4, seed=0):
    """What is seen of `count` requests, of which up to eight are in flight, through a real proxy."""
    port, *ports = free_ports(1 + len(weights))
    with logging(name, folder, port, ports, edit, words_of) as (_, process):
        attempts = asyncio.run(_play(port, ports, process, count, random.Random(seed)))
    called = ids(len(weights)) if name == "haproxy" else [f"{HOST}:{each}" for each in ports]
    write_text(folder / SERVERS, ",".join(called))
    return Seen(tuple(ids(len(weights))), tuple(weights), attempts)
