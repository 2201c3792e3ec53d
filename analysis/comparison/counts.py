"""The difference of two shares, counted in many requests of few runs.

Two things make a share uncertain: chance within the runs, which holds also where all runs have the same count, and
what the runs differ by, which no formula for independent trials knows. An interval here is never narrower than
independent requests would make it, and as wide as the spread over the runs asks for. Pure functions on numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from analysis.comparison.statistics import ALPHA, POWER, Paired, paired
from analysis.distributions.discrete import hypergeometric_tails
from analysis.distributions.shares import clopper_pearson
from analysis.distributions.student import student_quantile


@lru_cache(maxsize=4096)
def exact_p(events: tuple[int, int], trials: tuple[int, int]) -> float:
    """Two-sided p of two counts of independent trials at one rate: Fisher's exact test, twice the smaller tail.

    Given both sums, a count is hypergeometric (Fisher, The logic of inductive inference, J. Royal Statistical Society
    98, 1935). 2 against 4 of 4,000 each: 0.69; 0 against 5: 0.06, against 6: 0.03.
    """
    return min(1.0, 2 * min(hypergeometric_tails(events[1], sum(trials), sum(events), trials[1])))


def smallest_p(events: int, trials: tuple[int, int]) -> float:
    """The smallest p that so many events in both arms together can have: where all fall into one of them."""
    first, second = min(events, trials[0]), min(events, trials[1])
    return min(exact_p((first, events - first), trials), exact_p((events - second, second), trials))


@dataclass(frozen=True, slots=True)
class ShareDifference:
    """How much larger a share is in the second arm than in the first, from n pairs of runs."""

    events: tuple[int, int]
    trials: tuple[int, int]
    by_runs: Paired
    """Of the runs' differences."""

    @property
    def n(self) -> int:
        """Pairs."""
        return self.by_runs.n

    @property
    def shares(self) -> tuple[float, float]:
        """Of all requests of an arm."""
        return self.events[0] / self.trials[0], self.events[1] / self.trials[1]

    @property
    def mean(self) -> float:
        """The difference."""
        return self.shares[1] - self.shares[0]

    @property
    def p(self) -> float:
        """Of no difference: the larger of that of independent requests and that of the runs."""
        return max(exact_p(self.events, self.trials), self.by_runs.p if self.n > 1 else 0.0)

    @property
    def smallest_p(self) -> float:
        """What `p` can be at least with so many events."""
        return smallest_p(sum(self.events), self.trials)

    def interval(self, alpha: float = ALPHA) -> tuple[float, float]:
        """The wider of two intervals of 1 - alpha.

        That of independent requests is put together from Clopper and Pearson's of both shares (Newcombe, Interval
        estimation for the difference between independent proportions, Statistics in Medicine 17, 1998, method 10;
        Zou and Donner, Construction of confidence limits about effect measures, ibid. 27, 2008). It contains 0
        wherever the exact test does not reject, which it misses by itself in one of 180 tables. That of the runs is
        Student's on their differences. At one pair there is the former alone, whose requests are not independent.
        """
        p1, p2 = self.shares
        first, second = (clopper_pearson(*c, alpha) for c in zip(self.events, self.trials, strict=True))
        low = p2 - p1 - math.hypot(p2 - second[0], first[1] - p1)
        high = p2 - p1 + math.hypot(second[1] - p2, p1 - first[0])
        if exact_p(self.events, self.trials) > alpha:
            low, high = min(low, 0.0), max(high, 0.0)
        if self.n > 1:
            by_runs = self.by_runs.interval(alpha)
            low, high = min(low, by_runs[0]), max(high, by_runs[1])
        return max(-1.0, low), min(1.0, high)

    def smallest_detectable(self, alpha: float = ALPHA, power: float = POWER) -> float:
        """The true difference that so many runs would find with probability `power`; infinite below two."""
        if self.n < 2:
            return math.inf
        low, high = self.interval(alpha)
        quantile = student_quantile(1 - alpha / 2, self.n - 1)
        return (high - low) / 2 * (1 + student_quantile(power, self.n - 1) / quantile)


def share_difference(events: Sequence[tuple[int, int]], trials: Sequence[tuple[int, int]]) -> ShareDifference:
    """From counts and trials of both arms, a tuple a pair.

    Raises:
        ValueError: there is no pair, or one without trials.
    """
    counts, of = np.asarray(events), np.asarray(trials)
    if not len(counts) or (of <= 0).any():
        raise ValueError("counts: at least one pair, and trials in each of its runs")
    by_runs = paired((counts[:, 1] / of[:, 1] - counts[:, 0] / of[:, 0]).tolist())
    (e1, e2), (t1, t2) = counts.sum(axis=0).tolist(), of.sum(axis=0).tolist()
    return ShareDifference((e1, e2), (t1, t2), by_runs)
