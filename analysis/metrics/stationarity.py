"""Whether a run had settled: how loaded the fleet was, how long such a queue needs to settle, and whether it did."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.metrics.external import knows_replicas
from record.reading import Run

BLOCKS = 10
LEAST_BLOCKS = 5
LEAST_REQUESTS = 10
"""In each block."""
TREND_Z = 2.576
"""Two-sided 1 % of the normal distribution."""
TREND_FACTOR = 1.5
"""The last third's mean over the first third's, or its inverse, must pass this as well: a trend that matters."""


@dataclass(frozen=True)
class Stationarity:
    """None = it cannot be said."""

    utilisation: float | None
    relaxation_s: float | None
    steady: bool | None
    change: tuple[float, float] | None
    """Mean latency of the first and of the last third, milliseconds, where `steady` was decided by them."""


def assess(run: Run) -> Stationarity:
    """All of it, from the schedule, the configuration, and the latencies of the steady phase.

    Said only of a fixed fleet that waits out its demand under a constant rate, and calls nobody.
    """
    config = run.manifest["config"]
    is_fixed = (config.get("scaler") or {}).get("name") == "none"
    workload = config["workload"]
    is_constant = workload.get("profile") == "constant" and workload.get("trace") is None
    if not (is_fixed and is_constant and (config.get("replica") or {}).get("kind") == "sleep") or run.has_tier:
        return Stationarity(None, None, None, None)
    used = _utilisation(run) if knows_replicas(run) else None
    relaxation = None if used is None else _relaxation_s(run, used)
    blocks = _blocks(run, relaxation)
    change = None if blocks is None else _thirds(blocks)
    if used is not None and used >= 1:
        return Stationarity(used, None, False, change)
    steady = None if blocks is None or change is None else not _is_trend(blocks, change)
    return Stationarity(used, relaxation, steady, change)


def _speeds(run: Run) -> list[float]:
    config = run.manifest["config"]
    return list(config["replica"].get("speeds") or [1.0] * int(config["replicas"]))


def _utilisation(run: Run) -> float | None:
    """Offered work over what the slots can do in the measured window; without a router that of the busiest replica."""
    config = run.manifest["config"]
    if not len(run.demand_s) or len(run.demand_s) != len(run.planned) or run.window_s <= 0:
        return None
    slots, speeds = int(config["replica"]["concurrency"]), _speeds(run)
    work = np.where(run.planned.to_numpy() >= run.warmup_s, run.demand_s.to_numpy(), 0.0)
    if config.get("router") is None:
        n = len(speeds)
        return max(float(work[i::n].sum()) / (slots * speed * run.window_s) for i, speed in enumerate(speeds))
    return float(work.sum()) / (slots * sum(speeds) * run.window_s)


def _relaxation_s(run: Run, utilisation: float) -> float | None:
    """The time in which a disturbance of one replica's queue decays to 1/e; None where it never does.

    1 / (c mu (1 - sqrt(rho))^2), at least a service time 1 / mu (spectral gap of M/M/c: Karlin and McGregor, Many
    server queueing processes, 1958; for one server Morse, Stochastic properties of waiting lines, 1955). Taken for
    the slowest replica alone; a router that levels the fleet makes it shorter. Demands that vary more than exponential
    ones prolong it by (1 + cv^2) / 2, as they do the wait (Pollaczek and Khinchine).
    """
    if utilisation >= 1:
        return None
    slots, mean = int(run.manifest["config"]["replica"]["concurrency"]), float(run.demand_s.mean())
    service_s = mean / min(_speeds(run))
    return max(service_s, _prolonged(run) * service_s / (slots * (1 - math.sqrt(utilisation)) ** 2))


def _prolonged(run: Run) -> float:
    """How much longer the queue remembers than with exponential demands; from the configuration, not by luck, but for
    demands that were observed, and for classes of requests."""
    workload = run.manifest["config"]["workload"]
    demand = workload.get("demand") or {}
    kind = demand.get("distribution")
    if kind == "empirical" or workload.get("classes"):
        ratio = float((run.demand_s**2).mean() / run.demand_s.mean() ** 2)
    elif kind == "lognormal":
        ratio = math.exp(float(demand["sigma"]) ** 2)
    elif kind == "hyperexponential":
        ratio = 1 + float(demand["cv"]) ** 2
    elif kind == "pareto":
        alpha, spread = float(demand["alpha"]), float(demand["spread"])
        ratio = _pareto_moment(2, alpha, spread) / _pareto_moment(1, alpha, spread) ** 2
    else:
        return 1.0
    return max(1.0, ratio / 2)  # (1 + cv^2) / 2


def _pareto_moment(power: int, alpha: float, spread: float) -> float:
    """E[X^power] of the bounded Pareto distribution on [1, spread]."""
    shape = power - alpha
    grown = math.log(spread) if abs(shape) < 1e-9 else (spread**shape - 1) / shape
    return float(alpha * grown / (1 - spread**-alpha))


def _blocks(run: Run, relaxation_s: float | None) -> np.ndarray | None:
    """Mean latency of blocks of equal length over the steady phase, ms; none shorter than two relaxation times.

    Of the requests that were served: a queue that turns some away is settled when the others' waiting is.
    """
    is_meant = (run.columns["phase"] == "steady") & (run.columns["outcome"] == "ok")
    scheduled_s = run.columns["scheduled_s"][is_meant]
    if not len(scheduled_s):
        return None
    begin, end = float(scheduled_s.min()), float(scheduled_s.max())
    count = BLOCKS if relaxation_s is None else min(BLOCKS, int((end - begin) / (2 * relaxation_s)))
    if count < LEAST_BLOCKS:
        return None
    block = np.minimum((scheduled_s - begin) / (end - begin) * count, count - 1).astype("int64")
    grouped = pd.Series(run.ranked[is_meant]).groupby(block)
    if len(grouped) < count or grouped.count().min() < LEAST_REQUESTS:
        return None
    return grouped.mean().to_numpy()


def _thirds(blocks: np.ndarray) -> tuple[float, float]:
    third = max(1, len(blocks) // 3)
    return float(blocks[:third].mean()), float(blocks[-third:].mean())


def _is_trend(blocks: np.ndarray, change: tuple[float, float]) -> bool:
    """Mann's test on the blocks (Nonparametric tests against trend, Econometrica 13, 1945), and an effect besides."""
    n = len(blocks)
    score = int(np.sign(blocks[None, :] - blocks[:, None])[np.triu_indices(n, 1)].sum())
    z = (abs(score) - 1) / math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    factor = change[1] / change[0] if change[0] > 0 else 1.0
    return z > TREND_Z and max(factor, 1 / factor if factor else math.inf) > TREND_FACTOR
