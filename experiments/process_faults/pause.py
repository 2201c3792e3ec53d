"""The process stands still, with its connections open."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from experiments.process_faults import Act, Step


@dataclass
class Pause:
    """SIGSTOP, and SIGCONT when it is healed."""

    name: ClassVar[str] = "pause"
    ended_by: ClassVar[str | None] = "resume"
    lasts: ClassVar[bool] = True

    def steps(self) -> Iterator[Step]:
        """Once."""
        yield Step(0.0, "pause")

    def heal(self) -> Act | None:
        """It goes on."""
        return "resume"

    def strength(self, rng: random.Random) -> dict[str, float]:
        """There are no degrees."""
        return {}
