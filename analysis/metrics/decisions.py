"""What a run says of the router's decisions: panics, ejections without a fault, why replicas were picked, regret.

Regret is what one decision cost the request that it was made for: the time by which it would have been answered
sooner at another replica, as the lines stood then. The lines are played again from the schedule's demands and the
replicas that answered, with what each replica could do when (analysis/metrics/capacity.py). So it is blind to what a
decision costs those that come later, and to the work of attempts that nobody answered, of which no record is left: a
router that cancels much is better off here than it was. Requests that were retried fill a line, and are no decision of
their own: which replicas they were sent to before is not recorded.
"""

import heapq
import math
import re
from collections.abc import Iterator

import numpy as np

from analysis.metrics.capacity import Course, courses_by_name
from analysis.metrics.floor import has_floor
from analysis.metrics.recovery import DETECTION_GRACE_S
from record.latency import Floats
from record.reading import Run

MOST_STEPS = 1_000_000
"""Requests times replicas, about a second of CPU; a run with more has no regret."""

NO_NAME = r"[^A-Za-z0-9_.-]"
"""What a metric's name has not, in the reason of a policy of one's own."""

Values = dict[str, float | int | None]


def assess(run: Run) -> Values:
    """`time_in_panic_s`, `false_ejections`, `pick_share_<reason>`, `regret_*`; None = undefined."""
    has_router = run.manifest["config"].get("router") is not None
    regret = regrets_ms(run) if has_router else None
    picks = run.manifest.get("picks") or {}
    total = sum(picks.values())
    return {
        "time_in_panic_s": sum(end - start for start, end in panics(run)) if has_router else None,
        "false_ejections": false_ejections(run) if has_router else None,
        "regret_mean_ms": None if regret is None else float(regret.mean()),
        "regret_p99_ms": None if regret is None else float(np.quantile(regret, 0.99)),
        **{f"pick_share_{re.sub(NO_NAME, '_', why)}": count / total for why, count in picks.items() if total},
    }


def panics(run: Run) -> Iterator[tuple[float, float]]:
    """From when to when the router ignored its checks, seconds, within the run."""
    since: float | None = None
    for event in sorted(run.events, key=lambda each: float(each["t_s"])):
        at = min(max(0.0, float(event["t_s"])), run.end_s)
        if event["event"] == "panic" and since is None:
            since = at
        elif event["event"] == "panic_over" and since is not None:
            yield since, at
            since = None
    if since is not None:
        yield since, run.end_s


def false_ejections(run: Run) -> int:
    """Ejections of replicas that had no fault then, nor in the seconds before that a detection may take."""
    spans = [(f.target, f.landed_s, f.ends_s(run.end_s) + DETECTION_GRACE_S) for f in run.faults]

    def was_at_fault(replica: object, at: float) -> bool:
        return any(target == replica and start <= at <= end for target, start, end in spans)

    ejected = (event for event in run.events if event["event"] == "ejected" and 0 <= event["t_s"] <= run.end_s)
    return sum(not was_at_fault(event.get("replica"), event["t_s"]) for event in ejected)


def regrets_ms(run: Run) -> Floats | None:
    """Of every decision outside warm-up that is known: of requests that were answered at their first attempt."""
    if not has_floor(run) or (courses := courses_by_name(run)) is None:
        return None
    if not courses or len(run.requests) * len(courses) > MOST_STEPS:
        return None
    slots = int(run.manifest["config"]["replica"]["concurrency"])
    requests = run.requests
    served = (requests["outcome"] == "ok").to_numpy() & requests["replica"].isin(list(courses)).to_numpy()
    retried = (requests["attempts"] > 1).to_numpy()
    columns = (requests[name].to_numpy(dtype="float64") for name in ("sent_s", "completed_s", "queue_s", "service_s"))
    sent_s, completed_s, queue_s, service_s = columns
    came_s = np.where(retried, completed_s - queue_s - service_s, sent_s)
    demand_s = run.demand_s.to_numpy()[requests["request_id"].to_numpy(dtype="int64")]
    names = requests["replica"].to_numpy(dtype=object)
    is_decision = (requests["phase"] != "warmup").to_numpy() & ~retried
    known = np.flatnonzero(served & np.isfinite(came_s))
    order = known[np.argsort(came_s[known], kind="stable")]
    lines = [(course, _fastest(course), [-math.inf] * slots) for course in courses.values()]
    place = {name: number for number, name in enumerate(courses)}
    regrets = []
    for number in order.tolist():
        came, demand, chosen = float(came_s[number]), float(demand_s[number]), place[names[number]]
        course, _, line = lines[chosen]
        free_again, here = _serves(course, max(came, line[0]), demand)
        best = here
        for course, speed, free in lines:
            start = free[0] if free[0] > came else came
            if start + demand / speed >= best:  # even at its best
                continue
            answered = _serves(course, start, demand)[1]
            if answered < best:
                best = answered
        if here < math.inf:
            heapq.heapreplace(line, free_again)
            if is_decision[number]:
                regrets.append(here - best)
    return np.array(regrets) * 1e3 if regrets else None


def _fastest(course: Course) -> float:
    """No less than its speed at any moment: a `slow` of a factor below 1 makes it faster."""
    return course.speed * math.prod(max(1.0, 1 / factor) for _, _, factor in course.slowed)


def _serves(course: Course, start: float, demand: float) -> tuple[float, float]:
    if course.is_steady:
        end = start + demand / course.speed
        return end, end
    return course.fits(start, demand)
