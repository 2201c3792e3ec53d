"""`python -m services.manager --port 8082 --router http://127.0.0.1:8081 --engine local`."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn
import uvloop

from services.descriptors import raise_limit
from services.door.access import check_bind
from services.door.access_log import logged
from services.door.head_limit import HeadLimited
from services.journal import add_options, configure, tell
from services.manager import scalers
from services.manager.app import build_app
from services.manager.control import Control
from services.manager.engines import ENGINES, EngineError
from services.manager.limits import Limits
from services.manager.scalers import SCALERS
from services.manager.settings import ScalingSettings
from services.plugins import check_folders
from services.processes import StartError
from services.startup import announce, listen, read_config, url_of
from services.units import must_be

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
SECTIONS = ("scaling", "scaler", "replica")


class _Server(uvicorn.Server):
    """Leaves signals to the manager."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


async def serve(
    arguments: argparse.Namespace, content: dict[str, Any], scaling: ScalingSettings, access_log: bool
) -> None:
    """Start the replicas, then decide and serve until SIGTERM; then drain them all."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    sock = listen(arguments.host, arguments.port)
    choice = {"name": arguments.scaler, **content.get("scaler", {})}
    name = choice.pop("name")
    engine = await ENGINES.find(arguments.engine).create(arguments, content.get("replica", {}))
    control = Control(
        scalers.create(name, choice),
        Limits(scaling),
        engine,
        arguments.router,
        content.get("replicas", arguments.replicas),
        arguments.seed,
    )
    app = build_app(control, engine, name)
    server = _Server(
        uvicorn.Config(
            logged(app) if access_log else app,
            http=HeadLimited,
            loop="none",
            lifespan="off",
            access_log=False,
            log_config=None,
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
            tell("ready", pid=os.getpid(), engine=arguments.engine, scaler=name, url=url_of(sock))
            announce("manager", url=url_of(sock))
            await asyncio.wait([stopped, tasks[1]], return_when=asyncio.FIRST_COMPLETED)
            if tasks[1].done():
                tasks[1].result()
    finally:
        tell("stopping", replicas=control.desired)
        starting.cancel()
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(starting, *tasks[1:], return_exceptions=True)
        await control.close()
        server.should_exit = True
        await asyncio.gather(*tasks[:1])
        tell("stopped")


def _seconds(text: str) -> float:
    """A time above 0. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: must be a number of seconds above 0")
    return value


def parse() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Read the command line: first which engine it names, whose file declares options of its own."""
    parser = argparse.ArgumentParser(
        prog="python -m services.manager",
        description="Aegis' autoscaler.",
        epilog="--engine NAME --help shows that engine's own options.",
    )
    wants_help = bool({"-h", "--help"} & set(sys.argv[1:]))
    engines = ENGINES.listed() if wants_help else ""  # it imports them all, Docker's client too
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8082, help="0 picks a free one")
    parser.add_argument("--router", default="http://127.0.0.1:8081", help="the router's admin URL")
    parser.add_argument("--scaler", default="target_tracking", help=f"one of {SCALERS.listed()}; options by --config")
    parser.add_argument("--replicas", type=int, default=1, help="to begin with")
    parser.add_argument("--seed", type=int, default=0, help="of which samples never come, and how starts go")
    parser.add_argument(
        "--startup-timeout",
        type=_seconds,
        metavar="S",
        help="seconds that a replica may take to start (default: the engine's own; local 20, compose 30, swarm 60)",
    )
    parser.add_argument("--config", help='JSON or a file of it: {"scaling", "scaler", "replica", "replicas"}')
    choice = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for each in (choice, parser):
        text = f"what runs the replicas, one of {engines} (default local; fixed = nothing does)"
        each.add_argument("--engine", default="local", help=text)
    name = choice.parse_known_args()[0].engine
    try:
        check_folders()
        engine = ENGINES.find(name)
    except ValueError as error:
        parser.error(str(error))
    add_options(parser)
    engine.add_options(parser.add_argument_group(f"options of --engine {name}"))
    return parser, parser.parse_args()


def _scaling(content: dict[str, Any]) -> ScalingSettings:
    """The limits that `content` describes.

    Raises:
        ValueError: an unknown key, or a wrong value.
    """
    settings = _settings(ScalingSettings(), content, "scaling")
    settings.validate()
    return settings


def _settings(settings: T, content: dict[str, Any], section: str) -> T:
    """The settings with what `content` says. Raises ValueError: an unknown key, or a value of the wrong kind."""
    known = [each.name for each in fields(settings)]
    for key, value in content.items():
        path = f"{section}.{key}"
        if key not in known:
            raise ValueError(f"{path}: there is no such key; there are {', '.join(known)}")
        default = getattr(settings, key)
        if is_dataclass(default) and not isinstance(default, type):
            if not isinstance(value, dict):
                raise ValueError(f"{path}={value}: must be a section")
            setattr(settings, key, _settings(default, value, path))
            continue
        kind = type(default)
        accepted = (int, float) if kind is float else kind
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{path}={value}: {must_be(path, value, kind, default)}")
        setattr(settings, key, value)
    return settings


def main() -> None:
    """Read the command line and serve."""
    parser, arguments = parse()
    check_bind(arguments.host)
    try:
        content = read_config(arguments.config)
        if not isinstance(content, dict):
            raise ValueError("--config: must be an object")
        unknown = set(content) - {*SECTIONS, "replicas"}
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: there are scaling, scaler, replica, replicas")
        replicas = content.get("replicas", arguments.replicas)
        if not isinstance(replicas, int) or not all(isinstance(content.get(k, {}), dict) for k in SECTIONS):
            raise ValueError(f"--config: {', '.join(SECTIONS)} must be objects, replicas a whole number")
        scaling = _scaling(content.get("scaling", {}))
        choice = {"name": arguments.scaler, **content.get("scaler", {})}
        scalers.create(choice.pop("name"), choice)
        if scaling.starts.needs_engine and not getattr(ENGINES.find(arguments.engine), "has_starts", False):
            raise ValueError(f"scaling.starts: --engine {arguments.engine} does not play it; take --engine local")
        if not scaling.min_replicas <= replicas <= scaling.max_replicas:
            raise ValueError(f"replicas={replicas}: must be between {scaling.min_replicas} and {scaling.max_replicas}")
        first = replicas + scaling.starts.warm
        if 0 < scaling.starts.supply < first:
            must = f"0, or at least replicas + scaling.starts.warm = {first}"
            raise ValueError(f"scaling.starts.supply={scaling.starts.supply}: must be {must}")
        access_log = configure("manager", arguments)
    except (OSError, ValueError, TypeError) as error:
        parser.error(" ".join(str(error).split()))
    raise_limit()  # each replica that it starts takes some
    try:
        uvloop.run(serve(arguments, content, scaling, access_log))
    except (StartError, EngineError) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
