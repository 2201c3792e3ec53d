"""The work of requests: distributions of one mean, and how much of what they do to a queue is rare."""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from experiments.plan.numbers import numbers
from experiments.plan.renewing import balanced
from experiments.plan.workload import ClassDemandSettings

Floats = NDArray[np.float64]
GRID = 4001
"""Points at which a tail is looked at."""
LARGEST = 1 - 2**-53
"""The largest number below 1."""


def drawn(demand: ClassDemandSettings, rng: np.random.Generator, count: int) -> Floats:
    """The demands of so many requests, seconds, rounded to 1 us.

    Request i has the same quantile whatever the count, the mean, and the parameters of its distribution.
    """
    mean = demand.mean_ms / 1e3
    match demand.distribution:
        case "exponential":
            values = rng.standard_exponential(count) * mean
        case "lognormal":
            values = np.exp(rng.standard_normal(count) * demand.sigma - demand.sigma**2 / 2) * mean
        case "constant":
            values = np.full(count, mean)
        case _:
            values = beyond(demand, 1 - rng.random(count)) * mean
    return np.round(values, 6)


def beyond(demand: ClassDemandSettings, share: Floats) -> Floats:
    """What a share of the demands lies beyond, in multiples of the mean; of those drawn by one uniform number each.

    `hyperexponential`: two phases with balanced means; a request is of the long one where `share` is below its
    probability. `pareto`: P(X > x) ~ x^-alpha between a smallest value and `spread` times it. `empirical`: a value of
    the file for each equal share.

    Args:
        demand: of one of these distributions.
        share: above 0, at most 1, shape (n,).
    """
    if demand.distribution == "hyperexponential":
        p, short, long = balanced(demand.cv)
        within = np.minimum((1 - share) / p, LARGEST)
        phase: Floats = np.where(share <= 1 - p, -long * np.log(share / (1 - p)), -short * np.log1p(-within))
        return phase
    if demand.distribution == "pareto":
        alpha, end = demand.alpha, demand.spread**-demand.alpha
        values: Floats = (end + share * (1 - end)) ** (-1 / alpha) / _pareto_mean(alpha, demand.spread)
        return values
    observed = np.sort(numbers(demand.file, "workload.demand.file"))[::-1]
    found: Floats = observed[np.minimum((share * len(observed)).astype(np.int64), len(observed) - 1)] / observed.mean()
    return found


def _pareto_mean(alpha: float, spread: float) -> float:
    """Of the bounded Pareto distribution on [1, spread]."""
    end = spread**-alpha
    if abs(alpha - 1) < 1e-9:
        return float(np.log(spread) / (1 - end))
    return float(alpha / (alpha - 1) * (1 - spread ** (1 - alpha)) / (1 - end))


def rare_share(demand: ClassDemandSettings) -> float:
    """The share of the requests that have half of the second moment; of exponential demands 0.069.

    In proportion to the second moment requests make others wait (Pollaczek and Khinchine): a run that has seen few of
    these has hardly seen the distribution.
    """
    match demand.distribution:
        case "constant":
            return 0.5
        case "exponential":
            return 0.0690  # e^-x at x^2 + 2 x + 2 = e^x
        case "lognormal":  # weighted by its square its logarithm is moved by 2 sigma^2
            return NormalDist().cdf(-2 * demand.sigma)
        case "hyperexponential":
            p, short, long = balanced(demand.cv)
            x = np.linspace(0, 40 * long, GRID)
            means = np.array([[short], [long]])
            shares = np.array([[p], [1 - p]]) * np.exp(-x / means)
            rest = (shares * (x**2 + 2 * means * x + 2 * means**2)).sum(axis=0)
            return float(shares.sum(axis=0)[np.searchsorted(-rest, -rest[0] / 2)])
        case _:
            shares = np.logspace(-12, 0, GRID)
            parts = np.diff(shares)
            moments = np.cumsum(parts * beyond(demand, shares[:-1] + parts / 2) ** 2)
            return float(shares[1 + np.searchsorted(moments, moments[-1] / 2)])
