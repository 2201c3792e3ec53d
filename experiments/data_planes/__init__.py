"""Proxies that can stand before the replicas, one a file: `mine.py` has a class with `name = "mine"`.

Each is configured as the router is (`RouterSettings`): the same checks, time-outs, attempts and ejection, as far as it
knows them, on one worker, so that a comparison is about the proxy.

    name, package          of its file; what installs it
    program()              the path of its program; None = it is not installed
    command(front)         writes its configuration into `front.folder`; returns the command that runs it in the
                           foreground, or None where it is not installed
    began(process, front)  is awaited once the command runs; what is still to be done until it passes requests on
    variable               of the environment, which may name its program; left out where there is none

`python -m experiments.router_cost` compares what they cost. With what follows a run can be measured with one in the
router's place (`router.data_plane=mine`, an *arm*; `experiments.live.standing_in` calls it, docs/data_planes.md):

    algorithms             of `router.algorithm`, in its own words; the first is taken where none is given
    lacks                  keys that turn on what it has not, as `hedging.enabled`: a run that sets one is refused
    tells                  whether `look` sees ejections; where not, nobody knows when a fault was noticed
    counts                 whether `look` counts requests by replica, by which a scaler goes
    least                  the oldest version that takes its configuration, and what of it others do not; empty = any
    version()              what the program calls itself
    otherwise(front)       what it does otherwise than the router, a sentence each, for the manifest
    change(process, front, members)   makes `members` those that it balances among: a file, its own interface, a reload
    look(front, members)   what it says of each member now
    end(process, front)    lets it end as soon as what is under way is done

An instance belongs to one process of the proxy, and may remember. Processes that its program starts are in its group.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from experiments.exporting import EXPORTERS, Deployment, Exported, Exporter, Upstream
from record.files import write_text
from services.plugins import Point
from services.processes import ServiceProcess
from services.router.settings import RouterSettings

DATA_PLANES = Point(__name__, __path__, "data_planes", "data_plane", ("command", "began", "program"), ("package",))
HOST = "127.0.0.1"
SLOW_START_S = 5.0
"""As `policy=adaptive`, of Aegis' router, has it."""
OURS = "aegis"
"""The one that runs take where none is named: Aegis' own router."""
NOWHERE = Upstream("nobody", HOST, 1)
"""Stands where a configuration wants a replica and there is none yet; it is never asked."""
OF_ARMS = ("algorithms", "lacks", "tells", "counts", "least", "version", "otherwise", "change", "look", "end")
"""What a class must have for a run to take it."""
SAYS_WITHIN_S = 10.0
"""Longest wait for a program to say its version."""


@dataclass(frozen=True)
class Member(Upstream):
    """A replica that the proxy is to know; `name` is its id."""

    draining: bool = False
    """It finishes what it has, and is to get nothing more."""


@dataclass(frozen=True)
class Standing:
    """What a proxy says of one member."""

    in_rotation: bool
    cause: str = ""
    """Why it is not, as the router calls it in its events: `health_check`, `consecutive_failures`."""
    in_flight: int | None = None
    requests: int | None = None
    """Attempts since the proxy began; None, as above: it does not count them."""


@dataclass(frozen=True)
class Front:
    """Where a proxy listens, what is behind it, and how it behaves."""

    port: int
    replicas: tuple[Upstream, ...]
    """What it begins with; of a run, `Member`s."""
    settings: RouterSettings
    policy: str
    """Of Aegis' router; the others balance by `algorithm`."""
    folder: Path
    algorithm: str | None = None
    """In the proxy's own words; None = by the fewest requests in flight."""
    admin: int | None = None
    """A port for what the proxy is told and asked while it runs; None = nobody tells it anything."""
    ids: tuple[str, ...] = ()
    """All replicas that there can be, for proxies that want to know that beforehand."""

    def behind(self, replicas: tuple[Upstream, ...]) -> Self:
        """The same before others."""
        return replace(self, replicas=replicas)

    def exported(self, name: str, lines: Sequence[str] = (), **options: int) -> Exported:
        """What the exporter `name` makes of this: `least_request`, its options, and lines of one's own."""
        policy: dict[str, Any] = {"name": "least_request", "slow_start_s": SLOW_START_S, **options}
        exporter: Exporter = EXPORTERS.create(name, {})
        told: dict[str, Any] = {"lines": tuple(lines), "algorithm": self.algorithm}
        return exporter.render(Deployment(HOST, self.port, self.replicas or (NOWHERE,), self.settings, policy, **told))

    def configured(self, name: str, lines: Sequence[str] = (), **options: int) -> Path:
        """The file of it."""
        return self.written(EXPORTERS.find(name).file, self.exported(name, lines, **options).text)

    def length(self, file: str) -> int:
        """Bytes that a file of `folder` has already, as of a process that was there before; 0 = there is none."""
        path = self.folder / file
        return path.stat().st_size if path.exists() else 0

    def written(self, file: str, text: str) -> Path:
        """`text` in a file of `folder`, whole or not at all."""
        path = self.folder / file
        write_text(path, text)
        return path


def local(ports: Sequence[int]) -> tuple[Upstream, ...]:
    """Replicas `r1`, `r2`, ... at these ports of this machine."""
    return tuple(Upstream(f"r{number}", HOST, port) for number, port in enumerate(ports, 1))


def found(name: str, variable: str, *others: str) -> str | None:
    """A program: the one that the environment variable names, of this Python's environment, of the path, or /usr/sbin.

    Args:
        name: what it is called.
        variable: of the environment.
        others: what it is called, too, where it is not called `name`.

    Returns:
        Its path; None = it is nowhere.
    """
    named = os.environ.get(variable)
    places = [os.path.dirname(sys.executable), None, "/usr/sbin"]
    if named:
        return shutil.which(named)
    every = ((each, place) for place in places for each in (name, *others))
    return next((program for each, place in every if (program := shutil.which(each, path=place))), None)


def said(words: Sequence[str], lines: int | None = None) -> str:
    """What a program prints, errors included, its first `lines`, or all, joined by blanks; empty where it cannot be
    asked."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SAYS_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return " ".join(" ".join((done.stdout + done.stderr).splitlines()[:lines]).split())


class DataPlane(Protocol):
    """The shape of every proxy."""

    name: ClassVar[str]
    package: ClassVar[str]

    def program(self) -> str | None:
        """The path of its program; None = it is not installed."""

    def command(self, front: Front) -> list[str] | None:
        """The command that runs it in the foreground; None = it is not installed."""

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """It runs: do what is still to be done. Raises StartError."""


class Arm(DataPlane, Protocol):
    """The shape of a proxy that a run can be measured with."""

    algorithms: ClassVar[tuple[str, ...]]
    lacks: ClassVar[tuple[str, ...]]
    tells: ClassVar[bool]
    counts: ClassVar[bool]
    least: ClassVar[tuple[str, str]]

    def version(self) -> str:
        """What its program calls itself, in a line; empty where it does not say."""

    def otherwise(self, front: Front) -> Sequence[str]:
        """What it does otherwise than the router with the same settings, a sentence each."""

    async def change(self, process: ServiceProcess, front: Front, members: Sequence[Member]) -> None:
        """Make `members` those that it balances among; what is under way goes on.

        Called when they have changed, one call after another; `began` has returned. Raises OSError where it is not
        heard, and is called again then.
        """

    async def look(self, front: Front, members: Sequence[Member]) -> Mapping[str, Standing]:
        """How it sees each member, by name; called some ten times a second. One that it does not know yet is left out.

        Raises OSError where it gives no answer.
        """

    async def end(self, process: ServiceProcess, front: Front) -> None:
        """It runs: have it take nothing new, and end as soon as what is under way is done.

        Called once; whoever calls it waits for its end, and for no longer than he has patience. Raises OSError where it
        is not heard.
        """
