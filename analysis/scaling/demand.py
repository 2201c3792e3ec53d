"""How many replicas a load needs to meet an objective: the demand d(t) that a scaler is judged against. Pure.

The demanded amount is the smallest at which the objective is met (Herbst, Kounev and Reussner, Elasticity in Cloud
Computing: What It Is, and What It Is Not, ICAC 2013). It follows from a curve: the highest rate that 1, 2, ... replicas
stand. The curve is measured, or what Erlang's formula gives.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.distributions.queues import mmc_sojourn_exceeds
from analysis.distributions.roots import root

Source = Literal["measured", "analytic"]
WITHIN = 0.99
"""The share of requests that are to be served within `Objective.p99_ms`."""
NEAR_SATURATION = 1e-9
"""The relative distance from the rate at which a queue has no end any more, up to which the highest rate is sought."""


class UnattainableError(ValueError):
    """No rate is low enough for the objective: one line says why."""


@dataclass(frozen=True)
class Objective:
    """What is to hold of a load that stays as it is: `WITHIN` of the requests are served within a time, few fail."""

    p99_ms: float
    """Milliseconds."""
    error_rate: float
    """The largest share of requests that may fail."""

    @property
    def sentence(self) -> str:
        """It in words."""
        return f"p99 <= {self.p99_ms:,.10g} ms, at most {self.error_rate * 100:.10g} % failed"


@dataclass(frozen=True)
class Curve:
    """What fleets of different sizes stand."""

    rates: tuple[float, ...]
    """The highest rate, requests a second, at which 1, 2, ... n replicas meet the objective, 0 = at none; none below
    the one before: who has more replicas may leave one idle."""
    source: Source
    objective: Objective

    def __post_init__(self) -> None:
        """Hold the rates against what they mean.

        Raises:
            ValueError: none is above 0, one is no number or negative, or one is below the one before.
        """
        if not all(math.isfinite(rate) and rate >= 0 for rate in self.rates):
            raise ValueError(f"a rate is a number from 0 on: {self.rates}")
        if not any(self.rates):
            raise ValueError(f"some number of replicas meets the objective: {self.rates}")
        if any(later < earlier for earlier, later in zip(self.rates, self.rates[1:], strict=False)):
            raise ValueError(f"more replicas stand no less: {self.rates}")

    @property
    def step_rps(self) -> float:
        """What a replica beyond the last adds, requests a second: the last step's; of one replica, all that it has."""
        return self.rates[-1] - self.rates[-2] if len(self.rates) > 1 else self.rates[0]


def replicas_needed(curve: Curve, rate_rps: ArrayLike) -> NDArray[np.int64]:
    """The fewest replicas that meet the objective at each rate.

    Beyond the curve's end each further replica adds `curve.step_rps`; where the last one added nothing, none would, and
    the answer is the curve's last number. `beyond` tells which rates those are.

    Args:
        curve: what 1, 2, ... replicas stand.
        rate_rps: requests a second, shape (n,).

    Returns:
        Whole numbers, shape (n,); 0 where nothing comes.
    """
    rates = np.asarray(rate_rps, np.float64)
    needed = np.searchsorted(curve.rates, rates, side="left").astype(np.int64) + 1
    most = len(curve.rates)
    further = np.ceil((rates - curve.rates[-1]) / curve.step_rps) if curve.step_rps > 0 else np.zeros_like(rates)
    needed = np.where(needed > most, most + further.astype(np.int64), needed)
    return np.where(rates > 0, needed, 0)


def beyond(curve: Curve, rate_rps: ArrayLike) -> NDArray[np.bool_]:
    """Which rates are more than the curve's last number of replicas stands, shape as `rate_rps`."""
    return np.asarray(rate_rps, np.float64) > curve.rates[-1]


def analytic(
    objective: Objective, mean_service_s: Sequence[float], slots: int, until_rps: float = math.inf
) -> Curve:
    """The curve that Erlang's formula gives.

    c replicas are c * `slots` servers behind one line (M/M/c), so that none is idle while a request waits. Arrivals are
    taken as Poisson and service as exponential, and nobody is turned away.

    Of the sojourn, waiting and service, `WITHIN` is to be at most the objective (Erlang C; `mmc_sojourn_exceeds`). With
    one slot in all, that rate is mu - ln(100) / T exactly.

    Args:
        objective: its `error_rate` plays no part: nobody fails.
        mean_service_s: mean seconds of service at replicas r1, r2, ... rn; c of them serve at their mean rate.
        slots: requests that each serves at a time.
        until_rps: the curve ends with the number of replicas that stands so many requests a second.

    Raises:
        UnattainableError: even with nobody waiting, service alone takes too long too often.
    """
    limit_s = objective.p99_ms / 1e3
    rates: list[float] = []
    for count in range(1, len(mean_service_s) + 1):
        service_rate = sum(1 / mean for mean in mean_service_s[:count]) / count
        rates.append(max([_highest_rate(limit_s, service_rate, count * slots), *rates[-1:]]))
        if rates[-1] >= until_rps:
            break
    if rates[-1] == 0.0:
        longest_ms = min(mean_service_s) * math.log(1 / (1 - WITHIN)) * 1e3
        raise UnattainableError(
            f"{1 - WITHIN:.0%} of the requests take more than {longest_ms:.4g} ms of service alone, longer than the "
            f"objective of {objective.p99_ms:,.10g} ms"
        )
    return Curve(tuple(rates), "analytic", objective)


def _highest_rate(limit_s: float, service_rate: float, servers: int) -> float:
    """Requests a second at which just `WITHIN` of them are done within the limit; 0 = there is no such rate."""

    def too_many(rate: float) -> float:
        return mmc_sojourn_exceeds(limit_s, rate, service_rate, servers) - (1 - WITHIN)

    if too_many(0.0) >= 0:
        return 0.0
    saturated = servers * service_rate * (1 - NEAR_SATURATION)
    return saturated if too_many(saturated) < 0 else root(too_many, 0.0, saturated)
