"""Scaling policies, one a file: `mine.py` has a class with `name = "mine"`; its keyword arguments are its options.

    decide(observation, now) -> desired replicas (float), or None: "I cannot tell"

Plain objects: no I/O, no clock. Bounds, tolerance, windows and rate limits are `services.manager.limits`; a class whose
own ones are part of it says `bounded_only = True`: of its numbers the bounds alone are held. What it says in `why`
after a decision, where it has that, stands in the decision's reason; `reads`, likewise, are the signals that it was
told to read, and `time_factor` says how many times as fast its seconds pass.
"""

from typing import Any, Protocol, cast

from services.manager.observation import Observation, ReplicaLoad
from services.plugins import Point

__all__ = ("SCALERS", "Observation", "ReplicaLoad", "Scaler", "create")

SCALERS = Point(__name__, __path__, "scalers", "scaler", ("decide",))


class Scaler(Protocol):
    """The shape of every scaler."""

    # bounded_only: bool, why: str, reads: frozenset[str] and time_factor: float, where it has them: see above.

    def decide(self, observation: Observation, now: float) -> float | None:
        """How many replicas there should be; `now` in seconds."""


def create(name: str, options: dict[str, Any]) -> Scaler:
    """The scaler `name` with its options.

    Raises:
        ValueError: an unknown name or option, or a wrong value; names the choices.
    """
    return cast(Scaler, SCALERS.create(name, options))
