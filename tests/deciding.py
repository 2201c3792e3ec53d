"""Who a real proxy picked, with stamps of client and servers: both are this process, and have one clock."""

import asyncio
import contextlib
import random
import time

import aiohttp
from aiohttp import web

from experiments.conforming.seen import Attempt, Seen, Span
from experiments.data_planes import HOST
from record.files import write_text
from tests.ports import free_ports
from tests.proxied import listens, logging

SLACK_S = 2e-3
"""A proxy may send the last byte before it takes the request off."""


SERVERS = "servers"
"""File beside a proxy's log: what it calls its servers, in the order of the configuration."""


def ids(count):
    return [f"r{number}" for number in range(1, count + 1)]


async def _server(port, stamps):
    async def answer(request):
        taken = time.monotonic()
        if "X-Number" not in request.headers:  # somebody else, who has had this port before
            return web.Response(status=404)
        await asyncio.sleep(float(request.headers["X-Think-S"]))
        stamps[int(request.headers["X-Number"])] = (port, taken, time.monotonic())
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    return runner


async def _play(port, ports, process, asked):
    stamps, seen = {}, {}
    async with contextlib.AsyncExitStack() as stack:
        for each in ports:
            stack.push_async_callback((await _server(each, stamps)).cleanup)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        await listens(port, process)
        began = time.monotonic() + 0.1

        async def one(number, at_s, think_s):
            await asyncio.sleep(max(0.0, began + at_s - time.monotonic()))
            sent = time.monotonic()
            headers = {"X-Think-S": str(think_s), "X-Number": str(number)}
            async with session.get(f"http://{HOST}:{port}/work", headers=headers) as response:
                await response.read()
                assert response.status == 200
            seen[number] = (sent, time.monotonic())

        await asyncio.gather(*(one(number, *each) for number, each in enumerate(asked)))
    attempts = []
    for number, (sent, completed) in seen.items():
        picked, taken, ended = stamps[number]
        span = Span(sent - began, taken - began)
        over = Span(ended - began, completed - began + SLACK_S)
        attempts.append(Attempt(number, 1, ports.index(picked), span, over))
    return attempts


def decisions(name, folder, edit=None, words_of=list, *, count=400, rate_rps=120.0, mean_s=0.03, weights=(1.0,) * 4, seed=0):
    """What is seen of `count` requests, Poisson, with exponential times at the servers, through a real proxy."""
    rng = random.Random(seed)
    at_s, asked = 0.0, []
    for _ in range(count):
        at_s += rng.expovariate(rate_rps)
        asked.append((at_s, rng.expovariate(1 / mean_s)))
    port, *ports = free_ports(1 + len(weights))
    with logging(name, folder, port, ports, edit, words_of) as (_, process):
        attempts = asyncio.run(_play(port, ports, process, asked))
    called = ids(len(weights)) if name == "haproxy" else [f"{HOST}:{each}" for each in ports]
    write_text(folder / SERVERS, ",".join(called))
    return Seen(tuple(ids(len(weights))), tuple(weights), attempts)
