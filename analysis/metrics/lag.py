"""How long the router's event loop stood still: for its own work, which is a finding, or for want of a core.

The router has one thread. In a second in which it used a whole core, its loop was late for what it had to do itself: it
is saturated, which is part of the result. In a second in which it was late without the core, somebody else had it, and
the run did not measure the router; seconds in which a fault was done to the router itself do not count.
"""

import numpy as np
import pandas as pd

from analysis.metrics.cautions import SATURATED_CORES
from record.reading import Run

ROUTER = "router"
BEFORE_S = 0.2
"""A second's lag is asked for at its end, and perhaps of a router that has just been stopped, seconds."""
AFTER_S = 2.0
"""How long after a fault on the router its lag is still that of the fault: one that was stopped tells of it when it is
asked next, seconds."""

Values = dict[str, float | None]


def assess(run: Run, timeline: pd.DataFrame) -> Values:
    """`router_lag_ms` and `router_starved_ms`, means of a second, `router_lag_max_ms`; None = not sampled."""
    second = timeline["second"].to_numpy()
    lag_ms, cores = timeline["router_lag_ms"].to_numpy(), timeline["cpu_router_cores"].to_numpy()
    counts = (second >= run.warmup_s) & ~np.isnan(lag_ms)
    for fault in run.faults:
        if fault.target == ROUTER:
            counts &= ~((second + 1 + BEFORE_S > fault.landed_s) & (second < fault.ends_s(run.end_s) + AFTER_S))
    if not counts.any():
        return {"router_lag_ms": None, "router_lag_max_ms": None, "router_starved_ms": None}
    starved = np.where(cores[counts] < SATURATED_CORES, lag_ms[counts], 0.0)
    return {
        "router_lag_ms": float(lag_ms[counts].mean()),
        "router_lag_max_ms": float(lag_ms[counts].max()),
        "router_starved_ms": float(starved.mean()),
    }
