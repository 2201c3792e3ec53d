"""The schedule: what will be asked and when, from configuration, seed and the files that it names. Pure, no clock.

Every column has a stream of its own, so that changing one option leaves the others' draws as they were.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.plan.demands import drawn
from experiments.plan.workload import WorkloadSettings
from record.schema import CLASS, METHOD, SIZE

Floats = NDArray[np.float64]
STREAMS = {"arrivals": 1, "demand": 2, "keys": 3, "methods": 4, "trace": 5, "classes": 6}


def _generator(seed: int, stream: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, STREAMS[stream]])))


def _arrivals(workload: WorkloadSettings, seed: int) -> Floats:
    return np.round(workload.process().times(workload.knots(), _generator(seed, "arrivals")), 6)


def _demand(workload: WorkloadSettings, seed: int, count: int) -> Floats:
    return drawn(workload.demand, _generator(seed, "demand"), count)


def build_schedule(workload: WorkloadSettings, seed: int) -> pd.DataFrame:
    """The schedule of a run.

    Args:
        workload: valid settings.
        seed: non-negative; equal settings and seed give equal values.

    Returns:
        One row a request: `request_id` int64 (0..n-1), `scheduled_s` float64 (ascending, rounded to 1 us),
        `demand_s` float64 (rounded to 1 us), `key` string; with classes of requests also `class` string, with POST
        requests `method` string, and where their bodies differ `size` int64.

    Raises:
        ValueError: no request falls into the run, or a file cannot be taken as it is.
    """
    if workload.trace is not None:
        return _recorded(workload, seed)
    scheduled = _arrivals(workload, seed)
    count = len(scheduled)
    if count == 0:
        raise ValueError("workload: no request falls into the run; raise workload.rate_rps or workload.duration_s")
    if workload.classes:
        return _of_classes(workload, seed, scheduled)
    demand, keys = _demand(workload, seed, count), _keys(workload, seed, count)
    return _table({"scheduled_s": scheduled, "demand_s": demand, "key": keys}, _methods(workload, seed, count))


def _of_classes(workload: WorkloadSettings, seed: int, scheduled: Floats) -> pd.DataFrame:
    """A request has its quantile of the demand of whatever class it is."""
    count = len(scheduled)
    bounds = np.cumsum(workload.shares())
    which = np.searchsorted(bounds[:-1], _generator(seed, "classes").random(count), side="right")
    demand = np.empty(count)
    for number, each in enumerate(workload.classes):
        demand[which == number] = drawn(each.demand, _generator(seed, "demand"), count)[which == number]
    names = np.array([each.name or str(number) for number, each in enumerate(workload.classes, 1)], dtype=object)
    is_post = np.array([each.method == "POST" for each in workload.classes])
    sizes = np.array([each.body_bytes for each in workload.classes], dtype=np.int64)
    columns = {"scheduled_s": scheduled, "demand_s": demand, "key": _keys(workload, seed, count), CLASS: names[which]}
    return _table(columns, is_post[which] if is_post.any() else None, sizes[which])


def _recorded(workload: WorkloadSettings, seed: int) -> pd.DataFrame:
    """The trace's requests; what its file does not say of them is drawn."""
    from experiments.plan.traces.scaling import played

    recorded = workload.recorded()
    rng = _generator(seed, "trace")
    scheduled, rows = played(recorded.scheduled_s, workload.scaling(), workload.duration_s, rng)
    count = len(scheduled)
    if count == 0:
        raise ValueError("workload: no request falls into the run; raise workload.trace_height or workload.duration_s")
    demand, keys, is_post, size = recorded.demand_s, recorded.key, recorded.is_post, recorded.size
    columns = {
        "scheduled_s": np.round(scheduled, 6),
        "demand_s": _demand(workload, seed, count) if demand is None else np.round(demand[rows], 6),
        "key": _keys(workload, seed, count) if keys is None else keys[rows],
    }
    if is_post is None:
        return _table(columns, _methods(workload, seed, count), None if size is None else size[rows])
    return _table(columns, is_post[rows] if is_post.any() else None, None if size is None else size[rows])


def _keys(workload: WorkloadSettings, seed: int, count: int) -> NDArray[np.object_]:
    rng = _generator(seed, "keys")
    if workload.key_skew > 0:
        shares = np.cumsum(np.arange(1, workload.keys + 1, dtype=np.float64) ** -workload.key_skew)
        keys = np.searchsorted(shares[:-1], rng.random(count) * shares[-1], side="right")
    else:
        keys = rng.integers(0, workload.keys, count)
    asked, which = np.unique(keys, return_inverse=True)  # a text a key, not a text a request
    names: NDArray[np.object_] = np.array([f"k{key}" for key in asked], dtype=object)[which]
    return names


def _methods(workload: WorkloadSettings, seed: int, count: int) -> NDArray[np.bool_] | None:
    """Which requests are POST; None = there are to be none."""
    if workload.post_share == 0:
        return None
    return _generator(seed, "methods").random(count) < workload.post_share


def _table(
    columns: dict[str, Any], is_post: NDArray[np.bool_] | None, size: NDArray[np.int64] | None = None
) -> pd.DataFrame:
    """Where there are to be no POST requests, schedules stay what they were, and so do their hashes."""
    count = len(columns["scheduled_s"])
    schedule = pd.DataFrame({"request_id": np.arange(count, dtype=np.int64), **columns})
    if is_post is not None:
        schedule[METHOD] = np.where(is_post, "POST", "GET").astype(object)
        if size is not None:
            schedule[SIZE] = np.where(is_post, size, 0)
    return schedule
