"""The process ends in order and is started again, as in a deployment."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from experiments.process_faults import Act, Step


@dataclass
class Restart:
    """SIGTERM, and a new process with the same id and ports; after a `kill` it is that one's end."""

    name: ClassVar[str] = "restart"
    ended_by: ClassVar[str | None] = None
    lasts: ClassVar[bool] = False

    def steps(self) -> Iterator[Step]:
        """Once."""
        yield Step(0.0, "restart")

    def heal(self) -> Act | None:
        """Nothing has to be done."""
        return None

    def strength(self, rng: random.Random) -> dict[str, float]:
        """There are no degrees."""
        return {}
