"""Ways to run replicas, one a file: `mine.py` has a class with `name = "mine"` and the methods of `Engine`.

An engine only starts and stops replicas; they register with the router themselves.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from services.plugins import Point

ENGINES = Point(
    __name__,
    __path__,
    "manager_engines",
    "engine",
    ("add_options", "create", "running", "start", "drain", "stop_process", "close"),
)


class EngineError(RuntimeError):
    """What runs the replicas does not do what it is asked; one line."""


@dataclass(slots=True)
class Running:
    """A replica that an engine runs."""

    id: str
    url: str
    admin_url: str
    pid: int | None
    state: str
    """`starting`, `running`, `draining` or `dead`; `warm`: it stands by."""


def provisioned(replicas: Iterable[Running]) -> int:
    """How many of them are paid for: all that have not ended, in rotation or out of it, starting or draining."""
    return sum(replica.state != "dead" for replica in replicas)


class Engine(Protocol):
    """The shape of every engine. One that plays what is asked of single starts (`autoscaling.starts`) says
    `has_starts = True`, and is a `StagingEngine`."""

    name: str
    """Of its file."""
    acts: bool
    """False where it can only look: then the manager recommends, and nothing follows."""

    @staticmethod
    def add_options(group: argparse._ArgumentGroup) -> None:
        """Declare the options of the manager's command line that are this engine's own."""

    @classmethod
    async def create(cls, arguments: argparse.Namespace, replica: dict[str, Any]) -> Engine:
        """The engine that the command line asks for.

        Args:
            arguments: the command line; `router` is the router's admin URL, `startup_timeout` the longest time that a
                replica may take to start, seconds (None = the engine's own).
            replica: as for `replica_flags`.

        Raises:
            EngineError: it cannot work here.
        """

    async def running(self) -> list[Running]:
        """The replicas there are, dead ones included until they are started again or drained.

        One whose start is under way may be left out: who has asked for it knows.
        Also those that an earlier manager has left, where they outlive it.

        Raises:
            EngineError: it cannot tell.
        """

    async def start(self, id_: str) -> None:
        """Start replica `id_`, a dead one with the id it had; nothing where it lives. Returns when it is up.

        Several are started at the same time. One that is cancelled meanwhile is not wanted any more.

        Raises:
            StartError: with its last words.
            EngineError: it cannot be started.
        """

    async def drain(self, id_: str) -> None:
        """Let replica `id_` finish and leave; returns when it is gone; nothing where there is none."""

    async def stop_process(self, id_: str) -> None:
        """End it in order, but keep its id for the next start. Raises KeyError where there is none."""

    async def close(self) -> None:
        """The manager ends."""


class StagingEngine(Engine, Protocol):
    """An engine that gives single starts options of their own, and has replicas that stand by."""

    async def start(self, id_: str, more: Mapping[str, object] | None = None) -> None:
        """Likewise; `more` are options of services.backend for this start alone, with underscores."""

    def join(self, id_: str) -> None:
        """Let one that stands by register."""


def replica_flags(id_: str, replica: dict[str, Any]) -> list[str]:
    """The part of services.backend's command line that is the replica's own.

    Args:
        id_: `r` and a number, from 1.
        replica: options of services.backend with underscores, and `speeds` and `weights`, one a replica or empty.
    """
    options = dict(replica)
    number = int(id_[1:])
    for each, option in (("speeds", "speed"), ("weights", "weight")):
        values = options.pop(each, None) or []
        options[option] = values[number - 1] if number <= len(values) else 1.0
    return ["--id", id_, *(str(part) for k, v in options.items() for part in (f"--{k.replace('_', '-')}", v))]
