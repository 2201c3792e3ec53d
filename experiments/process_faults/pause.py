"""The process stands still, with its connections open, once or again and again."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from experiments.process_faults import Act, Step
from services.bounds import Bounds


@dataclass
class Pause:
    """SIGSTOP, and SIGCONT when it is healed; with a period one short stop after another.

    Short stops are what a garbage collector makes of a replica, and a busy machine of a router that gets too little
    of a core: here both take turns by the clock, so that a run can be made again, and nobody else is starved.
    """

    period_s: Annotated[float, Bounds(0, 600)] = 0.0
    """Seconds from one stop to the next; 0 = one that lasts."""
    pause_ms: Annotated[float, Bounds(1, 60_000)] = 100.0
    """Of each stop, milliseconds; with a period only, and shorter than it."""

    name: ClassVar[str] = "pause"
    ended_by: ClassVar[str | None] = "resume"
    lasts: ClassVar[bool] = True

    def steps(self) -> Iterator[Step]:
        """Once; or stops and goes until it is healed."""
        yield Step(0.0, "pause")
        if self.period_s > 0:
            for number in itertools.count():
                yield Step(number * self.period_s + self.pause_ms / 1e3, "resume")
                yield Step((number + 1) * self.period_s, "pause")

    def __post_init__(self) -> None:
        """Check what bounds cannot.

        Raises:
            ValueError: the stops would leave nothing between them.
        """
        if 0 < self.period_s <= self.pause_ms / 1e3:
            raise ValueError(f"pause_ms={self.pause_ms:g}: must be less than period_s={self.period_s:g}")

    def heal(self) -> Act | None:
        """It goes on."""
        return "resume"

    def strength(self, rng: random.Random) -> dict[str, float]:
        """There are no degrees."""
        return {}
