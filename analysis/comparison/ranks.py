"""The order of numbers, whatever lies between them: ranks, and how well two orders agree. Pure."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rank of each value, from 1, shape (n,); equal ones have the mean of theirs. May be infinite, not NaN."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[which]
    return ranks


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's tau b: 1 where two orders are the same, -1 where one is the other's reverse; NaN where one has none.

    Of the pairs that neither order ties, how many more agree than do not, over the geometric mean of the pairs that
    each order does not tie (Kendall, The treatment of ties in ranking problems, Biometrika 33, 1945).

    Args:
        first: may be infinite, not NaN.
        second: of the same things.
    """
    a, b = (_signs(np.asarray(values, dtype=np.float64)) for values in (first, second))
    untied = math.sqrt(float((a**2).sum()) * float((b**2).sum()))
    return float((a * b).sum()) / untied if untied else math.nan


def _signs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the difference of each pair, shape (n, n): 1, 0 or -1."""
    return (values[:, None] > values).astype(np.float64) - (values[:, None] < values)
