"""A percentile of the latencies of the last half minute, in bounded memory."""

import math

LEAST_S = 1e-4
"""Everything below counts as that, seconds."""
RATIO = 1.02
"""Between two edges: what is told is above the true value by less than 2 %."""
BINS = 700
"""Up to 105 s; everything above counts as that."""
SLICES = 3
SLICE_S = 10.0
"""The window is three slices of 10 s (Finagle's WindowedPercentileHistogram and its defaults); unlike there, the slice
that is not full yet counts, too."""
REFRESH_S = 0.5
"""An answer is kept for so long (Finagle: 3 s)."""
_LOG_RATIO = math.log(RATIO)


class RunningPercentile:
    """Counts in bins whose edges grow by a constant ratio; told the time, seconds."""

    def __init__(self, share: float) -> None:
        """`share` is 0.95 for the 95th percentile."""
        self._share = share
        self._counts = [[0] * BINS for _ in range(SLICES)]
        self._numbers = [-1] * SLICES
        """Which slice of time each of them holds."""
        self._told: float | None = None
        self._told_until = float("-inf")

    def add(self, latency_s: float, now: float) -> None:
        """One latency."""
        number = int(now // SLICE_S)
        place = number % SLICES
        if self._numbers[place] != number:
            self._numbers[place] = number
            self._counts[place] = [0] * BINS
        bin_ = 0 if latency_s <= LEAST_S else math.ceil(math.log(latency_s / LEAST_S) / _LOG_RATIO)
        self._counts[place][min(bin_, BINS - 1)] += 1

    def value(self, now: float) -> float | None:
        """The smallest edge that `share` of the latencies do not exceed, seconds.

        None where there are too few for one of them to be above it, 1 / (1 - share).
        """
        if now < self._told_until:
            return self._told
        self._told_until = now + REFRESH_S
        oldest = int(now // SLICE_S) - SLICES
        live = [counts for counts, number in zip(self._counts, self._numbers, strict=True) if number > oldest]
        total = sum(map(sum, live))
        # Rounded: 1 / (1 - 0.95) is 20, whatever the last digit of a float says.
        if not total or round(total * (1 - self._share), 6) < 1:
            self._told = None
            self._told_until = now
            return None
        wanted, seen = round(self._share * total, 6), 0
        for bin_ in range(BINS):
            for counts in live:
                seen += counts[bin_]
            if seen >= wanted:
                self._told = LEAST_S * RATIO**bin_
                break
        return self._told
