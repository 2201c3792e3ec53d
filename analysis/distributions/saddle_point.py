"""Binomial probabilities to the last digits, however large n is.

Loader's saddle-point expansion (Fast and accurate computation of binomial probabilities, 2000; it is what R's dbinom,
dhyper and dbeta do). By logarithms of factorials a probability among 10^6 trials keeps nine digits: they are as large
as 10^7 and nearly cancel. Here small numbers are added.
"""

import math

SERIES_FROM = 15.0
"""Above, five terms of Stirling's series are right to the last digit; below, the logarithm of a factorial is small."""
CLOSE = 0.1
"""Relative distance from the mean below which the deviance is summed as a series, since its formula cancels there."""
LOG_ROOT_2_PI = math.log(2 * math.pi) / 2


def binomial_probability(k: float, rest: float, p: float, q: float) -> float:
    """P(X = k) among n = k + rest trials, each with probability p: n! / (k! rest!) p^k q^rest.

    Args:
        k: 0 or more; needs not be whole.
        rest: likewise; n less k would lose the digits of a small one.
        p: 0 to 1.
        q: 1 - p, given for the same reason.
    """
    if k == 0:
        return _power(q, p, rest)
    if rest == 0:
        return _power(p, q, k)
    if p == 0.0 or q == 0.0:
        return 0.0
    n = k + rest
    off = k * q - rest * p  # k - n p
    errors = stirling_error(n) - stirling_error(k) - stirling_error(rest)
    deviances = deviance(k, n * p, off) + deviance(rest, n * q, -off)
    return math.exp(errors - deviances) * math.sqrt(n / k / rest / (2 * math.pi))


def _power(p: float, q: float, n: float) -> float:
    """p^n."""
    if q == 1.0:
        return 1.0 if n == 0 else p**n
    return math.exp(n * math.log1p(-q)) if q < 0.5 else p**n


def stirling_error(n: float) -> float:
    """What Stirling's formula lacks: log n! - log(sqrt(2 pi n) (n / e)^n), n above 0."""
    if n <= SERIES_FROM:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - LOG_ROOT_2_PI
    square = n * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / n


def deviance(x: float, mean: float, off: float) -> float:
    """x log(x / mean) + mean - x; 0 or more.

    Args:
        x: above 0.
        mean: above 0.
        off: x - mean, with the digits that the subtraction would lose.
    """
    if abs(off) >= CLOSE * (x + mean):
        return x * math.log(x / mean) - off
    v = off / (x + mean)
    total, term, divisor = off * v, 2 * x * v, 3
    while True:
        term *= v * v
        longer = total + term / divisor
        if longer == total:
            return total
        total, divisor = longer, divisor + 2
