"""What can be done to a process from outside, one fault a file: `mine.py` has a dataclass with `name = "mine"`.

Its fields are its parameters (numbers with defaults, their bounds beside them). What it does is said once, as acts and
their moments: `experiments.live.injection` carries them out on processes and containers, and the injection of
`experiments.simulator` on their twins in virtual time. The faults that a replica plays on itself are those of
`services.backend.faults`.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from services.plugins import Point

PROCESS_FAULTS = Point(__name__, __path__, "process_faults", "faults.action", ("steps", "heal", "strength"))
Act = Literal["kill", "pause", "resume", "restart"]
"""SIGKILL; SIGSTOP; SIGCONT; SIGTERM where it lives, and a new start with the same id and ports."""


@dataclass(frozen=True, slots=True)
class Step:
    """One act, so many seconds after the fault's moment."""

    after_s: float
    act: Act


class ProcessFault(Protocol):
    """The shape of every fault of a process."""

    name: ClassVar[str]
    ended_by: ClassVar[str | None]
    """The word of a later entry of `faults` for the same target that ends it; None = `for_s` alone does."""
    lasts: ClassVar[bool]
    """False where it is a moment: it takes no `for_s`, and random faults do not draw it."""

    def steps(self) -> Iterator[Step]:
        """What is done, in order of time, the first at 0; without end where it goes on until it is healed."""

    def heal(self) -> Act | None:
        """What ends it; None = nothing has to be done."""

    def strength(self, rng: random.Random) -> dict[str, float]:
        """Its parameters where random faults draw it."""
