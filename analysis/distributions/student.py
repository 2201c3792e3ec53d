"""Student's t distribution."""

import math
from functools import lru_cache

from analysis.distributions.beta import beta_logit, beta_tails


def student_p(t: float, df: float) -> float:
    """P(|T| > |t|): the two-sided p of a value of t with `df` degrees of freedom, above 0.

    I_x(df / 2, 1 / 2) at x = df / (df + t^2) (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.1).
    """
    square = t * t / df
    if not math.isfinite(square):
        return 0.0 if math.isinf(square) else math.nan
    return beta_tails(1 / (1 + square), square / (1 + square), df / 2, 0.5)[0]


@lru_cache(maxsize=4096)
def student_quantile(share: float, df: float) -> float:
    """What t with `df` degrees of freedom, above 0, does not exceed with probability `share`, 0 to 1.

    Kept: a comparison asks for few of them, and for each very often.
    """
    if share > 0.5:
        return -student_quantile(1 - share, df)
    if share == 0.5 or share <= 0.0:
        return 0.0 if share == 0.5 else -math.inf
    return -math.sqrt(df) * math.exp(-beta_logit(2 * share, df / 2, 0.5) / 2)
