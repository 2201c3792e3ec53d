"""How large a share may be, from how often it happened in independent trials."""

from functools import lru_cache

from analysis.distributions.beta import beta_quantile


@lru_cache(maxsize=4096)
def clopper_pearson(events: int, trials: int, alpha: float = 0.05) -> tuple[float, float]:
    """The exact interval of 1 - alpha of a share, from independent trials; (0, 1) without any.

    Clopper and Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial, Biometrika
    26 (1934). Each end is a bound at alpha / 2, also where the other is certain, since there was no event or nothing
    else: with all of alpha there a share of just above 3 / trials would be missed in 6.2 % of many trials.
    """
    low = beta_quantile(alpha / 2, events, trials - events + 1) if events else 0.0
    return low, beta_quantile(1 - alpha / 2, events + 1, trials - events) if events < trials else 1.0


def most_of(events: int, trials: int, alpha: float = 0.05) -> float:
    """The largest share that the trials do not exclude at `alpha`: Clopper and Pearson's bound, one-sided.

    Of none it is 1 - alpha^(1 / trials), at 95 % nearly 3 / trials, the rule of three (Hanley and Lippman-Hand, If
    nothing goes wrong, is everything all right?, JAMA 249, 1983).
    """
    return clopper_pearson(events, trials, 2 * alpha)[1]
