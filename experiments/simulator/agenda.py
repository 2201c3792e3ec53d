"""The simulator's clock: events in the order of their moments, at one moment in the order of their planning."""

import heapq
import itertools
from collections.abc import Callable
from typing import Any

Do = Callable[[Any, float], object]
"""Called as `do(what, now)`."""


class PastEventError(RuntimeError):
    """An event was planned for a moment that has passed, or for none (NaN)."""


class Agenda:
    """What is going to happen; times in seconds, 0 is the run's start."""

    def __init__(self, now: float) -> None:
        """Nothing is planned; virtual time begins at `now`."""
        self.now = now
        self.heap: list[tuple[float, int, Do, Any]] = []
        self.done = 0
        """Events that have happened."""
        self._number = itertools.count().__next__

    def at(self, moment: float, do: Do, what: Any = None) -> None:  # noqa: ANN401
        """Plan `do(what, moment)`.

        Raises:
            PastEventError: `moment` is before now, or no number.
        """
        if not moment >= self.now:
            raise PastEventError(f"an event at {moment} s was planned at {self.now} s")
        heapq.heappush(self.heap, (moment, self._number(), do, what))

    def run_before(self, moment: float) -> None:
        """Let everything happen that is planned for `moment` or earlier."""
        heap, pop, done = self.heap, heapq.heappop, 0
        while heap and heap[0][0] <= moment:
            now, _, do, what = pop(heap)
            self.now = now
            done += 1
            do(what, now)
        self.now = moment
        self.done += done
