"""`python -m services.manager --port 8082 --router http://127.0.0.1:8081 --engine local`."""

import argparse
import asyncio
import contextlib
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from services import plugins
from services.door.access import check_bind
from services.door.head_limit import HeadLimited
from services.manager import scalers
from services.manager.app import build_app
from services.manager.control import Control
from services.manager.engines import Engine, EngineError
from services.manager.engines.fixed import FixedEngine
from services.manager.engines.local import LocalEngine
from services.manager.limits import Limits
from services.manager.settings import ScalingSettings
from services.processes import StartError
from services.startup import announce, listen, read_config, url_of

ENGINES = ("local", "compose", "swarm", "fixed")
SECTIONS = ("scaling", "scaler", "replica")


class _Server(uvicorn.Server):
    """Leaves signals to the manager."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


async def create_engine(arguments: argparse.Namespace, replica: dict[str, Any]) -> Engine:
    """The engine that was asked for.

    Raises:
        EngineError: it cannot work here.
    """
    if arguments.engine == "local":
        return LocalEngine(replica, arguments.router, arguments.log_dir or Path(tempfile.mkdtemp(prefix="aegis-")))
    if arguments.engine == "fixed":
        return FixedEngine(arguments.router)
    from services.manager.containers import connect, own_place  # Docker's client, which the others do without

    docker = connect()
    try:
        if arguments.engine == "swarm":
            from services.manager.engines.swarm import SwarmEngine, own_service

            return SwarmEngine(docker, await own_service(docker))
        from services.manager.engines.compose import ComposeEngine

        place = replace(await own_place(docker), publish=arguments.publish)
        return ComposeEngine(docker, place, replica, arguments.router)
    except EngineError:
        await docker.close()
        raise


async def serve(arguments: argparse.Namespace, content: dict[str, Any], scaling: ScalingSettings) -> None:
    """Start the replicas, then decide and serve until SIGTERM; then drain them all."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    sock = listen(arguments.host, arguments.port)
    choice = {"name": arguments.scaler, **content.get("scaler", {})}
    name = choice.pop("name")
    engine = await create_engine(arguments, content.get("replica", {}))
    control = Control(
        scalers.create(name, choice),
        Limits(scaling),
        engine,
        arguments.router,
        content.get("replicas", arguments.replicas),
    )
    server = _Server(
        uvicorn.Config(
            build_app(control, engine, name),
            http=HeadLimited,
            loop="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            ws="none",
            timeout_graceful_shutdown=2,
        )
    )
    stopped = asyncio.create_task(stopping.wait())
    starting = asyncio.create_task(control.begin())
    await asyncio.wait([stopped, starting], return_when=asyncio.FIRST_COMPLETED)
    tasks: list[asyncio.Task[None]] = []
    try:
        if not stopping.is_set():
            await starting
            tasks = [asyncio.create_task(server.serve(sockets=[sock])), asyncio.create_task(control.run())]
            while not server.started:  # noqa: ASYNC110 - uvicorn offers a flag only
                await asyncio.sleep(0.005)
            announce("manager", url=url_of(sock))
            await asyncio.wait([stopped, tasks[1]], return_when=asyncio.FIRST_COMPLETED)
            if tasks[1].done():
                tasks[1].result()
    finally:
        starting.cancel()
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(starting, *tasks[1:], return_exceptions=True)
        await control.close()
        server.should_exit = True
        await asyncio.gather(*tasks[:1])


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m services.manager", description="Aegis' autoscaler.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8082, help="0 picks a free one")
    parser.add_argument("--router", default="http://127.0.0.1:8081", help="the router's admin URL")
    parser.add_argument(
        "--engine", default="local", choices=ENGINES, help="what runs the replicas; fixed = nothing does"
    )
    parser.add_argument("--publish", action="store_true", help="publish replicas' ports at 127.0.0.1 (engine compose)")
    parser.add_argument(
        "--scaler", default="target_tracking", help=f"one of {plugins.listed(scalers.__name__)}; options by --config"
    )
    parser.add_argument("--replicas", type=int, default=1, help="to begin with")
    parser.add_argument("--config", help='JSON or a file of it: {"scaling", "scaler", "replica", "replicas"}')
    parser.add_argument("--log-dir", type=Path, help="for the replicas' logs (default: a new temporary folder)")
    arguments = parser.parse_args()
    check_bind(arguments.host)
    try:
        content = read_config(arguments.config)
        if not isinstance(content, dict):
            raise ValueError("--config: must be an object")
        unknown = set(content) - {*SECTIONS, "replicas"}
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: there are scaling, scaler, replica, replicas")
        scaling = ScalingSettings(**content.get("scaling", {}))
        scaling.validate()
        choice = {"name": arguments.scaler, **content.get("scaler", {})}
        scalers.create(choice.pop("name"), choice)
        replicas = content.get("replicas", arguments.replicas)
        if not isinstance(replicas, int) or not all(isinstance(content.get(k, {}), dict) for k in SECTIONS):
            raise ValueError(f"--config: {', '.join(SECTIONS)} must be objects, replicas a whole number")
        if not scaling.min_replicas <= replicas <= scaling.max_replicas:
            raise ValueError(f"replicas={replicas}: must be between {scaling.min_replicas} and {scaling.max_replicas}")
    except (OSError, ValueError, TypeError) as error:
        parser.error(" ".join(str(error).split()))
    try:
        uvloop.run(serve(arguments, content, scaling))
    except (StartError, EngineError) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
