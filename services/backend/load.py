"""What a replica knows of its own load, for routers that ask: rates, utilisation, and how long work takes. Pure."""

import math
from collections import deque
from statistics import median
from typing import NamedTuple

WINDOW_S = 1.0
"""Time constant of forgetting of the rates, seconds: some dozens of requests at the loads that are measured here."""
SAMPLES = 32
"""Latencies that are remembered."""
NEAREST = 8
"""Of those, how many an estimate rests on: the ones that met the most similar number of requests."""
KEEP_S = 30.0
"""How long a latency says something, seconds: a replica that nobody sends to would keep its last ones for good."""


class Rates(NamedTuple):
    """Over the last moment."""

    utilisation: float
    """Time in service over time and slots; above 1 under processor sharing, where all that came is in service."""
    requests_per_s: float
    """All that ended, failed ones included."""
    errors_per_s: float


class Load:
    """Told of every request of work that ends; times in seconds."""

    def __init__(self, slots: int) -> None:
        """`slots`: requests that can be served at the same time."""
        self._slots = slots
        self._began: float | None = None
        self._at = 0.0
        self._busy_s = self._requests = self._errors = 0.0
        self._latencies: deque[tuple[float, int, float]] = deque(maxlen=SAMPLES)

    def _age(self, now: float) -> None:
        if self._began is None:
            self._began = self._at = now
        kept = math.exp((self._at - now) / WINDOW_S) if now > self._at else 1.0
        self._busy_s *= kept
        self._requests *= kept
        self._errors *= kept
        self._at = max(now, self._at)

    def served(self, found: int, latency_s: float, service_s: float, now: float) -> None:
        """A request was answered that had met `found` others, after `latency_s`, `service_s` of it in a slot."""
        self._age(now)
        self._requests += 1
        self._busy_s += service_s
        self._latencies.append((now, found, latency_s))

    def failed(self, now: float) -> None:
        """A request was answered that no work was done for: a full queue, a fault."""
        self._age(now)
        self._requests += 1
        self._errors += 1

    def rates(self, now: float) -> Rates:
        """What was done lately, a second: sums that are forgotten exponentially, over the time that they stand for."""
        self._age(now)
        assert self._began is not None
        stands_for_s = WINDOW_S * -math.expm1((self._began - now) / WINDOW_S)
        if stands_for_s <= 0:
            return Rates(0.0, 0.0, 0.0)
        busy = self._busy_s / (stands_for_s * self._slots)
        return Rates(busy, self._requests / stands_for_s, self._errors / stands_for_s)

    def latency_s(self, found: int, now: float) -> float | None:
        """How long a request takes that meets `found` others: the median of what the most similar ones took.

        None = nothing is known. (Prequal, NSDI 2024, section 4: the median of recent latencies at or near the present
        number of requests in flight.)
        """
        while self._latencies and self._latencies[0][0] < now - KEEP_S:
            self._latencies.popleft()
        if not self._latencies:
            return None
        # The latest first: of equally similar ones they count.
        similar = sorted(reversed(self._latencies), key=lambda each: abs(each[1] - found))
        return median(latency for _, _, latency in similar[:NEAREST])
