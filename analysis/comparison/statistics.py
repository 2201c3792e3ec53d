"""The statistics of a comparison: intervals on paired differences, many comparisons at once, what n runs can show.

Pure functions on numbers. The unit is the run, never the request: requests of one run are not independent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.distributions.discrete import binomial_tails
from analysis.distributions.shares import clopper_pearson
from analysis.distributions.student import student_p, student_quantile

ALPHA = 0.05
"""Error rate of a family of comparisons; intervals are of 1 - ALPHA."""
POWER = 0.8
"""Probability with which the smallest detectable effect would be found (Cohen's convention, 1988)."""

Verdict = Literal["better", "worse", "equivalent", "inconclusive", "not identified"]
"""*Not identified*: the runs do not determine it, as where a quantile lies among requests that were not served."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Paired differences of n runs: mean, standard deviation (NaN below two), p of "no difference" (1 below two)."""

    n: int
    mean: float
    sd: float
    p: float

    def interval(self, alpha: float = ALPHA) -> tuple[float, float]:
        """Student's two-sided interval of 1 - alpha around the mean; (-inf, inf) below two runs.

        Student, The probable error of a mean, Biometrika 6 (1908). The percentile bootstrap is too narrow for so
        few runs: at n = 5 its 95 % interval covers 84 %.
        """
        if self.n < 2:
            return -math.inf, math.inf
        half = student_quantile(1 - alpha / 2, self.n - 1) * self.sd / math.sqrt(self.n)
        return self.mean - half, self.mean + half

    def smallest_detectable(self, alpha: float = ALPHA, power: float = POWER) -> float:
        """The true mean difference that n runs of this spread would find with probability `power`; inf below two.

        (t(1 - alpha / 2) + t(power)) * sd / sqrt(n), both quantiles with n - 1 degrees of freedom (Bloom, Minimum
        detectable effects, Evaluation Review 19, 1995).
        """
        if self.n < 2:
            return math.inf
        quantiles = student_quantile(1 - alpha / 2, self.n - 1) + student_quantile(power, self.n - 1)
        return quantiles * self.sd / math.sqrt(self.n)


def paired(differences: Sequence[float]) -> Paired:
    """What n paired differences say of their mean.

    Args:
        differences: one a pair of runs, finite; for ratios their logarithms.

    Raises:
        ValueError: there is none, or one is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError("differences: one finite number a pair, at least one pair")
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Paired(n, mean, math.nan, 1.0)
    # Equal differences have no spread but for rounding.
    sd = 0.0 if np.ptp(values) <= 1e-12 * max(1.0, abs(mean)) else float(values.std(ddof=1))
    if sd == 0.0:
        return Paired(n, mean, 0.0, 1.0 if abs(mean) <= 1e-12 else 0.0)
    return Paired(n, mean, sd, student_p(mean * math.sqrt(n) / sd, n - 1))


def counting(smallest: Sequence[float], alpha: float = ALPHA) -> int:
    """How many comparisons of a family count: the smallest K such that at most K could find anything at alpha / K.

    Those of counts too small for that cannot err there (Tarone, A modified Bonferroni method for discrete data,
    Biometrics 46, 1990).

    Args:
        smallest: the smallest p that each could have; 0 where quantities are continuous.
        alpha: error rate of the family.
    """
    numbers = range(1, len(smallest) + 1)
    return next((m for m in numbers if sum(p <= alpha / m for p in smallest) <= m), len(smallest))


def holm_levels(
    ps: Sequence[float], alpha: float = ALPHA, smallest: Sequence[float] | None = None
) -> list[float]:
    """The level at which each comparison of a family is judged, so that the family errs with at most `alpha`.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979): the
    smallest p is held against alpha / m, the next against alpha / (m - 1), and so on; from the first that fails on,
    all are judged at that one's level. A comparison that does not count (`counting`) is judged at alpha / K.

    Args:
        ps: of the comparisons.
        alpha: error rate of the family.
        smallest: the smallest p that each could have; left out = 0, as where quantities are continuous.
    """
    least = [0.0] * len(ps) if smallest is None else smallest
    count = counting(least, alpha)
    can_err = [index for index in range(len(ps)) if least[index] <= alpha / count] if count else []
    levels = [alpha / max(1, count)] * len(ps)
    level = alpha
    failed = False
    for rank, index in enumerate(sorted(can_err, key=lambda index: ps[index])):
        if not failed:
            level = alpha / (len(can_err) - rank)
            failed = ps[index] > level
        levels[index] = level
    return levels


def judge(low: float, high: float, *, least: float, most: float, lower_is_better: bool) -> Verdict:
    """The verdict of an interval around a difference.

    Equivalent where it lies within the smallest effect of interest, [least, most], even if it excludes no difference:
    an effect too small to matter is none (Schuirmann's two one-sided tests, J. Pharmacokinetics 15, 1987, at half
    their error rate). Else better or worse where it excludes no difference.
    """
    if least <= low and high <= most:
        return "equivalent"
    if high < 0:
        return "better" if lower_is_better else "worse"
    if low > 0:
        return "worse" if lower_is_better else "better"
    return "inconclusive"


def prediction_interval(sample: Paired, alpha: float = ALPHA) -> tuple[float, float]:
    """Where one further value of a normal sample lies with probability 1 - alpha; (-inf, inf) below two values.

    mean +- t(n - 1) * sd * sqrt(1 + 1 / n) (Hahn and Meeker, Statistical Intervals, 1991, chapter 4).
    """
    if sample.n < 2:
        return -math.inf, math.inf
    half = student_quantile(1 - alpha / 2, sample.n - 1) * sample.sd * math.sqrt(1 + 1 / sample.n)
    return sample.mean - half, sample.mean + half


def prediction_p(sample: Paired, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest alpha at which each of `values` lies in the prediction interval; 1 below two values."""
    if sample.n < 2:
        return np.ones_like(values)
    off = np.abs(values - sample.mean)
    if sample.sd == 0.0:
        return np.where(off <= 1e-12 * max(1.0, abs(sample.mean)), 1.0, 0.0)
    ts = off / (sample.sd * math.sqrt(1 + 1 / sample.n))
    return np.array([student_p(t, sample.n - 1) for t in ts.tolist()])


def same_rate_p(counts: NDArray[np.int64], of: int, events: int, total: int) -> NDArray[np.float64]:
    """Two-sided p of each of `counts` events in `of` trials, where there were `events` in `total` others.

    Given their sum, a count is binomial where both come at one rate (Przyborowski and Wilenski, Homogeneity of
    results in testing samples from Poisson series, Biometrika 31, 1940); exact for rare events, cautious for frequent
    ones, and right for none.
    """
    share = of / (of + total)
    return np.array([min(1.0, 2 * min(binomial_tails(k, k + events, share))) for k in counts.tolist()])


@dataclass(frozen=True, slots=True)
class Interval:
    """What n runs of one arm say of a quantity: its mean and 95 % interval; None = undefined, bounds below two runs."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


def geometric_interval(values: Sequence[float]) -> Interval:
    """Geometric mean of n runs with Student's interval on the logarithm, for what is positive and skewed: latencies.

    Args:
        values: one a run; where one is not positive, it has no logarithm and mean and bounds are undefined.
    """
    n = len(values)
    if not n or min(values) <= 0:
        return Interval(None, None, None, n)
    logs = paired([math.log(value) for value in values])
    if n < 2:
        return Interval(math.exp(logs.mean), None, None, n)
    low, high = logs.interval()
    return Interval(math.exp(logs.mean), math.exp(low), math.exp(high), n)


def mean_interval(sample: Paired, *, least: float = 0.0, most: float = math.inf) -> Interval:
    """Mean of n runs with Student's 95 % interval, for what may be none: seconds.

    Args:
        sample: one value a run.
        least: that the quantity can be; likewise
        most: of it.
    """
    if sample.n < 2:
        return Interval(sample.mean, None, None, sample.n)
    low, high = sample.interval()
    return Interval(sample.mean, max(least, low), min(most, high), sample.n)


def share_interval(shares: Sequence[float], trials: int) -> Interval:
    """Mean of n runs' shares with its 95 % interval: the wider of Clopper and Pearson's and Student's over the runs.

    Equal runs have no spread, but their requests still came by chance; runs that differ by more than chance make the
    interval wider than independent requests would.

    Args:
        shares: one a run, 0 to 1.
        trials: of all runs together.
    """
    n = len(shares)
    if n < 2:
        return Interval(shares[0] if n else None, None, None, n)
    sample = paired(shares)
    exact, by_runs = clopper_pearson(round(sample.mean * trials), trials), sample.interval()
    return Interval(sample.mean, max(0.0, min(exact[0], by_runs[0])), min(1.0, max(exact[1], by_runs[1])), n)
