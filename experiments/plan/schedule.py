"""The schedule: what will be asked and when, from configuration and seed alone. Pure, no clock.

Arrivals are a unit-rate process mapped through the inverse of the cumulative rate L(t) = integral of the rate
(the time change of an inhomogeneous Poisson process: Cinlar, Introduction to Stochastic Processes, 1975, 4.7).
Every column has a stream of its own, so that changing one option leaves the others' draws as they were.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.plan.workload import WorkloadSettings

Floats = NDArray[np.float64]
STREAMS = {"arrivals": 1, "demand": 2, "keys": 3}


def _generator(seed: int, stream: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, STREAMS[stream]])))


def _arrivals(workload: WorkloadSettings, seed: int) -> Floats:
    times, counts = workload.knots()
    total = float(counts[-1])
    if workload.arrivals == "uniform":
        unit = np.arange(int(np.floor(total + 1e-9)), dtype=np.float64) + 0.5
    else:
        rng = _generator(seed, "arrivals")
        # Enough gaps to pass the end in all but one of 10^15 cases; the loop covers that one.
        size = int(total + 8 * np.sqrt(total) + 16)
        unit = np.cumsum(rng.standard_exponential(size))
        while unit[-1] < total:
            unit = np.concatenate([unit, unit[-1] + np.cumsum(rng.standard_exponential(size))])
    unit = unit[unit < total]
    rising = np.concatenate([[True], np.diff(counts) > 0])  # where the rate is zero, time passes without requests
    arrivals: Floats = np.interp(unit, counts[rising], times[rising])
    flat = np.flatnonzero(~rising)
    for knot in flat:  # an interval of rate zero: what comes after it starts at its end
        later = unit > counts[knot]
        step = np.searchsorted(counts, counts[knot], side="right")
        if later.any() and step < len(counts):
            within = later & (unit <= counts[step])
            share = (unit[within] - counts[knot]) / (counts[step] - counts[knot])
            arrivals[within] = times[knot] + share * (times[step] - times[knot])
    return np.round(arrivals, 6)


def _demand(workload: WorkloadSettings, seed: int, count: int) -> Floats:
    demand = workload.demand
    mean = demand.mean_ms / 1e3
    rng = _generator(seed, "demand")
    match demand.distribution:
        case "exponential":
            drawn = rng.standard_exponential(count) * mean
        case "lognormal":
            drawn = np.exp(rng.standard_normal(count) * demand.sigma - demand.sigma**2 / 2) * mean
        case _:
            drawn = np.full(count, mean)
    return np.round(drawn, 6)


def build_schedule(workload: WorkloadSettings, seed: int) -> pd.DataFrame:
    """The schedule of a run.

    Args:
        workload: valid settings.
        seed: non-negative; equal settings and seed give equal values.

    Returns:
        One row a request: `request_id` int64 (0..n-1), `scheduled_s` float64 (ascending, rounded to 1 us),
        `demand_s` float64 (rounded to 1 us), `key` string.

    Raises:
        ValueError: no request falls into the run.
    """
    scheduled = _arrivals(workload, seed)
    count = len(scheduled)
    if count == 0:
        raise ValueError("workload: no request falls into the run; raise workload.rate_rps or workload.duration_s")
    keys = _generator(seed, "keys").integers(0, workload.keys, count)
    drawn, which = np.unique(keys, return_inverse=True)  # a text a key, not a text a request
    names = np.array([f"k{key}" for key in drawn], dtype=object)
    return pd.DataFrame(
        {
            "request_id": np.arange(count, dtype=np.int64),
            "scheduled_s": scheduled,
            "demand_s": _demand(workload, seed, count),
            "key": names[which],
        }
    )
