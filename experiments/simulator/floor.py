"""The floor under a run's latencies: what a dispatcher would reach that knows every slot, speed, demand and fault.

One central queue over the replicas' true slots: each request, in the order of arrival, is planned for the slot in which
a demand like the mean would end first (list scheduling: Graham, Bounds on multiprocessing timing anomalies, SIAM J.
Appl. Math. 17, 1969). The dispatcher knows when a slot becomes free, and what will happen to it, but not what a request
takes before it has begun. A replica that is killed, stopped or silent does no work meanwhile, a slow one works at its
share of the speed, and both are foreseen: nothing is lost and nothing is tried twice. It is a reference, not a bound:
who knows the demands, or lets short ones go first, can be faster.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.plan.fault_plan import Fault

STANDS_STILL = ("kill", "pause", "hang", "refuse", "reset", "error", "lie")
"""Faults during which a replica answers nothing of use."""
Span = tuple[float, float, float]
"""From and until when, seconds, a replica works at this share of its speed."""


def floor_s(
    scheduled_s: Sequence[float],
    demand_s: Sequence[float],
    slots: Mapping[str, tuple[int, float]],
    faults: Sequence[Fault],
) -> NDArray[np.float64]:
    """The time of each request in the system, seconds, without any network; shape (n,).

    Args:
        scheduled_s: when each arrives, ascending; n values.
        demand_s: its work at speed 1; n values.
        slots: of each replica its slots and its speed.
        faults: the run's; of those above and `slow` one at a time at a replica.

    Raises:
        ValueError: a fault whose work is not known here.
    """
    spans: dict[str, list[Span]] = {id_: [] for id_ in slots}
    for fault in faults:
        if fault.action not in (*STANDS_STILL, "slow"):
            raise ValueError(f"{fault.action}: the floor knows {', '.join((*STANDS_STILL, 'slow'))}")
        share = 1 / (fault.factor or 1.0) if fault.action == "slow" else 0.0
        until = float("inf") if fault.for_s is None else fault.at_s + fault.for_s
        spans[fault.target].append((fault.at_s, until, share))
    free = [(id_, speed, 0.0) for id_, (count, speed) in slots.items() for _ in range(count)]
    found, expected = np.empty(len(scheduled_s)), float(np.mean(demand_s))
    for number, (arrival, demand) in enumerate(zip(scheduled_s, demand_s, strict=True)):
        ends = [_end(max(arrival, since), expected / speed, spans[id_]) for id_, speed, since in free]
        best = min(range(len(ends)), key=ends.__getitem__)
        id_, speed, since = free[best]
        end = _end(max(arrival, since), demand / speed, spans[id_])
        free[best] = (id_, speed, end)
        found[number] = end - arrival
    return found


def _end(start: float, work_s: float, spans: Sequence[Span]) -> float:
    """When work begun at `start` is done."""
    now = start
    for since, until, share in spans:
        if until <= now:
            continue
        if now + work_s <= since:
            return now + work_s
        work_s -= max(0.0, since - now)
        now = max(now, since)
        if share > 0 and now + work_s / share <= until:
            return now + work_s / share
        if until == float("inf"):
            return until
        work_s -= (until - now) * share
        now = until
    return now + work_s
