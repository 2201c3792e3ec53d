"""How two systems differ: the ratio of their steady-state quantiles or means, from pairs of runs, or why it is unknown.

Pure functions on latencies. Estimand `system`: log(Q_B / Q_A) of the steady states, not of runs of this length. Each
arm's requests are pooled over its runs, since a run's own quantile is biased where the run is short, and more runs do
not help that. The unit of the error is the pair all the same: a delete-a-pair jackknife with Student's t.

Such an interval holds the truth as often as it says only where each run is long against the queue's memory. The rule
of identification counts how many relaxation times a run spends above the quantile (`ABOVE`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.comparison.pooled import Pool
from analysis.comparison.statistics import ALPHA, POWER, Interval
from analysis.distributions.student import student_p, student_quantile

ABOVE = 4.0
"""Relaxation times that a run must spend above the quantile on average: (1 - q) * window / relaxation time.

By simulation of M/M/1 at utilisation 0.5, 0.8, 0.9 with 3 to 20 pairs: from 4 on 92 % or more of the 95 % intervals
hold the truth, at 0.8 still 89 to 93 %, at 0.1 from 73 to 82 % (10 % faster with the same demands, the hardest arm).
For p99 at utilisation 0.9, 4 are 137,000 requests a run, 28,700 at 0.8 and 2,350 at 0.5."""
MEAN_AS = 0.97
"""The mean hangs on the tail: it needs runs as long as this quantile does (with 0.95 its coverage at utilisation
0.5 is 91 %)."""

Metric = float | Literal["mean"]
"""A quantile's level, above 0 and below 1, or the mean."""


@dataclass(frozen=True, slots=True)
class SystemRatio:
    """What n pairs of runs say of log(arm / reference) in the steady state."""

    n: int
    reference: float
    arm: float
    """Pooled over the runs, ms; inf among the requests that were not served."""
    mean: float
    """The log-ratio; NaN where one of the two is infinite or 0."""
    error: float
    """Standard error of `mean`; NaN below two pairs or where a pooled value without one pair is infinite."""
    needed_factor: float
    """By which every run's window must be longer for a claim on the system; at most 1: identified. inf: no length is
    known to do."""
    reason: str
    """Why the claim holds or does not, one line."""

    @property
    def df(self) -> int:
        """Degrees of freedom of Student's t."""
        return self.n - 1

    @property
    def identified(self) -> bool:
        """Whether a claim on the systems may be made; if not, no interval here holds what it says."""
        return self.needed_factor <= 1

    @property
    def p(self) -> float:
        """Two-sided p of "no difference"; 1 where there is no standard error."""
        if not math.isfinite(self.error):
            return 1.0
        if self.error == 0.0:
            return 1.0 if self.mean == 0.0 else 0.0
        return student_p(self.mean / self.error, self.df)

    def interval(self, alpha: float = ALPHA) -> tuple[float, float]:
        """Student's two-sided interval of 1 - alpha around `mean`; (-inf, inf) without a standard error."""
        if not math.isfinite(self.error):
            return -math.inf, math.inf
        half = student_quantile(1 - alpha / 2, self.df) * self.error
        return self.mean - half, self.mean + half

    def smallest_detectable(self, alpha: float = ALPHA, power: float = POWER) -> float:
        """The true log-ratio that such runs would find with probability `power` (as `Paired`); inf without an error."""
        if not math.isfinite(self.error):
            return math.inf
        return (student_quantile(1 - alpha / 2, self.df) + student_quantile(power, self.df)) * self.error


def system_ratio(reference: Pool, arm: Pool, metric: Metric) -> SystemRatio:
    """Compare two systems by one metric.

    The standard error is the delete-a-pair jackknife's (Efron, The Jackknife, the Bootstrap and Other Resampling Plans,
    1982; for quantiles of dependent sequences by batches, or sections, Heidelberger and Lewis, Operations Research 32,
    1984, and Asmussen and Glynn, Stochastic Simulation, 2007, on sectioning). Pairs share arrivals, so that what they
    have in common cancels. The estimate is the pooled one itself: the jackknife's correction of its bias lowers the
    coverage in short runs and changes nothing in long ones.

    Args:
        reference: its run i and the arm's run i are pair i.
        arm: with as many runs.
        metric: a quantile's level, or "mean".

    Raises:
        ValueError: the arms have different numbers of runs, or the level is not between 0 and 1.
    """
    n = len(reference.runs)
    if n != len(arm.runs):
        raise ValueError(f"pairs: the reference has {n} runs, the arm {len(arm.runs)}")
    if metric != "mean" and not 0 < metric < 1:
        raise ValueError(f"metric: a level between 0 and 1, or 'mean', not {metric!r}")
    both = [pool.mean() if metric == "mean" else pool.quantile(metric) for pool in (reference, arm)]
    (ours, without_ours), (theirs, without_theirs) = both
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = float(np.log(theirs) - np.log(ours))
        deleted = np.log(without_theirs) - np.log(without_ours)
        error = math.sqrt((n - 1) / n * float(((deleted - deleted.mean()) ** 2).sum()))
    if error <= 1e-12:  # equal but for rounding
        error, mean = 0.0, 0.0 if abs(mean) <= 1e-12 else mean
    mean, error = (value if math.isfinite(value) else math.nan for value in (mean, error))
    needed, reason = _needed((reference, arm), metric)
    if needed < math.inf and (math.isnan(mean) or (n > 1 and math.isnan(error))):
        needed, reason = math.inf, "it falls among the requests that were not served, in all runs or without one pair"
    return SystemRatio(n, ours, theirs, mean, error, needed, reason)


def system_interval(pool: Pool, metric: Metric, alpha: float = ALPHA) -> Interval | None:
    """One system's quantile or mean by the same rules, ms; None where such runs do not identify it.

    The jackknife leaves out a run at a time, on the logarithm.
    """
    n = len(pool.runs)
    value, without = pool.mean() if metric == "mean" else pool.quantile(metric)
    needed, _ = _needed((pool,), metric)
    if n < 2 or needed > 1 or not math.isfinite(value) or not np.isfinite(without).all() or min(value, *without) <= 0:
        return None
    logs = np.log(without)
    half = student_quantile(1 - alpha / 2, n - 1) * math.sqrt((n - 1) / n * float(((logs - logs.mean()) ** 2).sum()))
    return Interval(value, value * math.exp(-half), value * math.exp(half), n)


def _needed(pools: Sequence[Pool], metric: Metric) -> tuple[float, str]:
    """`needed_factor` and `reason`, by what is known of the queues' memory."""
    if not all(pool.is_steady for pool in pools):
        return math.inf, "there is no steady state: latency depends on the run's length"
    if any(math.isnan(pool.relaxations) for pool in pools):
        return math.inf, "one pair does not show how long the queues remember"
    relaxations = min(pool.relaxations for pool in pools)
    needed = ABOVE / (1 - (MEAN_AS if metric == "mean" else metric))
    reason = f"a run is {relaxations:,.0f} relaxation times long; this metric needs {needed:,.0f}"
    return needed / relaxations, reason
