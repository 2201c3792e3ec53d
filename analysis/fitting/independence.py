"""Whether the services know how busy it was: in a queue with so many slots, first come first served, they cannot.

A service is drawn when it begins, and what a request found when it came lies before that. So under the fitted queue
the services of those who found few and of those who found many have one distribution, as have those who waited and
those who did not, whatever the arrivals and the balancing policy were. Where a host shares its speed among all who are
there (processor sharing), or where something behind all hosts grows slow under load, they differ. The comparison is by
ranks (Mann and Whitney, On a test of whether one of two random variables is stochastically larger than the other,
Annals of Mathematical Statistics 18, 1947) and with a margin: a difference by less than `MARGIN` of the service does
no harm.
"""

import math
from dataclasses import dataclass

import numpy as np

from analysis.distributions.normal import normal_tail
from analysis.fitting.inversion import Bools, Floats

MARGIN = 0.1
"""Services that differ by this factor at most count as alike."""
LONGEST_WAY = 0.25
"""A way to the host and back may be this share of the median service."""
LEAST = 20
"""Requests on either side below which nothing is compared."""
LEVEL = 0.001
"""Chance of a false alarm of one comparison, one-sided, at the very edge of the margin; inside it is smaller."""


@dataclass(frozen=True)
class Compared:
    """Two groups of services."""

    what: str
    few: int
    many: int
    ratio: float
    """Mean service of the second group over that of the first."""
    p: float
    """Of the hypothesis that they differ by `MARGIN` at most; 1 where it was not asked."""

    @property
    def is_alike(self) -> bool:
        """Whether nothing speaks against it."""
        return self.p >= LEVEL


def way_s(first: Floats, second: Floats) -> float:
    """By how much those who waited are shorter, seconds: they were on their way to the host while they stood in line.

    Who does not wait has the way to a host and back, and the host's own late timers, in its duration; who waits begins
    when another one's answer is back. So it may be shorter by that, whatever the services are: the difference of the
    medians, up to `LONGEST_WAY` of them.
    """
    if min(len(first), len(second)) < LEAST:
        return 0.0
    middle = float(np.median(first))
    return min(LONGEST_WAY * middle, max(0.0, middle - float(np.median(second))))


def compare(what: str, first: Floats, second: Floats, slack_s: float, way: float = 0.0) -> Compared:
    """Whether the second group's services are those of the first, but for `MARGIN`, `slack_s` and `way`.

    Args:
        what: the groups in words.
        first: seconds, shape (m,).
        second: seconds, shape (n,).
        slack_s: by which they may differ as well: the clock's steps.
        way: by which the second may be shorter, seconds.
    """
    m, n = len(first), len(second)
    ratio = float(second.mean() / first.mean()) if m and n and first.mean() > 0 else math.nan
    if min(m, n) < LEAST:
        return Compared(what, m, n, ratio, 1.0)
    longer = _z(second / (1 + MARGIN) - slack_s, first)  # still longer when made shorter
    shorter = -_z(second * (1 + MARGIN) + slack_s + way, first)
    return Compared(what, m, n, ratio, normal_tail(max(longer, shorter)))


def _z(second: Floats, first: Floats) -> float:
    """Mann and Whitney's statistic in standard errors; above 0 where the second are longer. Ties have the mean rank."""
    both = np.concatenate([first, second])
    _, place, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    m, n, everything = len(first), len(second), len(both)
    tied = float((counts.astype(np.float64) ** 3 - counts).sum()) / (everything * (everything - 1))
    spread = m * n / 12 * (everything + 1 - tied)
    u = float(ranks[m:].sum()) - n * (n + 1) / 2
    return 0.0 if spread <= 0 else (u - m * n / 2) / math.sqrt(spread)


def halves(values: Floats) -> tuple[Bools, Bools]:
    """Marks of those with small and with large values, each about half: equal values stay together."""
    middle = float(np.median(values))
    large = values > middle
    if large.mean() < 0.25:
        large = values >= middle
    return ~large, large


def beside(begins_s: Floats, services_s: Floats, demands_s: Floats) -> tuple[Floats, Floats]:
    """Demands of requests that began while the one begun just before was served: beside a short one, beside a long one.

    In the order of their begins services are independent, whenever and wherever they begin. Something that several
    hosts or slots wait for makes those that overlap long together, also where it is always as busy.

    Args:
        begins_s: when each began to be served, shape (n,).
        services_s: how long it was, shape (n,).
        demands_s: freed from its host's speed, shape (n,).
    """
    order = np.argsort(begins_s, kind="stable")
    first, second = order[:-1], order[1:]
    overlap = begins_s[second] < begins_s[first] + services_s[first]
    first, second = first[overlap], second[overlap]
    if not len(first):
        return np.empty(0), np.empty(0)
    short, long = halves(demands_s[first])
    return demands_s[second[short]], demands_s[second[long]]
