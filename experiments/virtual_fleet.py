"""Requests through a policy and replicas' queues in virtual time: the objects that the live services call. Pure.

No clock, no network, no attempt after the first: what is left is the schedule, the policy's choice and the queue.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from services.backend.work_queue import Job, QueueFullError, WorkQueue
from services.router.policies import Policy, RequestInfo


@dataclass(slots=True, eq=False)
class VirtualReplica:
    """A replica as a policy sees it, and its queue."""

    id: str
    queue: WorkQueue
    weight: float = 1.0
    in_flight: int = 0
    """As the router counts: waiting and being served."""


def sojourn_s(schedule: pd.DataFrame, policy: Policy, replicas: Sequence[VirtualReplica]) -> NDArray[np.float64]:
    """Send every request at its scheduled moment, once.

    Args:
        schedule: as `build_schedule` returns it, n rows.
        policy: new, or as earlier requests have left it.
        replicas: the candidates of every pick; idle ones.

    Returns:
        From the scheduled moment to the end of the work, seconds, shape (n,); NaN where the queue was full, which
        the policy is told at once as `overloaded`.
    """
    columns = (schedule[name].tolist() for name in ("request_id", "scheduled_s", "demand_s", "key"))
    found = np.full(len(schedule), np.nan)
    ends: list[tuple[float, int, Job, VirtualReplica]] = []
    for index, (request_id, now, demand, key) in enumerate(zip(*columns, strict=True)):
        while ends and ends[0][0] <= now:
            _finish(policy, *heapq.heappop(ends))
        replica: VirtualReplica = policy.pick(replicas, RequestInfo(str(request_id), key, 1), now).replica  # type: ignore[assignment]
        policy.on_start(replica, now)
        try:
            job = replica.queue.arrive(demand, now)
        except QueueFullError:
            policy.on_finish(replica, "overloaded", 0.0, now)
            continue
        replica.in_flight += 1
        heapq.heappush(ends, (job.end, index, job, replica))
        found[index] = job.end - now
    while ends:
        _finish(policy, *heapq.heappop(ends))
    return found


def _finish(policy: Policy, end: float, _index: int, job: Job, replica: VirtualReplica) -> None:
    replica.queue.finish(job)
    replica.in_flight -= 1
    policy.on_finish(replica, "ok", end - job.arrival, end)
