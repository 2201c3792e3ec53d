"""Simulated runs of a queue, many at once: what the comparison is calibrated on. Pure.

One replica with one slot, Poisson arrivals, exponential demand with mean 1, the unit of time (a second, in the units of
a run). Lindley's recursion rather than that of Kiefer and Wolfowitz: at the same utilisation a single slot remembers
longest and has the heaviest latencies, so that the metrics of its runs scatter most and are least normal. It is the
hardest case.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from record.latency import QUANTILES

REQUESTS = 3000
"""Measured in a run; too few for p99.9, as in `metrics.json` (`LEAST_FOR_P999`)."""
RELAXATIONS = 3
"""Warm-up in relaxation times (Cohen, The Single Server Queue, 1982): what the empty start still weighs after them is
exp(-3)."""
SHARES = {f"latency_{name}_ms": QUANTILES[name] for name in ("p50", "p90", "p99")}
MEAN = "latency_mean_ms"
AT_ONCE = 3_000_000
"""Requests of one arm that are simulated together, a matter of memory."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Server:
    """An arm."""

    name: str
    speed: float = 1.0
    has_own_demand: bool = False
    """Drawn for it alone; else it has that of the reference, request by request."""

    def spare(self, utilisation: float) -> float:
        """What it can do beyond what is asked; the sojourn of M/M/1 is exponential with this rate."""
        return self.speed - utilisation

    def relaxation(self, utilisation: float) -> float:
        """The time in which a disturbance of its queue decays to 1/e: 1 / (mu (1 - sqrt(rho))^2)."""
        return 1 / (self.speed * (1 - math.sqrt(utilisation / self.speed)) ** 2)


def warmup_requests(utilisation: float) -> int:
    """How many requests come before the measured ones."""
    return math.ceil(RELAXATIONS * utilisation / (1 - math.sqrt(utilisation)) ** 2)


def simulate(
    utilisation: float, runs: int, servers: list[Server], rng: np.random.Generator, requests: int = REQUESTS
) -> Iterator[dict[str, Floats]]:
    """`runs` independent runs of every arm, some at a time; run i of each had the same arrivals.

    Args:
        utilisation: of a server with speed 1, above 0 and below 1.
        runs: how many of each arm.
        servers: the arms.
        rng: where arrivals and demands are drawn from.
        requests: measured in a run.

    Yields:
        By name the latency of every request, ms: shape (some of the runs, requests).
    """
    warmup = warmup_requests(utilisation)
    together = max(1, AT_ONCE // (warmup + requests))
    for done in range(0, runs, together):
        shape = (min(together, runs - done), warmup + requests)
        gaps = rng.standard_exponential(shape) / utilisation
        common = rng.standard_exponential(shape)
        latencies = {}
        for server in servers:
            demand = rng.standard_exponential(shape) if server.has_own_demand else common
            latencies[server.name] = 1e3 * sojourns(gaps, demand / server.speed)[:, warmup:]
        yield latencies


def sojourns(gaps: Floats, services: Floats) -> Floats:
    """Lindley's recursion from an empty queue, for many runs at once: waiting is a walk less its lowest point so far.

    Args:
        gaps: time since the request before, shape (runs, requests).
        services: likewise.
    """
    walk = np.cumsum(np.hstack([np.zeros((len(gaps), 1)), services[:, :-1] - gaps[:, 1:]]), axis=1)
    return walk - np.minimum.accumulate(walk, axis=1) + services


def latencies(table: Floats) -> dict[str, Floats]:
    """The metrics of runs, by the definitions of `metrics.json`.

    Args:
        table: latency of every request, ms, shape (runs, requests); all were served.
    """
    quantiles = np.quantile(table, list(SHARES.values()), axis=1)
    return {**dict(zip(SHARES, quantiles, strict=True)), MEAN: table.mean(axis=1)}
