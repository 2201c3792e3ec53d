"""The beta distribution: its two tails, which are the regularised incomplete beta function, and its quantiles."""

import math
from statistics import NormalDist

from analysis.distributions.saddle_point import binomial_probability

MOST_TERMS = 200_000
"""Of the continued fraction, which takes about the root of the larger parameter: 500 for 10^9."""
TINY = 1e-300
"""In place of a zero that would be divided by (Lentz)."""
LEAST = 1e-290
"""A tail below it is too far out: floats lose their digits."""
MOST_STEPS = 200
"""Of Newton's method, which takes four to seven."""
SMALL = 1e-8
"""A step, in standard deviations, after which the next one would be below the last digit: its error is squared."""


def beta_tails(x: float, y: float, a: float, b: float) -> tuple[float, float]:
    """P(B <= x) and P(B > x) of the beta distribution with parameters a and b above 0; each has all of its digits.

    Args:
        x: 0 to 1.
        y: 1 - x, given besides, since one of the two has lost its digits where the other is small.
    """
    return _tails_and_slope(x, y, a, b)[:2]


def beta_quantile(share: float, a: float, b: float) -> float:
    """What a beta variable with parameters a and b does not exceed with probability `share`, 0 to 1."""
    if not 0 < share < 1:
        return float(share > 0)
    return 1 / (1 + math.exp(-beta_logit(share, a, b)))


def beta_logit(share: float, a: float, b: float) -> float:
    """log(x / (1 - x)) of the quantile x of a `share` between 0 and 1: from it x and 1 - x both have all their digits.

    By Newton's method on the logarithm of the smaller tail. The density of the logit is log-concave, and so are its
    tails (Bagnoli and Bergstrom, Log-concave probability and its applications, Economic Theory 26, 2005): whatever the
    start, the second point is on the far side of the quantile, and from there on none leaps over it.
    """
    if share > 0.5:
        return -beta_logit(1 - share, b, a)
    spread = math.sqrt(1 / a + 1 / b)  # about the logit's standard deviation
    near = math.log(a / b)
    logit = near + spread * NormalDist().inv_cdf(share)
    for _ in range(MOST_STEPS):
        lower, _, slope = _tails_and_slope(1 / (1 + math.exp(-logit)), 1 / (1 + math.exp(logit)), a, b)
        if lower < LEAST:
            logit = (logit + near) / 2
            continue
        change = math.log(share / lower) * lower / slope
        if change < 0:
            near = logit
        logit += change
        if abs(change) <= SMALL * spread:
            return logit
    raise ArithmeticError(f"the quantile {share} of the beta distribution ({a}, {b}) lies too far out")


def _tails_and_slope(x: float, y: float, a: float, b: float) -> tuple[float, float, float]:
    """`beta_tails`, and how fast the lower one rises with the logit of x: x^a y^b / B(a, b)."""
    if x <= 0.0 or y <= 0.0:
        return (0.0, 1.0, 0.0) if x <= 0.0 else (1.0, 0.0, 0.0)
    slope = binomial_probability(a, b, x, y) * a * b / (a + b)
    if x * (a + b + 2) < a + 1:
        lower = min(1.0, slope * _fraction(x, y, a, b))
        return lower, 1 - lower, slope
    upper = min(1.0, slope * _fraction(y, x, b, a))
    return 1 - upper, upper, slope


def _fraction(x: float, y: float, a: float, b: float) -> float:
    """B(a, b) I_x(a, b) / (x^a y^b) as a continued fraction, for x below (a + 1) / (a + b + 2).

    That of DiDonato and Morris (Algorithm 708: significant digit computation of the incomplete beta function ratios,
    ACM Transactions on Mathematical Software 18, 1992), as Boost's ibeta writes it: it has x and y both, so that
    nothing cancels where one of them is small. By Lentz' method (Applied Optics 15, 1976).

    Raises:
        ArithmeticError: it does not converge.
    """
    off = a * y - b * x + 1
    c = fraction = a * off / (a + 1) or TINY
    d = 0.0
    for m in range(1, MOST_TERMS):
        at = a + 2 * m
        share = m * (b - m) * x / (at - 1)
        numerator = share * (a + m - 1) * (a + b + m - 1) * x / (at - 1)
        denominator = m + share + (a + m) * (off + m * (1 + y)) / (at + 1)
        d = 1 / (denominator + numerator * d or TINY)
        c = denominator + numerator / c or TINY
        change = c * d
        fraction *= change
        if abs(change - 1) < 1e-15:
            return 1 / fraction
    raise ArithmeticError(f"the continued fraction of the beta distribution ({a}, {b}) does not converge at {x}")
