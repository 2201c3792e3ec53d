"""Tails of the distributions of counts: among independent trials, and among draws from a few."""

from analysis.distributions.beta import beta_tails
from analysis.distributions.saddle_point import binomial_probability

NO_MORE = 2.0**-53
"""Share of a sum below which a further term does not change it."""


def binomial_tails(k: int, n: int, p: float) -> tuple[float, float]:
    """P(X <= k) and P(X >= k) of successes among n independent trials, each with probability p.

    P(X > k) = I_p(k + 1, n - k) (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.5.24).
    """
    if k < 0 or k > n:
        return (0.0, 1.0) if k < 0 else (1.0, 0.0)
    if k == n:
        return 1.0, binomial_probability(k, n - k, p, 1 - p)
    above, at_most = beta_tails(p, 1 - p, k + 1, n - k)
    return at_most, min(1.0, above + binomial_probability(k, n - k, p, 1 - p))


def hypergeometric_tails(k: int, everything: int, marked: int, drawn: int) -> tuple[float, float]:
    """P(X <= k) and P(X >= k) of the marked ones among `drawn` of `everything`, of which `marked` are.

    The probability of k itself from three binomial ones, as R's dhyper; its neighbours' by their ratios.
    """
    plain = everything - marked
    least, most = max(0, drawn - plain), min(drawn, marked)
    if k < least or k > most:
        return (0.0, 1.0) if k < least else (1.0, 0.0)
    if least == most:
        return 1.0, 1.0
    p, q = drawn / everything, (everything - drawn) / everything
    here = (
        binomial_probability(k, marked - k, p, q)
        * binomial_probability(drawn - k, plain - drawn + k, p, q)
        / binomial_probability(drawn, everything - drawn, p, q)
    )
    # Away from the middle terms fall, so that the sum is short; the other tail is what is left.
    if k * (everything + 2) <= (drawn + 1) * (marked + 1):
        at_most = here * _falling(k, drawn, marked, plain - drawn)
        return min(1.0, at_most), min(1.0, 1 - at_most + here)
    # From the other side: the unmarked ones among the drawn.
    at_least = here * _falling(drawn - k, drawn, plain, marked - drawn)
    return min(1.0, 1 - at_least + here), min(1.0, at_least)


def _falling(k: int, drawn: int, marked: int, spare: int) -> float:
    """(P(X = k) + P(X = k - 1) + ...) / P(X = k); `spare` = unmarked ones less those drawn."""
    total = term = 1.0
    while k > 0 and spare + k > 0 and term > NO_MORE * total:
        term *= k * (spare + k) / ((marked - k + 1) * (drawn - k + 1))
        total += term
        k -= 1
    return total
