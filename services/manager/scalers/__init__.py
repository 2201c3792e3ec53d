"""Scaling policies, one a file: `mine.py` has a class with `name = "mine"`; its keyword arguments are its options.

    decide(observation, now) -> desired replicas (float), or None: "I cannot tell"

Plain objects: no I/O, no clock. Bounds, tolerance, windows and rate limits are `services.manager.limits`; a class whose
own ones are part of it says `bounded_only = True`: of its numbers the bounds alone are held. What it says in `why`
after a decision, where it has that, stands in the decision's reason; `reads`, likewise, are the signals that it was
told to read. `scaler.time_factor` is an option of all of them, and none's own: whose seconds pass faster is given all
that is measured in seconds in its own ones (`services.manager.pacing`). Only who multiplies what is counted a second by
seconds has to look at `observation.time_factor`.
"""

from typing import Any, cast

from services.manager.observation import Observation, ReplicaLoad
from services.manager.pacing import Paced, Scaler
from services.plugins import Point

__all__ = ("SCALERS", "Observation", "ReplicaLoad", "Scaler", "create")

SCALERS = Point(__name__, __path__, "scalers", "scaler", ("decide",), around=Paced)


def create(name: str, options: dict[str, Any]) -> Paced:
    """The scaler `name` with its options, in its time.

    Raises:
        ValueError: an unknown name or option, or a wrong value; names the choices.
    """
    return cast(Paced, SCALERS.create(name, options))
