"""The standard normal distribution."""

import math

import numpy as np
from numpy.typing import NDArray


def normal_tail(z: float) -> float:
    """P(Z > z): half of erfc(z / sqrt 2), exact also far out, where 1 - P(Z <= z) has no digits left."""
    return math.erfc(z / math.sqrt(2)) / 2


def normal_tails(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """`normal_tail` of each of `z`, shape (n,)."""
    return np.array([math.erfc(value) for value in (z / math.sqrt(2)).tolist()]) / 2
