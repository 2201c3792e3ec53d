"""Latencies of answers as counts that only grow: the difference of two readings is what there was between them."""

import math

from services.router.running_percentile import BINS, LEAST_S, RATIO

SERVED_BELOW = 500
"""Statuses that count: whoever fails fast must not look fast."""
_LOG_RATIO = math.log(RATIO)
EDGES_MS = [f"{1e3 * LEAST_S * RATIO**number:.5g}" for number in range(BINS)]
"""The upper edge of each bin, milliseconds, as `/stats` says it."""


class Latencies:
    """Counts in bins whose edges grow by 2 %, from 0.1 ms to 105 s: bounded, whatever comes."""

    def __init__(self) -> None:
        """Nothing has been answered."""
        self._counts: dict[str, int] = {}

    def add(self, status: int, latency_s: float) -> None:
        """One answer; of a status that counts."""
        if status < SERVED_BELOW:
            bin_ = 0 if latency_s <= LEAST_S else math.ceil(math.log(latency_s / LEAST_S) / _LOG_RATIO)
            edge = EDGES_MS[min(bin_, BINS - 1)]
            self._counts[edge] = self._counts.get(edge, 0) + 1

    def told(self) -> dict[str, int]:
        """How many there were since the beginning, by the upper edge of their bin, milliseconds; no empty ones."""
        return dict(self._counts)
