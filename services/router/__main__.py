"""`python -m services.router --port 8080 --admin-port 8081 --policy peak_ewma`."""

import argparse
import asyncio
import dataclasses
import random
import signal
import time
import typing
from typing import Any

import uvloop
from aiohttp import web

from services.door.access import check_bind
from services.plugins import check_folders
from services.router import policies
from services.router.admin import Admin
from services.router.events import EventLog
from services.router.fleet import Fleet
from services.router.health import HealthChecker
from services.router.policies import POLICIES, Policy
from services.router.proxy import Proxy, client_session
from services.router.settings import DRAIN_S, TICK_S, RouterSettings
from services.router.telemetry import Telemetry
from services.startup import announce, listen, read_config, url_of


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


async def serve(arguments: argparse.Namespace, settings: RouterSettings, policy: Policy, name: str) -> None:
    """Serve both ports until SIGTERM or SIGINT; then finish what is in flight."""
    data, admin = listen(arguments.host, arguments.port), listen(arguments.admin_host, arguments.admin_port)
    events, telemetry = EventLog(), Telemetry()
    fleet = Fleet(settings.health, settings.ejection, events.emit)
    telemetry.watch(fleet, events.counts)
    session = client_session(settings)
    proxy = Proxy(settings, fleet, policy, telemetry, session)
    checker = HealthChecker(settings.health, fleet, random.Random(arguments.seed + 1))
    server = web.ServerRunner(
        web.Server(
            proxy.handle, handler_cancellation=True, access_log=None, keepalive_timeout=75, auto_decompress=False
        ),
        access_log=None,
    )
    fleet.watch = checker.watch
    app = Admin(fleet, proxy, events, telemetry, name).app()
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    for each, sock in ((server, data), (runner, admin)):
        await each.setup()
        await web.SockSite(each, sock, shutdown_timeout=DRAIN_S).start()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    announce("router", url=url_of(data), admin=url_of(admin))
    while not stopping.is_set():
        fleet.tick(time.monotonic())
        try:
            await asyncio.wait_for(stopping.wait(), TICK_S)
        except TimeoutError:
            continue
    await server.cleanup()
    await checker.stop()
    await runner.cleanup()
    await session.close()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m services.router", description="Aegis' router.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="data port; 0 picks a free one")
    parser.add_argument("--admin-host", help="where the admin port listens, if not at --host")
    parser.add_argument("--admin-port", type=int, default=8081, help="admin port; 0 picks a free one")
    parser.add_argument("--policy", help=f"one of {POLICIES.listed()} (default peak_ewma)")
    parser.add_argument("--config", help='JSON or a file of it: {"router": {...}, "policy": {"name": ..., ...}}')
    parser.add_argument("--seed", type=int, default=0, help="of the policy's draws and the checks' jitter")
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
        choice = {"name": "peak_ewma", **content.get("policy", {})}
        if arguments.policy is not None and arguments.policy != choice["name"]:
            choice = {"name": arguments.policy}
        name = choice.pop("name")
        policy = policies.create(name, choice, random.Random(arguments.seed))
    except (OSError, ValueError, TypeError) as error:
        parser.error(" ".join(str(error).split()))
    uvloop.run(serve(arguments, settings, policy, name))


if __name__ == "__main__":
    main()
