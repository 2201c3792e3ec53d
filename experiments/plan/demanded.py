"""How many replicas a run's load needs, second by second: what its `demand.parquet` holds. Pure."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.scaling.demand import Curve, Objective, UnattainableError, analytic, beyond, replicas_needed
from experiments.plan.capacity import read
from experiments.plan.config import Config
from experiments.plan.workload import WorkloadSettings

Floats = NDArray[np.float64]
IN_A_MEAN = 400
"""Requests in a moving mean: of Poisson arrivals its standard deviation is a twentieth of it."""
WINDOW_S = (5.0, 60.0)
"""At least and at most so long is its window."""
MOST_SERVERS = 500
"""Slots up to which the analytic curve is computed, a sixth of a second; by then a slot more adds what it can do."""


@dataclass(frozen=True)
class Demanded:
    """What was needed, and how that is known."""

    table: pd.DataFrame | None
    """Columns as `record.schema.DEMAND_COLUMNS`, a row a second; None = no number of replicas does."""
    source: str
    """As `Curve.source`."""
    notes: tuple[str, ...]


def demanded(config: Config, scheduled_s: ArrayLike) -> Demanded:
    """How many replicas meet `slo` in each second of a run, were its rate to stay as it is then.

    By the curve that `autoscaling.capacity` names, else by Erlang's formula (`analysis.scaling.demand.analytic`), with
    the mean demand of a request over the speeds of replicas r1, r2, ... and nothing of the way to them, of full queues
    or of a second tier.

    Args:
        config: of the run.
        scheduled_s: its schedule's moments, ascending, shape (n,).
    """
    rates = rate_rps(config.workload, np.asarray(scheduled_s, np.float64))
    file, slo = config.autoscaling.capacity, config.slo
    if file is None:
        speeds, most = config.replica.speeds, max(2, MOST_SERVERS // config.replica.concurrency)
        means_s = tuple(config.workload.mean_demand_s() / speed for speed in [*speeds, *[1.0] * most][:most])
        objective = Objective(slo.p99_ms, slo.error_rate)
        try:
            curve = _analytic(objective, means_s, config.replica.concurrency, float(rates.max()))
        except UnattainableError as error:
            return Demanded(None, "analytic", (f"demand: not known, {error}",))
    else:
        curve = read(file).curve()
    seconds = np.arange(len(rates), dtype=np.int64)
    table = pd.DataFrame({"t_s": seconds, "rate_rps": rates, "replicas": replicas_needed(curve, rates)})
    return Demanded(table, curve.source, tuple(_notes(curve, rates)))


_analytic = lru_cache(64)(analytic)
"""The runs of a sweep ask for few of them."""


def _notes(curve: Curve, rates: Floats) -> list[str]:
    over = int(beyond(curve, rates).sum())
    if not over:
        return []
    known, step = len(curve.rates), curve.step_rps
    return [
        f"demand: in {over:,} of {len(rates):,} seconds more than the {curve.rates[-1]:.4g} requests/s that {known} "
        f"replicas stand, as far as the curve is {curve.source}; each further one is taken to add {step:.4g}"
    ]


def rate_rps(workload: WorkloadSettings, scheduled_s: Floats) -> Floats:
    """The rate of each second of a run, requests a second.

    The profile's, in the mean over the second. A trace has none, nor have arrivals with a rate of their own (`mmpp`,
    `noise`, `hawkes`): of those it is a centred moving mean of the schedule, over a window in which there are
    `IN_A_MEAN` requests in the mean, within `WINDOW_S`; at the run's ends over what of the window lies in the run.

    Args:
        workload: of the run.
        scheduled_s: ascending, shape (n,).

    Returns:
        Shape (k,), k = seconds of the run, the last one perhaps not whole.
    """
    duration_s = workload.duration_s
    edges = np.minimum(np.arange(math.ceil(duration_s) + 1, dtype=np.float64), duration_s)
    if workload.trace is None and not workload.has_own_rate():
        rates = np.diff(np.interp(edges, *workload.knots())) / np.diff(edges)
        # What a difference of sums leaves must not need a replica.
        return np.asarray(np.round(rates, 6), np.float64)
    window_s = IN_A_MEAN * duration_s / max(1, len(scheduled_s))
    half_s = min(max(window_s, WINDOW_S[0]), WINDOW_S[1]) / 2
    middles = (edges[:-1] + edges[1:]) / 2
    begins, ends = np.maximum(middles - half_s, 0.0), np.minimum(middles + half_s, duration_s)
    return np.asarray(np.diff(np.searchsorted(scheduled_s, [begins, ends]), axis=0)[0] / (ends - begins), np.float64)
