"""Simulated runs of a queue, many at once: what the comparison is calibrated on. Pure.

One replica with one slot, Poisson arrivals, exponential demand with mean 1, the unit of time. Lindley's recursion
rather than that of Kiefer and Wolfowitz: at the same utilisation a single slot remembers longest and has the heaviest
latencies, so that the metrics of its runs scatter most and are least normal. It is the hardest case.
"""

import math

import numpy as np
from numpy.typing import NDArray

from analysis.latency import QUANTILES

REQUESTS = 3000
"""Measured in a run; too few for p99.9, as in `metrics.json` (`LEAST_FOR_P999`)."""
RELAXATIONS = 3
"""Warm-up in relaxation times of 1 / (1 - sqrt(utilisation))^2 (Cohen, The Single Server Queue, 1982): what the empty
start still weighs after them is exp(-3)."""
SPEED = 1.1
"""Of the faster arms."""
REFERENCE, SAME, FASTER, FASTER_APART = "reference", "A/A", "10 % faster", "10 % faster, own demand"
"""The arms. All have the reference's arrivals; FASTER has its demand, too, SAME and FASTER_APART draw their own."""
AT_ONCE = 500
"""Runs that are simulated together, a matter of memory."""
SHARES = {f"latency_{name}_ms": QUANTILES[name] for name in ("p50", "p90", "p99")}
MEAN = "latency_mean_ms"

Latencies = dict[str, NDArray[np.float64]]
"""Key of `metrics.json` -> its value in every run, shape (runs,)."""


def warmup_requests(utilisation: float) -> int:
    """How many requests come before the measured ones."""
    return math.ceil(RELAXATIONS * utilisation / (1 - math.sqrt(utilisation)) ** 2)


def simulate(utilisation: float, runs: int, rng: np.random.Generator) -> dict[str, Latencies]:
    """`runs` independent runs of every arm; run i of each had the same arrivals.

    Args:
        utilisation: of the reference, above 0 and below 1.
        runs: how many of each arm.
        rng: where arrivals and demands are drawn from.
    """
    parts = [_simulate(utilisation, min(AT_ONCE, runs - done), rng) for done in range(0, runs, AT_ONCE)]
    return {arm: {key: np.concatenate([part[arm][key] for part in parts]) for key in parts[0][arm]} for arm in parts[0]}


def _simulate(utilisation: float, runs: int, rng: np.random.Generator) -> dict[str, Latencies]:
    sojourn = {arm: np.zeros(runs) for arm in (REFERENCE, SAME, FASTER, FASTER_APART)}
    measured = {arm: np.empty((REQUESTS, runs)) for arm in sojourn}
    for number in range(-warmup_requests(utilisation), REQUESTS):
        gap = rng.standard_exponential(runs) / utilisation
        demand, own = rng.standard_exponential(runs), rng.standard_exponential(runs)
        services = {REFERENCE: demand, SAME: own, FASTER: demand / SPEED, FASTER_APART: own / SPEED}
        for arm, service in services.items():
            sojourn[arm] = np.maximum(sojourn[arm] - gap, 0.0) + service
            if number >= 0:
                measured[arm][number] = sojourn[arm]
    return {arm: latencies(table) for arm, table in measured.items()}


def latencies(table: NDArray[np.float64]) -> Latencies:
    """The metrics of runs, by the definitions of `metrics.json`.

    Args:
        table: latency of every request, shape (requests, runs).
    """
    quantiles = np.quantile(table, list(SHARES.values()), axis=0)
    return {**dict(zip(SHARES, quantiles, strict=True)), MEAN: table.mean(axis=0)}
