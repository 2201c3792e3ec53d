"""What recorded and simulated requests are compared by, and when they agree."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.distributions.student import student_quantile
from analysis.fitting.demand import Interval
from analysis.fitting.inversion import Bools, Floats
from analysis.fitting.log import Log
from experiments.fitting.playing import Played
from record.latency import QUANTILES, quantile

SHARES = {name: QUANTILES[name] for name in ("p50", "p90", "p99")}
LEVEL = 0.995
"""Of each prediction interval: with ten of them, 5 % of true fits would be refused at most for nothing but chance."""
TOLERANCE = 0.05
"""Beyond its interval a metric may be off by this factor: a fit this good does what a fit is for."""
ERRORS_OFF = 0.005
"""Share of failed requests by which error shares may differ beside chance."""
IN_A_STRETCH = 20
"""Answers in each stretch of time that dispersion is taken over."""
STRETCHES = (20, 1000)
"""At least and at most so many."""

Metric = Callable[[Played], float]


@dataclass(frozen=True)
class Judged:
    """One metric of the half that was not seen."""

    name: str
    recorded: float
    simulated: float
    low: float
    high: float
    holds: bool


def measures(log: Log, measured: Bools) -> dict[str, Metric]:
    """The metrics of the marked requests of a log, by name."""

    def latency(share: float) -> Metric:
        return lambda played: quantile(played.lasted_s[measured & played.served], share) * 1e3

    begin_s = float(log.arrivals_s[measured][0])
    span_s = max(1e-9, float(log.arrivals_s[-1]) - begin_s)
    stretches = max(STRETCHES[0], min(STRETCHES[1], int(measured.sum()) // IN_A_STRETCH))
    edges = np.linspace(begin_s, begin_s + span_s, stretches + 1)

    def ended(played: Played) -> Floats:
        ends_s = (log.arrivals_s + played.lasted_s)[played.served]
        return np.asarray(np.histogram(ends_s, edges)[0], np.float64)

    def dispersion(played: Played) -> float:
        """Variance over mean of the answers in stretches of time (Cox and Lewis, Series of events, 1966)."""
        counts = ended(played)
        return float(counts.var(ddof=1) / max(counts.mean(), 1e-12))

    return {
        "rate_rps": lambda played: float(ended(played).sum()) / span_s,
        "mean_ms": lambda played: float(played.lasted_s[measured & played.served].mean() * 1e3),
        **{f"{name}_ms": latency(share) for name, share in SHARES.items()},
        "dispersion": dispersion,
    }


def held(name: str, recorded: float, simulated: list[float]) -> Judged:
    """What was recorded against the prediction interval for one more of the simulated."""
    logs = np.log(np.maximum(simulated, 1e-12))
    half = student_quantile((1 + LEVEL) / 2, len(logs) - 1) * float(logs.std(ddof=1)) * math.sqrt(1 + 1 / len(logs))
    middle = float(logs.mean())
    low, high = math.exp(middle - half), math.exp(middle + half)
    holds = low / (1 + TOLERANCE) <= recorded <= high * (1 + TOLERANCE)
    return Judged(name, recorded, math.exp(middle), low, high, holds)


def errors(share: Interval, recorded: Played, measured: Bools) -> Judged:
    """The share of errors against that of the first half, whose interval gets the second half's own chance besides."""
    asked = max(1, int(measured.sum()))
    chance = 3 * math.sqrt(max(share.high, 1 / asked) / asked) + ERRORS_OFF
    failed = float((~recorded.served[measured]).mean())
    low, high = max(0.0, share.low - chance), min(1.0, share.high + chance)
    return Judged("error_share", failed, share.value, low, high, low <= failed <= high)
