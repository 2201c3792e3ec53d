"""A scaler's seconds, which may pass faster than those of the run: its constants are of fleets that live for days.

In the time of the scaler all that is measured in seconds is turned: the moment, how old its metrics are, over how long
they were averaged, and how long a start takes. What is counted a second stays of the run's seconds: load is not made
faster by it. Pure: it is told the time.
"""

from dataclasses import replace
from typing import Protocol

from services.bounds import Bounds
from services.manager.observation import Observation
from services.manager.settings import LEAST_INTERVAL_S

EVERY_S = 1.0
"""Of a scaler that says nothing of it."""
LATENCIES = "p95_ms"
"""The signal that is made of them (`services.manager.signals`)."""


class Scaler(Protocol):
    """The shape of every scaler (`services.manager.scalers`)."""

    # bounded_only: bool, why: str, reads: frozenset[str] and every_s: float, where it has them.

    def decide(self, observation: Observation, now: float) -> float | None:
        """How many replicas there should be; `now` in seconds."""


class Paced:
    """Any scaler, with a time of its own; also says what it says of itself, and the defaults where it says nothing."""

    def __init__(self, scaler: Scaler, *, time_factor: float = 1.0) -> None:
        """`time_factor`: its seconds, those of the wrapper's windows (`autoscaling.stabilization_*`) and those of the
        signal's pipeline (`autoscaling.signal.*`) pass so many times as fast; those of loads, of starts and between two
        looks do not.
        """
        Bounds(0.01, 1000).check("scaler.time_factor", time_factor)
        self.scaler = scaler
        self.time_factor = time_factor
        self.bounded_only = bool(getattr(scaler, "bounded_only", False))
        self.reads: frozenset[str] = frozenset(getattr(scaler, "reads", ()))
        self.takes_latencies = not hasattr(scaler, "reads") or LATENCIES in self.reads
        """Whether it may look at those: what says nothing of what it reads may read anything."""

    def interval_s(self, asked_s: float) -> float:
        """Seconds of the run between two decisions, where `asked_s` is `autoscaling.interval_s`."""
        return asked_s or interval_s(self.scaler, self.time_factor)

    @property
    def why(self) -> str:
        """Of its last decision; empty where it says nothing."""
        return str(getattr(self.scaler, "why", ""))

    def decide(self, observation: Observation, now: float) -> float | None:
        """What it wants; `observation` and `now` in the run's seconds."""
        return self.scaler.decide(turned(observation, self.time_factor), now * self.time_factor)


def interval_s(scaler: Scaler | type, time_factor: float) -> float:
    """Seconds of the run after which a scaler decides again where it comes from: its `every_s`, in its own time."""
    own_s: float | None = getattr(scaler, "every_s", None)
    return EVERY_S if own_s is None else max(LEAST_INTERVAL_S, own_s / time_factor)


def turned(seen: Observation, factor: float) -> Observation:
    """What was seen, its seconds those of a time that passes `factor` times as fast as the run's."""
    if factor == 1:
        return seen
    return replace(
        seen,
        age_s=seen.age_s * factor,
        window_s=None if seen.window_s is None else seen.window_s * factor,
        startup_s=None if seen.startup_s is None else seen.startup_s * factor,
        time_factor=seen.time_factor * factor,
    )
