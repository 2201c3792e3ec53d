"""`python -m services.router --port 8080 --admin-port 8081 --policy adaptive`."""

import argparse
import asyncio
import dataclasses
import gc
import logging
import os
import random
import signal
import time
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

from services.descriptors import raise_limit
from services.door.access import check_bind
from services.journal import add_options, configure, tell
from services.plugins import check_folders
from services.router import policies
from services.router.admin import Admin
from services.router.decisions import Recorded
from services.router.events import EventLog
from services.router.fleet import Fleet
from services.router.health import HealthChecker
from services.router.malformed import Malformed
from services.router.policies import POLICIES, Policy
from services.router.proxy import Proxy
from services.router.settings import DRAIN_S, SETTLE_S, TICK_S, RouterSettings
from services.router.telemetry import Telemetry
from services.router.wire.heartbeat import Heartbeat
from services.router.wire.pool import Pool
from services.router.wire.server import DataServer, most_clients
from services.startup import BACKLOG, announce, listen, read_config, url_of
from services.tracing import Tracing, add_option, begin

DRAIN_POLL_S = 0.01
"""How often a router that drains looks whether it may go, seconds."""
GC_OBJECTS = 20_000
"""More objects made than freed until the collector looks for circles. A request under way has some thirty, so that
Python's 700 are reached by those of one busy turn of the loop, again and again, and requests leave no circles."""
CUT_S = 0.1
"""Longest wait for what has not ended by the end of the drain, seconds."""


def settings_from(content: dict[str, Any], cls: type = RouterSettings, prefix: str = "router") -> Any:  # noqa: ANN401
    """A settings dataclass from JSON.

    Raises:
        ValueError: a key that does not exist; names the choices.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{prefix}={content}: must be an object")
    hints = typing.get_type_hints(cls)
    for key in content:
        if key not in hints:
            raise ValueError(f"{prefix}.{key}: there are {', '.join(hints)}")
    return cls(
        **{
            key: settings_from(value, hints[key], f"{prefix}.{key}") if dataclasses.is_dataclass(hints[key]) else value
            for key, value in content.items()
        }
    )


async def drain(proxy: Proxy, server: DataServer, tick: Callable[[float], None]) -> None:
    """Accept no more connections, finish what is in flight, bodies that still come and answers that are read included.

    Clients that are connected may ask once more; they are told that it was the last time (Envoy's and HAProxy's way).
    """
    proxy.draining = True
    await server.stop()
    began = busy_at = time.monotonic()
    requests = proxy.totals["requests"]
    while (now := time.monotonic()) < began + DRAIN_S:
        asked = proxy.totals["requests"] != requests  # a short one has come and gone between two looks
        if proxy.in_flight or asked or server.is_unread():
            busy_at, requests = now, proxy.totals["requests"]
        elif now >= busy_at + SETTLE_S:
            return
        tick(now)
        await asyncio.sleep(DRAIN_POLL_S)


async def serve(
    arguments: argparse.Namespace,
    settings: RouterSettings,
    policy: Policy,
    name: str,
    access_log: bool,
    tracing: Tracing | None,
) -> None:
    """Serve both ports until SIGTERM or SIGINT; then finish what is in flight."""
    data, admin = listen(arguments.host, arguments.port), listen(arguments.admin_host, arguments.admin_port)
    events, telemetry = EventLog(), Telemetry()
    fleet = Fleet(settings.health, settings.ejection, events.emit)
    telemetry.watch(fleet, events.counts)
    loop = asyncio.get_running_loop()
    heartbeat = Heartbeat(telemetry.loop_lag.observe)
    most = most_clients(raise_limit())
    pool = Pool(settings.timeouts.connect_s, most)
    pauses = random.Random(arguments.seed + 2)
    proxy = Proxy(settings, fleet, policy, telemetry, pool, heartbeat, tracing, rng=pauses, access_log=access_log)
    rng = random.Random(arguments.seed + 1)
    checker = HealthChecker(settings.health, fleet, rng, proxy.exhausted, heartbeat, proxy.late)
    fleet.watch = checker.watch
    server = DataServer(proxy, heartbeat, most, settings.timeouts.head_s, settings.timeouts.idle_s)

    def leave(id_: str) -> None:
        if (moved := proxy.leave(id_, server.clients)) > 0:
            events.emit("moved", id_, time.monotonic(), requests=moved)

    events.on_leave = lambda id_: loop.call_soon(leave, id_)  # the fleet has done with the event by then
    fleet.left = events.on_leave
    await server.start(data)
    app = Admin(fleet, proxy, events, telemetry, heartbeat, name).app()
    logging.getLogger("aiohttp.server").addFilter(Malformed())
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=CUT_S)
    await runner.setup()
    await web.SockSite(runner, admin, backlog=BACKLOG).start()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    addresses = {"url": url_of(data), "admin": url_of(admin)}
    gc.collect()
    gc.freeze()  # what is loaded by now stays as long as the process: the collector need not look at it again
    gc.set_threshold(GC_OBJECTS, *gc.get_threshold()[1:])
    tell("ready", pid=os.getpid(), policy=name, **addresses)
    announce("router", **addresses)
    while not stopping.is_set():
        fleet.tick(time.monotonic())
        try:
            await asyncio.wait_for(stopping.wait(), TICK_S)
        except TimeoutError:
            continue
    tell("stopping", in_flight=proxy.in_flight)
    await drain(proxy, server, fleet.tick)
    await server.cleanup(CUT_S)
    await checker.stop()
    if proxy.prober is not None:
        proxy.prober.stop()
    await runner.cleanup()
    await pool.close()
    heartbeat.stop()
    if tracing is not None:
        await tracing.close()
    tell("stopped", requests=proxy.totals["requests"])


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m services.router", description="Aegis' router.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="data port; 0 picks a free one")
    parser.add_argument("--admin-host", help="where the admin port listens, if not at --host")
    parser.add_argument("--admin-port", type=int, default=8081, help="admin port; 0 picks a free one")
    parser.add_argument("--policy", help=f"one of {POLICIES.listed()} (default adaptive)")
    parser.add_argument("--config", help='JSON or a file of it: {"router": {...}, "policy": {"name": ..., ...}}')
    parser.add_argument("--seed", type=int, default=0, help="of the policy's draws and the checks' jitter")
    parser.add_argument("--decisions", type=Path, metavar="FILE", help="write down what the policy is told and answers")
    add_options(parser)
    add_option(parser)
    arguments = parser.parse_args()
    arguments.admin_host = arguments.admin_host or arguments.host
    for host in (arguments.host, arguments.admin_host):  # by the data port, too, replicas' faults can be reached
        check_bind(host)
    try:
        check_folders()
        content = read_config(arguments.config)
        if not isinstance(content, dict) or set(content) - {"router", "policy"}:
            raise ValueError("--config: must be an object with router and policy, no other keys")
        settings = settings_from(content.get("router", {}))
        settings.validate()
        choice = {"name": "adaptive", **content.get("policy", {})}
        if arguments.policy is not None and arguments.policy != choice["name"]:
            choice = {"name": arguments.policy}
        name = choice.pop("name")
        policy: Policy = policies.create(name, choice, random.Random(arguments.seed))
        if arguments.decisions is not None:
            policy = Recorded(policy, arguments.decisions, name, choice, arguments.seed)
        access_log = configure("router", arguments)
        tracing = begin("router", arguments)
    except (OSError, ValueError, TypeError) as error:
        parser.error(" ".join(str(error).split()))
    uvloop.run(serve(arguments, settings, policy, name, access_log, tracing))


if __name__ == "__main__":
    main()
