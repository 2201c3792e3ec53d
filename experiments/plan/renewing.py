"""Renewal processes of rate 1: gaps that are drawn independently of each other, and alike."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def renewed(
    total: float, cv: float, first: float, gaps: "Callable[[int], Floats]"
) -> "Floats":
    """The moments on [0, total), shape (n,).

    Args:
        total: where it ends, which is also the expected number.
        cv: coefficient of variation of the gaps.
        first: until the first moment: what is left of a gap at a moment that knows nothing of it, so that the process
            is stationary (Cox, Renewal Theory, 1962, 5.2).
        gaps: draws so many, mean 1.
    """
    import numpy as np

    size = int(total + 8 * max(1.0, cv) * np.sqrt(total) + 16)
    unit = first + np.concatenate([[0.0], np.cumsum(gaps(size))])
    while unit[-1] < total:
        unit = np.concatenate([unit, unit[-1] + np.cumsum(gaps(size))])
    return unit[unit < total]


def balanced(cv: float) -> tuple[float, float, float]:
    """The two-phase hyperexponential of mean 1 and that coefficient of variation, at least 1, whose phases contribute
    half of the mean each ("balanced means": Tijms, A First Course in Stochastic Models, 2003, B.1).

    Returns:
        The probability of the short phase, its mean, and the mean of the long one.
    """
    square = cv**2
    short = (1 + ((square - 1) / (square + 1)) ** 0.5) / 2
    return short, 0.5 / short, 0.5 / (1 - short)
