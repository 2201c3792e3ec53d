"""Where a continuous function of one variable is zero."""

import math
from collections.abc import Callable

STEPS = 200
"""More than bisection alone could need between any two numbers."""


def root(function: Callable[[float], float], low: float, high: float, *, within: float = 0.0) -> float:
    """A zero of `function` between two points where it has different signs.

    Chandrupatla's method: inverse quadratic interpolation where three points say that it will do, else bisection (A
    new hybrid quadratic/bisection algorithm for finding the zero of a nonlinear function without using derivatives,
    Advances in Engineering Software 28, 1997).

    Args:
        function: finite at all points between.
        low: one end.
        high: the other.
        within: absolute error that is small enough; besides, four units in the last place always are.

    Raises:
        ValueError: it has the same sign at both ends.
    """
    newest, opposite = low, high
    at_newest, at_opposite = function(newest), function(opposite)
    if at_newest * at_opposite > 0 or math.isnan(at_newest * at_opposite):
        raise ValueError(f"no change of sign between {low} and {high}")
    share = 0.5
    for _ in range(STEPS):
        point = newest + share * (opposite - newest)
        at_point = function(point)
        if (at_point > 0) == (at_newest > 0):
            third, at_third = newest, at_newest
        else:
            third, at_third = opposite, at_opposite
            opposite, at_opposite = newest, at_newest
        newest, at_newest = point, at_point
        best, at_best = (newest, at_newest) if abs(at_newest) < abs(at_opposite) else (opposite, at_opposite)
        wanted = 2 * math.ulp(best) + within / 2
        least = wanted / abs(opposite - newest) if opposite != newest else 1.0
        if at_best == 0.0 or least > 0.5:
            return best
        share = 0.5
        xi = (newest - opposite) / (third - opposite)
        phi = (at_newest - at_opposite) / (at_third - at_opposite)
        if phi**2 < xi and (1 - phi) ** 2 < 1 - xi:
            share = at_newest / (at_opposite - at_newest) * at_third / (at_opposite - at_third) + (third - newest) / (
                opposite - newest
            ) * at_newest / (at_third - at_newest) * at_opposite / (at_third - at_opposite)
        share = min(1 - least, max(least, share))
    return best
