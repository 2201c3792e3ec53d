"""What is true of a log that a made-up system has written: what a fit of it is held against."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.fitting.inversion import Floats


@dataclass(frozen=True)
class Truth:
    """Of one log."""

    waited: float
    """Share of the served requests that waited at their host."""
    demands_s: Floats
    """Of its requests at speed 1, seconds; shape (n,)."""
    outage_s: tuple[float, float] | None = None
    """When the last host began to fail and when it ended, seconds on the log's clock; None = it did not."""
    ways_s: tuple[float, ...] = ()
    """What a request took on its way to each host and back, which the log has as service: the mean, seconds. Of those
    that waited it is 0: they begin to be served when another's way back is over, as their own will be. Empty = none."""
    way_spread_s: float = 0.0
    """Its standard deviation, over all hosts."""

    def speed(self, host: int, reference: int, speeds: Sequence[float]) -> float:
        """A host's speed beside that of `reference` as services show it, the way included (`analysis.fitting.demand`).

        Args:
            host: its place.
            reference: likewise.
            speeds: of all hosts.
        """
        if not self.ways_s:
            return speeds[host] / speeds[reference]
        roots = [np.sqrt(self.demands_s / speeds[each] + self.ways_s[each]).mean() for each in (reference, host)]
        return float(roots[0] / roots[1]) ** 2

    def mean_ms(self, mean_ms: float, host: int, speeds: Sequence[float]) -> float:
        """The mean service of a demand at a host, the way included, milliseconds."""
        return mean_ms / speeds[host] + (self.ways_s[host] * 1e3 if self.ways_s else 0.0)

    def spread(self, mean_ms: float, spread: float, host: int, speeds: Sequence[float]) -> float:
        """Its standard deviation over its mean."""
        plain_ms = spread * mean_ms / speeds[host]
        return math.hypot(plain_ms, self.way_spread_s * 1e3) / self.mean_ms(mean_ms, host, speeds)
