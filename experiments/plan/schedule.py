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
KNOTS_PER_S = 100
"""Resolution at which the diurnal rate is integrated; the others are integrated exactly at their corners."""


def _generator(seed: int, stream: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, STREAMS[stream]])))


def rate_knots(workload: WorkloadSettings) -> tuple[Floats, Floats]:
    """The cumulative expected number of requests as a piecewise function of time.

        constant  ______     step      ___     ramp     /     spike   __      diurnal   .-.
                                    __|               /            __|  |__           _/   \\_

    Returns:
        (times, counts): seconds, and expected requests until then; both of shape (k,), times ascending.
    """
    d, rate = workload.duration_s, workload.rate_rps
    match workload.profile:
        case "constant":
            times, rates = [0.0, d], [rate]
        case "step":
            at = workload.step.at * d
            times, rates = [0.0, at, d], [rate, rate * workload.step.factor]
        case "spike":
            begin, end = workload.spike.at * d, (workload.spike.at + workload.spike.lasts) * d
            times, rates = [0.0, begin, end, d], [rate, rate * workload.spike.factor, rate]
        case "ramp" | "diurnal":
            return _smooth(workload)
        case other:
            raise ValueError(f"workload.profile={other}: unknown")
    counts = np.concatenate([[0.0], np.cumsum(np.diff(times) * np.asarray(rates))])
    return np.asarray(times), counts


def _smooth(workload: WorkloadSettings) -> tuple[Floats, Floats]:
    d, rate = workload.duration_s, workload.rate_rps
    t = np.linspace(0.0, d, max(2, int(d * KNOTS_PER_S) + 1))
    if workload.profile == "ramp":
        # rate(t) = rate * (s + (e - s) t / d), so L(t) = rate * (s t + (e - s) t^2 / 2d)
        s, e = workload.ramp.start_factor, workload.ramp.end_factor
        return t, rate * (s * t + (e - s) * t**2 / (2 * d))
    # rate(t) = rate * (1 - a cos(w t)), so L(t) = rate * (t - a sin(w t) / w)
    a, w = workload.diurnal.amplitude, 2 * np.pi * workload.diurnal.periods / d
    return t, rate * (t - a * np.sin(w * t) / w)


def _arrivals(workload: WorkloadSettings, seed: int) -> Floats:
    times, counts = rate_knots(workload)
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
