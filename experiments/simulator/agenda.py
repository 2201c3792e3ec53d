"""The simulator's clock: events in the order of their moments, at one moment in the order of their planning."""

import heapq
from collections.abc import Callable
from typing import Any

Action = Callable[[Any, float], object]
"""Called as `action(subject, now)`."""


class PastEventError(Exception):
    """An event was planned for a moment that has passed, or for none (NaN)."""


class Agenda:
    """What is going to happen; times in seconds, 0 is the run's start."""

    def __init__(self, now: float) -> None:
        """Nothing is planned; virtual time begins at `now`."""
        self.now = now
        self.heap: list[tuple[float, int, Action, Any]] = []
        self.done = 0
        """Events that have happened."""
        self._planned = 0

    def at(self, moment: float, action: Action, subject: Any = None) -> None:  # noqa: ANN401
        """Plan `action(subject, moment)`.

        Raises:
            PastEventError: `moment` is before now, or no number.
        """
        if not moment >= self.now:
            raise PastEventError(f"an event at {moment} s was planned at {self.now} s")
        self._planned = number = self._planned + 1
        heapq.heappush(self.heap, (moment, number, action, subject))

    def run_before(self, moment: float) -> None:
        """Let everything happen that is planned for `moment` or earlier."""
        heap, pop, done = self.heap, heapq.heappop, 0
        while heap and heap[0][0] <= moment:
            now, _, action, subject = pop(heap)
            self.now = now
            done += 1
            action(subject, now)
        self.now = moment
        self.done += done
