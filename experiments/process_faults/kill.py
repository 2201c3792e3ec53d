"""The process ends at once, as in a crash, and is started again when that is healed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from experiments.process_faults import Act, Step


@dataclass
class Kill:
    """SIGKILL; without `for_s` it stays dead."""

    name: ClassVar[str] = "kill"
    ended_by: ClassVar[str | None] = "restart"
    lasts: ClassVar[bool] = True

    def steps(self) -> Iterator[Step]:
        """Once."""
        yield Step(0.0, "kill")

    def heal(self) -> Act | None:
        """A new process."""
        return "restart"

    def strength(self, rng: random.Random) -> dict[str, float]:
        """There are no degrees."""
        return {}
