"""Scaling policies, one a file: `mine.py` has a class with `name = "mine"`; its keyword arguments are its options.

    decide(observation, now) -> desired replicas (float), or None: "I cannot tell"

Plain objects: no I/O, no clock. Bounds, tolerance, windows and rate limits are `services.manager.limits`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from services.plugins import Point

SCALERS = Point(__name__, __path__, "scalers", "scaler", ("decide",))


@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """What was seen of one replica."""

    id: str
    in_flight: float | None
    """Mean number of requests in flight here since the last look; None = it was not seen, or nothing was before."""
    slots: int
    ready: bool
    """Whether it is in rotation at this look."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a scaler may look at."""

    replicas: Sequence[ReplicaLoad]
    """Those that there are, starting ones too; without those that are drained to be fewer."""
    current: int
    """Replicas that are wanted now."""
    in_flight: float | None
    """Mean number of requests in flight since the last look at all replicas in rotation or draining, those that have
    left meanwhile included: all the work there was, counted once. None = there was no look before, or one that somebody
    else has started has left since."""

    @property
    def ready(self) -> int:
        """How many of them are in rotation."""
        return sum(replica.ready for replica in self.replicas)


class Scaler(Protocol):
    """The shape of every scaler."""

    def decide(self, observation: Observation, now: float) -> float | None:
        """How many replicas there should be; `now` in seconds."""


def create(name: str, options: dict[str, Any]) -> Scaler:
    """The scaler `name` with its options.

    Raises:
        ValueError: an unknown name or option, or a wrong value; names the choices.
    """
    return cast(Scaler, SCALERS.create(name, options))
