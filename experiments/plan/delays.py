"""Delays of the simulator as distributions: network, router and start-up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated

from services.bounds import Bounds

if TYPE_CHECKING:  # a wrong configuration answers before numpy is there
    import numpy as np
    from numpy.typing import NDArray

_NORMAL = NormalDist()


@dataclass
class Delay:
    """A lognormal delay: its median, and the standard deviation of its logarithm (0 = always the median)."""

    median_ms: Annotated[float, Bounds(0, 60_000)] = 0.0
    """Half of the delays are longer, milliseconds."""
    sigma: Annotated[float, Bounds(0, 3)] = 0.0
    """Standard deviation of their logarithm; 0 = always the median."""

    @property
    def median_s(self) -> float:
        """Seconds."""
        return self.median_ms / 1e3

    @property
    def there_s(self) -> float:
        """The way there, seconds: half the median, always."""
        return self.median_s / 2

    def back_at(self, u: float) -> float:
        """The way back at the quantile `u`: the rest, seconds."""
        median_s, sigma = self.median_ms / 1e3, self.sigma  # as `at` does, without a call: every retry comes by
        at_s = median_s if sigma == 0 else round(median_s * math.exp(sigma * _NORMAL.inv_cdf(u)), 7)
        return max(0.0, at_s - median_s / 2)

    def back(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """`count` independent ways back: the rest, seconds, shape (count,)."""
        import numpy as np

        rest_s: NDArray[np.float64] = np.maximum(0.0, self.draw(rng, count) - self.there_s)
        return rest_s

    def at(self, u: float) -> float:
        """The quantile `u` of (0, 1), seconds, rounded to 0.1 us so that it is the same on every machine."""
        if self.sigma == 0:
            return self.median_s
        return round(self.median_s * math.exp(self.sigma * _NORMAL.inv_cdf(u)), 7)

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """`count` independent delays, seconds, shape (count,), rounded likewise."""
        import numpy as np

        if self.sigma == 0:
            return np.full(count, self.median_s)
        return np.round(self.median_s * np.exp(self.sigma * rng.standard_normal(count)), 7)


@dataclass
class StartUp(Delay):
    """How long the start of a process takes: what loads a model first takes minutes."""

    median_ms: Annotated[float, Bounds(0, 3_600_000)] = 0.0


def fit(samples_s: NDArray[np.float64]) -> Delay:
    """The lognormal delay with the samples' median and their 90th percentile.

    Args:
        samples_s: at least two, seconds; those at or below zero count as 1 us.
    """
    import numpy as np

    p50, p90 = np.quantile(np.maximum(samples_s, 1e-6), (0.5, 0.9)).tolist()
    sigma = min(3.0, max(0.0, math.log(p90 / p50) / _NORMAL.inv_cdf(0.9)))
    return Delay(round(p50 * 1e3, 4), round(sigma, 4))
