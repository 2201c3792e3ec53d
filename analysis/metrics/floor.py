"""The floor: what a dispatcher that knows every slot, speed and fault would have reached on the same schedule.

One line before all slots, first come first served; each request goes to the slot where its answer is there first
(earliest completion time: Ibarra and Kim, Heuristic algorithms for scheduling independent tasks on nonidentical
processors, JACM 24, 1977). Where all slots are alike that is the queue of Kiefer and Wolfowitz (1955), G/G/c with
c = all slots, which no policy with a line before each replica beats for the same order (Wolff, An upper bound for
multi-channel queues, J. Appl. Prob. 14, 1977). The dispatcher foresees the faults: it begins no work that a death or a
firewall would cut off, has no answer out of a partition before its end, and drops at once, at no cost to the others,
what would not be answered within the client's time-out. A fault that hits a share of the requests hits none of its own.
No time is taken by the client, the router and the network.

It is a yardstick, not a bound to the last digit: a policy that lets short requests pass long ones can be below it at
the median, and with unequal speeds the rule is greedy. Where a run has no such floor the metrics are None: a closed
loop, `replica.kind=cpu`, processor sharing, a demand that is drawn anew at the replica (`replica_noise`), a second
tier, or a fault whose effect is not known.
"""

import heapq
import math
from collections import Counter

import numpy as np

from analysis.metrics.capacity import Course, courses
from analysis.metrics.external import knows_replicas
from analysis.metrics.queueing import sojourn_s
from record.latency import QUANTILES, Floats, quantiles
from record.reading import Run
from record.schema import PHASES

NAMES = ("p50", "p99")
SUFFIXES = ("", *(f"_{phase}" for phase in PHASES if phase != "warmup"))
TIMEOUT_S = 10.0
"""Of the client, where a manifest has none."""
MOST_STEPS = 5_000_000
"""Requests times replicas that differ, some seconds of CPU; a run with more has no floor."""

Values = dict[str, float | int | None]


def assess(run: Run) -> Values:
    """`floor_*` of the run and of each phase; the measured less the floor, and over it; None = undefined."""
    values: Values = {f"{kind}_mean_ms": None for kind in ("floor", "excess")}
    for suffix in SUFFIXES:
        values |= {f"{kind}_{name}_ms{suffix}": None for kind in ("floor", "excess") for name in NAMES}
        values |= {f"{kind}_failed_requests{suffix}": None for kind in ("floor", "excess")}
        values |= {f"times_floor_{name}{suffix}": None for name in NAMES}
    if not has_floor(run) or (there := courses(run)) is None or not there:
        return values
    config = run.manifest["config"]
    slots, timeout_s = int(config["replica"]["concurrency"]), run.setting("load", "timeout_s", TIMEOUT_S)
    if len(run.planned) * len(set(there)) > MOST_STEPS:
        return values
    best_s = ideal_s(run.planned.to_numpy(), run.demand_s.to_numpy(), there, slots, timeout_s)
    best_ms = best_s[run.columns["request_id"].astype("int64")] * 1e3
    phases = run.columns["phase"]
    for suffix in SUFFIXES:
        which = phases == suffix[1:] if suffix else np.ones(len(phases), dtype=bool)
        values |= _compared(best_ms[which], run.ranked[which], suffix)
    if np.isfinite(best_ms).all() and np.isfinite(run.ranked).all():
        values["floor_mean_ms"] = best_ms.mean()
        values["excess_mean_ms"] = run.ranked.mean() - best_ms.mean()
    return values


def _compared(best_ms: Floats, measured_ms: Floats, suffix: str) -> Values:
    if not len(best_ms):
        return {}
    lost, failed = int(np.isinf(best_ms).sum()), int(np.isinf(measured_ms).sum())
    values: Values = {f"floor_failed_requests{suffix}": lost, f"excess_failed_requests{suffix}": failed - lost}
    shares = [QUANTILES[name] for name in NAMES]
    for name, best, measured in zip(NAMES, quantiles(best_ms, shares), quantiles(measured_ms, shares), strict=True):
        values[f"floor_{name}_ms{suffix}"] = best if math.isfinite(best) else None
        both = math.isfinite(best + measured)
        values[f"excess_{name}_ms{suffix}"] = measured - best if both else None
        values[f"times_floor_{name}{suffix}"] = measured / best if both and best > 0 else None
    return values


def has_floor(run: Run) -> bool:
    """Whether the lines can be played again: an open loop, known demands, first come first served."""
    config = run.manifest["config"]
    replica, demand = config.get("replica") or {}, config["workload"].get("demand") or {}
    return (
        (config.get("load") or {}).get("loop") != "closed"
        and (replica.get("kind"), replica.get("discipline", "fifo")) == ("sleep", "fifo")
        and demand.get("replica_noise") == 0
        and not run.has_tier
        and knows_replicas(run)
        and len(run.demand_s) == len(run.planned)
        and len(run.measured) > 0
    )


def ideal_s(arrivals_s: Floats, demands_s: Floats, replicas: list[Course], slots: int, timeout_s: float) -> Floats:
    """Seconds from arrival to answer of each request under the dispatcher that knows all; infinity = not served.

    Args:
        arrivals_s: ascending, seconds, shape (n,).
        demands_s: seconds of work at speed 1, shape (n,).
        replicas: what each of them can do when.
        slots: of each replica.
        timeout_s: an answer that would come later than this after the arrival is none.
    """
    if len(set(replicas)) == 1 and replicas[0].is_steady:
        alike = sojourn_s(arrivals_s, np.asarray(demands_s) / replicas[0].speed, slots * len(replicas))
        if alike.max(initial=0.0) <= timeout_s:
            return alike
    kinds = [(course, [-math.inf] * (slots * count)) for course, count in Counter(replicas).items()]
    sojourns_s = np.full(len(arrivals_s), math.inf)
    for index, (arrival, demand) in enumerate(zip(arrivals_s.tolist(), demands_s.tolist(), strict=True)):
        best, free_again, chosen = math.inf, math.inf, kinds[0][1]
        for course, free in kinds:
            end, answered = course.fits(free[0] if free[0] > arrival else arrival, demand)
            if answered < best:
                best, free_again, chosen = answered, end, free
        if best - arrival <= timeout_s:
            heapq.heapreplace(chosen, free_again)
            sojourns_s[index] = best - arrival
    return sojourns_s
