"""What a request asks for at a host of speed 1, and how hosts differ, from the services that a number of slots implies.

Under the fitted queue services are independent draws; that they are not quite (a deployment, a cache that warms) is why
intervals come from resampling whole stretches of time (moving blocks: Kuensch, The jackknife and the bootstrap for
general stationary observations, Annals of Statistics 17, 1989).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from analysis.distributions.student import student_quantile
from analysis.fitting.inversion import Floats, Ints

RESAMPLES = 400
"""Draws of the bootstrap."""
LEAST_BLOCKS = 20
"""Stretches that a log is cut into at least: fewer say too little of their spread."""
SHARE = 0.95
"""Of an interval."""
KNOTS = 201
"""Quantiles that describe an empirical demand."""
FAR_OFF = 0.05
"""A family whose distribution function is further off than this somewhere is not called by its name."""
NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    """A value and where it lies."""

    value: float
    low: float
    high: float

    def holds(self, truth: float) -> bool:
        """Whether it is true of the truth, rounding apart."""
        return self.low - 1e-9 <= truth <= self.high + 1e-9

    def joined(self, other: "Interval") -> "Interval":
        """From the lower of the lows to the higher of the highs, around this value."""
        return Interval(self.value, min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True)
class Demand:
    """The work of a request."""

    mean_ms: Interval
    spread: Interval
    """Standard deviation over mean."""
    family: str
    """`constant`, `exponential`, `lognormal` where one of them comes within `off`, else `empirical`."""
    sigma: float
    """Of the logarithm, by the quartiles of the logarithms; what `lognormal` has."""
    off: float
    """Largest difference between the services' distribution function and that of the nearest family."""
    quantiles_ms: tuple[float, ...]
    """From the least to the greatest, equally far apart in probability."""


@dataclass(frozen=True)
class Rates:
    """Speeds and demand together: the one is known only against the other."""

    speeds: tuple[Interval, ...]
    """Of each host, that of `reference` being 1."""
    demand: Demand
    reference: int
    """The host whose speed is in the middle, of two the slower one."""
    drawn: Floats
    """Speeds that the log does not rule out, with the demands as they were: all of a resample's difference is in them.
    Shape (RESAMPLES, hosts)."""


def rates(services_s: Floats, host: Ints, hosts: int, step_s: float, rng: np.random.Generator) -> Rates:
    """Speeds and demand.

    Hosts are compared by the squares of the means of the roots of their services. Long services count for less there
    than in plain means, and short ones for less than in means of logarithms: a live log's departures come some
    milliseconds late, each by others, so that short services behind a line are anything from nothing to twice as long,
    and what is lost of a logarithm there has no end.

    Args:
        services_s: of all hosts in the order of time, shape (n,).
        host: whose each is, 0 to `hosts` - 1, each of them there, shape (n,).
        hosts: how many there are.
        step_s: the clock's, seconds.
        rng: draws the resamples.
    """
    least_s = max(step_s / 2, 1e-3 * float(np.median(services_s)), 1e-9)
    roots = np.sqrt(np.maximum(services_s, least_s))
    count = len(roots)
    blocks = max(LEAST_BLOCKS, round(count ** (1 / 3)))
    block = np.minimum(blocks - 1, np.arange(count) * blocks // count)

    def by_block(values: Floats) -> Floats:
        sums: Floats = np.bincount(block * hosts + host, values, minlength=blocks * hosts).astype(np.float64)
        return sums.reshape(blocks, hosts)

    one, of_roots = by_block(np.ones(count)), by_block(roots)
    plain, squares = by_block(services_s), by_block(services_s**2)
    drawn = rng.integers(0, blocks, (RESAMPLES, blocks))
    weights = np.zeros((RESAMPLES + 1, blocks))
    weights[0] = 1.0
    np.add.at(weights, (np.arange(1, RESAMPLES + 1)[:, None], drawn), 1.0)
    number = weights @ one
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = 2 * np.log((weights @ of_roots) / number)
        middle = np.where(number > 0, middle, middle[0])
        reference = int(np.argsort(-middle[0], kind="stable")[(hosts - 1) // 2])
        speeds = np.exp(middle[:, [reference]] - middle)
        means = ((weights @ plain) * speeds).sum(axis=1) / number.sum(axis=1)
        second = ((weights @ squares) * speeds**2).sum(axis=1) / number.sum(axis=1)
        spreads = np.sqrt(np.maximum(0.0, second - means**2)) / means
    demands_s = services_s * speeds[0][host]
    family, unlike = nearest(demands_s, step_s)
    off = step_s / float(means[0])
    return Rates(
        tuple(
            _interval(speeds[:, each], blocks, off * float(speeds[0, each]) if each != reference else 0.0)
            for each in range(hosts)
        ),
        Demand(
            _interval(means * 1e3, blocks, step_s * 1e3),
            _interval(spreads, blocks, off),
            family if unlike <= FAR_OFF else "empirical",
            _sigma(demands_s),
            unlike,
            tuple((np.quantile(np.maximum(demands_s, 0.0), np.linspace(0, 1, KNOTS)) * 1e3).tolist()),
        ),
        reference,
        speeds[0] * np.exp(middle[[0]] - middle[1:]),
    )


def _interval(draws: Floats, blocks: int, beside: float) -> Interval:
    """The first is the value, the others what resamples gave: their quantiles, widened as t is for so few blocks.

    The plain interval is too narrow by sqrt(b / (b - 1)) and by what t has over the normal (Hesterberg, What teachers
    should know about the bootstrap, American Statistician 69, 2015). `beside` is what the clock may be off, always.
    """
    value, resampled = float(draws[0]), draws[1:]
    low, high = np.quantile(resampled, [(1 - SHARE) / 2, (1 + SHARE) / 2]).tolist()
    wider = student_quantile((1 + SHARE) / 2, blocks - 1) / NORMAL.inv_cdf((1 + SHARE) / 2)
    wider *= math.sqrt(blocks / (blocks - 1))
    below, above = (max(0.0, each) * wider + beside for each in (value - low, high - value))
    return Interval(value, max(0.0, value - below), value + above)


def _sigma(demands_s: Floats) -> float:
    quarter, half, three = np.quantile(np.maximum(demands_s, 1e-9), [0.25, 0.5, 0.75])
    return float(math.log(three / quarter) / (2 * NORMAL.inv_cdf(0.75))) if half > 0 else 0.0


def nearest(demands_s: Floats, step_s: float) -> tuple[str, float]:
    """The nearest of the families that the workload has, and how far its distribution function is off at most.

    The distance of Kolmogorov and Smirnov; each family has the mean, `lognormal` the spread of the logarithms besides.
    A constant is off by the share of the demands that are further from the median than 2 % or two of the clock's steps.
    """
    ordered = np.sort(demands_s)
    mean, median = float(ordered.mean()), float(np.median(ordered))
    sigma = _sigma(ordered)
    scale = max(sigma, 1e-9)
    fits = {
        "exponential": -np.expm1(-np.maximum(ordered, 0.0) / mean),
        "lognormal": np.array(
            [NORMAL.cdf((math.log(max(each, 1e-9) / median)) / scale) for each in _thin(ordered).tolist()]
        ),
    }
    offs = {"constant": float((np.abs(ordered - median) > max(0.02 * median, 2 * step_s)).mean())}
    offs["exponential"] = _off(fits["exponential"])
    offs["lognormal"] = _off(fits["lognormal"])
    family = min(offs, key=lambda name: offs[name])
    return family, offs[family]


def _thin(ordered: Floats, most: int = 2000) -> Floats:
    """At most so many of them, evenly."""
    if len(ordered) <= most:
        return ordered
    return ordered[np.linspace(0, len(ordered) - 1, most).round().astype(np.int64)]


def _off(fitted: Sequence[float] | Floats) -> float:
    values = np.asarray(fitted)
    steps = np.arange(len(values) + 1) / len(values)
    return float(max(np.abs(values - steps[1:]).max(), np.abs(values - steps[:-1]).max()))
