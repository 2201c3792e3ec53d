"""`python -m services.backend --port 9001 --router http://127.0.0.1:8081 --id r1 --concurrency 2`."""

import argparse
import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop
from starlette.types import ASGIApp

from services.backend.app import build_app
from services.backend.ledger import Ledger
from services.backend.listener import Listener
from services.backend.naming import name_in_network
from services.backend.registration import Registration
from services.backend.renewal import Leaving, may_leave
from services.backend.replica import Replica
from services.backend.settings import (
    CHECKS,
    DISTRIBUTIONS,
    DRAIN_S,
    KINDS,
    ON_HANGUP,
    PARENT_S,
    SLOTS,
    ReplicaSettings,
)
from services.backend.staged import JOINS, crash, seconds, wait
from services.backend.tracing import traced
from services.backend.work_queue import DISCIPLINES
from services.descriptors import raise_limit
from services.door.access import check_bind
from services.door.access_log import logged
from services.journal import add_options, configure, tell
from services.startup import announce, listen, url_for, url_of
from services.tracing import Tracing, add_option, begin

ID_HELP = "`hostname` = this machine's name, `dns` = its name in the router's network, both up to the first dot"
NOT_SAID = "of a request that does not say how much it asks for"
DRAIN_POLL_S = 0.01
"""Pause between two looks of a replica that drains at whether it may go, seconds."""


async def serve(
    arguments: argparse.Namespace,
    settings: ReplicaSettings,
    access_log: bool,
    tracing: Tracing | None,
    ledger: Ledger | None,
) -> None:
    """Serve until SIGTERM; then announce draining, finish, deregister."""
    raise_limit()
    await wait(arguments.ready_after_s, with_parent=arguments.exit_with_parent)
    data_socket = listen(arguments.host, arguments.port)
    admin_socket = listen(arguments.host, arguments.admin_port) if arguments.admin_port is not None else None
    replica = Replica(settings, ledger, arguments.downstream)
    app: ASGIApp = build_app(replica)
    if tracing is not None:
        app = traced(app, tracing)
    if access_log:
        app = logged(app)
    replica.data = Listener(app, data_socket)
    listeners = [replica.data]
    addresses = {"id": settings.id, "url": url_of(data_socket)}
    if admin_socket is not None:
        replica.has_admin = True
        listeners.append(Listener(app, admin_socket))
        addresses["admin"] = url_of(admin_socket)
    stopping = asyncio.Event()
    parent = os.getppid()

    def stop() -> None:
        if stopping.is_set():
            tell("stopped_at_once", logging.WARNING, cause="a second signal", in_flight=replica.in_flight)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    serving = [asyncio.create_task(listener.run_until_stopped()) for listener in listeners]
    for listener in listeners:
        await listener.until_started()
    registration = None
    if arguments.router is not None:
        router: str = arguments.router

        def about() -> dict[str, Any] | None:
            urls = [url_for(sock, router) for sock in (data_socket, admin_socket) if sock is not None]
            if None in urls:
                return None
            known = dict(zip(("url", "admin_url"), urls, strict=False))
            return {**known, "weight": settings.weight, "concurrency": settings.concurrency}

        registration = Registration(router, settings.id, about)
        if arguments.joins == "at_once":
            registration.start()
        else:
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, registration.start)
    tell("ready", pid=os.getpid(), **{name: value for name, value in addresses.items() if name != "id"})
    announce("backend", **addresses)
    broken = None
    if arguments.crash_after_s is not None and arguments.crash_after_s < math.inf:
        broken = asyncio.get_running_loop().call_later(arguments.crash_after_s, crash)
    while not stopping.is_set() and not (arguments.exit_with_parent and os.getppid() != parent):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), PARENT_S)
    if broken is not None:
        broken.cancel()
    tell("draining", cause="signal" if stopping.is_set() else "its starter is gone", in_flight=replica.in_flight)
    if registration is not None:
        await registration.drain(DRAIN_S)
    replica.draining = True
    await _finish(replica, registration)
    if registration is not None:
        await registration.leave()
    for listener in listeners:
        listener.should_exit = True
    await asyncio.gather(*serving)
    if replica.calls is not None:
        await replica.calls.close()
    if tracing is not None:
        await tracing.close()
    tell("stopped", in_flight=replica.in_flight)


async def _finish(replica: Replica, registration: Registration | None) -> None:
    """Wait for what is in flight, here and on its way, with a deadline."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    leaving = Leaving()
    while True:
        if leaving.looks(loop.time() - began, replica.in_flight):
            coming = None if registration is None else await registration.coming()
            if may_leave(loop.time() - began, replica.in_flight, coming):
                return
        await asyncio.sleep(DRAIN_POLL_S)


def main() -> None:
    """Read the command line and serve."""
    defaults = ReplicaSettings()
    parser = argparse.ArgumentParser(prog="python -m services.backend", description="An Aegis replica.")
    parser.add_argument("--host", default="127.0.0.1", help="where it listens")
    parser.add_argument("--port", type=int, default=9001, help="0 picks a free one")
    parser.add_argument("--admin-port", type=int, help="second port, which faults do not touch; 0 picks a free one")
    parser.add_argument("--router", help="admin URL of the router to register with")
    parser.add_argument("--id", default=defaults.id, help=ID_HELP)
    parser.add_argument("--concurrency", type=int, default=defaults.concurrency, help="slots")
    parser.add_argument("--queue-limit", type=int, default=defaults.queue_limit, help="requests that may wait")
    parser.add_argument("--speed", type=float, default=defaults.speed, help="service time = demand / speed")
    parser.add_argument("--kind", default=defaults.kind, help=f"one of {', '.join(KINDS)}")
    parser.add_argument("--discipline", default=defaults.discipline, help=f"one of {', '.join(DISCIPLINES)}")
    parser.add_argument("--on-hangup", default=defaults.on_hangup, help=f"one of {', '.join(ON_HANGUP)}")
    parser.add_argument("--checks", default=defaults.checks, help=f"one of {', '.join(CHECKS)}")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of what it draws")
    parser.add_argument("--replica-noise", type=float, default=defaults.replica_noise, help="0 to 1")
    parser.add_argument("--demand-mean-ms", type=float, default=defaults.demand_mean_ms, help=NOT_SAID)
    parser.add_argument(
        "--demand-distribution", default=defaults.demand_distribution, help=f"one of {', '.join(DISTRIBUTIONS)}"
    )
    parser.add_argument("--demand-sigma", type=float, default=defaults.demand_sigma, help="of the logarithm; lognormal")
    parser.add_argument("--weight", type=float, default=defaults.weight, help="announced to the router")
    parser.add_argument("--ledger", type=Path, metavar="DIR", help="folder for a file of all work that came here")
    calls = parser.add_argument_group("calls of a second tier, once a request's own work is done")
    calls.add_argument("--downstream", help="URL of the router before the second tier")
    calls.add_argument("--fanout", type=int, default=defaults.fanout, help="calls a request; 0 = none")
    calls.add_argument("--wait", type=int, default=defaults.wait, help="answers that it needs; 0 = all")
    calls.add_argument("--hit-rate", type=float, default=defaults.hit_rate, help="share that a cache spares")
    calls.add_argument("--slot", default=defaults.slot, help=f"one of {', '.join(SLOTS)}, meanwhile")
    calls.add_argument("--call-timeout-s", type=float, default=defaults.call_timeout_s, help="longest wait")
    calls.add_argument("--call-mean-ms", type=float, default=defaults.call_mean_ms, help="demand of a call")
    calls.add_argument("--call-distribution", default=defaults.call_distribution, help="of that demand")
    calls.add_argument("--call-sigma", type=float, default=defaults.call_sigma, help="of the logarithm")
    staged = parser.add_argument_group("how its life is staged")
    staged.add_argument("--ready-after-s", type=seconds, default=0.0, help="its start takes so much longer; or inf")
    staged.add_argument("--crash-after-s", type=seconds, help="its process crashes so long after it was ready")
    staged.add_argument("--joins", choices=JOINS, default=JOINS[0], help="it registers when ready, or at SIGUSR1")
    parser.add_argument("--exit-with-parent", action="store_true", help="drain and end when the starter is gone")
    add_options(parser)
    add_option(parser)
    arguments = parser.parse_args()
    check_bind(arguments.host)
    options = {k: v for k, v in vars(arguments).items() if k in ReplicaSettings.__dataclass_fields__}
    if options["id"] == "hostname":
        options["id"] = socket.gethostname().partition(".")[0]
    elif options["id"] == "dns":
        if arguments.router is None:
            parser.error("--id dns: needs --router, in whose network the name is looked up")
        options["id"] = name_in_network(arguments.router)
    settings = ReplicaSettings(**options)
    try:
        settings.validate()
        if arguments.router is not None and urlsplit(arguments.router).scheme not in ("http", "https"):
            raise ValueError(f"router={arguments.router}: must look like http://host:port")
        if (arguments.downstream is None) != (settings.fanout == 0):
            raise ValueError("--downstream and --fanout: go together, whom to call and how often")
        if arguments.downstream is not None and urlsplit(arguments.downstream).scheme not in ("http", "https"):
            raise ValueError(f"downstream={arguments.downstream}: must look like http://host:port")
        access_log = configure("replica", arguments, replica=settings.id)
        tracing = begin("replica", arguments, **{"service.instance.id": settings.id})
        ledger = None if arguments.ledger is None else Ledger(arguments.ledger, settings.id)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"--ledger {arguments.ledger}: cannot be written to ({error.strerror})")
    uvloop.run(serve(arguments, settings, access_log, tracing, ledger))


if __name__ == "__main__":
    main()
