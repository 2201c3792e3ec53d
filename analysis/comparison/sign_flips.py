"""Tests on paired differences that ask for no distribution, and for no finite values: sign flips. Pure.

If the arms do not differ, each pair's difference might as well have the other sign, so that the sum of the differences
is one of 2^n equally likely ones (Fisher, The Design of Experiments, 1935, section 21). n pairs cannot have a p below
2^(1 - n): 0.06 for five.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.comparison.ranks import mean_ranks
from analysis.distributions.normal import normal_tail

EXACT = 32
"""Pairs up to which all sums are counted; beyond, the sum is taken for normal, which is right to a tenth of p there."""


def least_p(n: int) -> float:
    """The smallest p that n pairs can have."""
    return min(1.0, 2.0 ** (1 - n))


def sign_flip_p(differences: Sequence[float]) -> float:
    """Two-sided p of no difference: the share of all choices of signs whose sum is as far from 0 as what was seen.

    Args:
        differences: one a pair, finite.
    """
    values = np.abs(np.asarray(differences, dtype=np.float64))
    seen = abs(float(np.sum(differences)))
    if not seen:
        return 1.0
    slack = 1e-9 * float(values.sum())
    if len(values) > EXACT:
        return 2 * normal_tail(seen / float(np.sqrt((values**2).sum())))
    first, second = _sums(values[: len(values) // 2]), np.sort(_sums(values[len(values) // 2 :]))
    above = len(second) - np.searchsorted(second, seen - slack - first, side="left")
    return min(1.0, 2 * float(above.sum()) / (len(first) * len(second)))


def signed_rank_p(differences: Sequence[float]) -> float:
    """Two-sided p of the signed-rank test, where differences may be infinite: it takes their order alone.

    Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1 (1945); exact, ties have the mean of
    their ranks, and differences of zero are ranked and then left out (Pratt, J. American Statistical Association 54,
    1959).
    """
    values = np.asarray(differences, dtype=np.float64)
    ranks = mean_ranks(np.abs(values))
    return sign_flip_p((np.sign(values) * ranks)[values != 0].tolist())


def _sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums of all choices of signs, shape (2^n,)."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums
