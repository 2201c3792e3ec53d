"""What a run says of the router's decisions: panics, ejections without a fault, why replicas were picked, regret.

Regret is what one decision cost the request that it was made for: the time by which it would have been answered
sooner at another replica, as the lines stood then. The lines are played again from the schedule's demands and the
replicas that answered, with what each replica could do when (analysis/metrics/capacity.py). So it is blind to what a
decision costs those that come later, and to the work of attempts that nobody answered, of which no record is left: a
router that cancels much is better off here than it was. Requests that the router retried, or their client sent again,
fill a line, and are no decision of their own: which replicas they were sent to before is not recorded.
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
from record.schema import SENDS, TIER
from record.shapes import has_own_router, has_router, stands_in, tells_rotation

MOST_STEPS = 1_000_000
"""Requests times replicas, about a second of CPU; a run with more has no regret."""

NO_NAME = r"[^A-Za-z0-9_.-]"
"""What a metric's name has not, in the reason of a policy of one's own."""

Values = dict[str, float | int | None]
Line = tuple[Course, float, list[float]]
"""A replica's course, its speed at most, and when each of its slots is free again (a heap)."""


def assess(run: Run) -> Values:
    """`time_in_panic_s`, `false_ejections`, `pick_share_<reason>`, `regret_*`; None = undefined."""
    has_word = has_own_router(run.manifest)
    regret = regrets_ms(run) if has_router(run.manifest) and counts_attempts(run) else None
    picks = run.manifest.get("picks") or {}
    total = sum(picks.values())
    return {
        "time_in_panic_s": sum(end - start for start, end in panics(run)) if has_word else None,
        "false_ejections": false_ejections(run) if has_router(run.manifest) and tells_rotation(run.manifest) else None,
        "regret_mean_ms": None if regret is None else float(regret.mean()),
        "regret_p99_ms": None if regret is None else float(np.quantile(regret, 0.99)),
        **{f"pick_share_{re.sub(NO_NAME, '_', why)}": count / total for why, count in picks.items() if total},
    }


def counts_attempts(run: Run) -> bool:
    """Whether answers say how many attempts there were: without that, nobody knows which were the only one."""
    return bool(run.requests["attempts"].notna().any()) or stands_in(run.manifest) is None


def panics(run: Run) -> Iterator[tuple[float, float]]:
    """From when to when the router ignored its checks, seconds, within the run."""
    since: float | None = None
    for event in sorted(run.events, key=lambda each: float(each["t_s"])):
        if event.get("source") == TIER:
            continue
        at = min(max(0.0, float(event["t_s"])), run.end_s)
        if event["event"] == "panic" and since is None:
            since = at
        elif event["event"] == "panic_over" and since is not None:
            yield since, at
            since = None
    if since is not None:
        yield since, run.end_s


def false_ejections(run: Run) -> int:
    """Ejections of the first tier's replicas that had no fault then, nor in the seconds that a detection may take."""
    spans = [(f.target, f.landed_s, f.ends_s(run.end_s) + DETECTION_GRACE_S) for f in run.faults]

    def was_at_fault(replica: object, at: float) -> bool:
        return any(target == replica and start <= at <= end for target, start, end in spans)

    ejected = (event for event in run.events if event["event"] == "ejected" and event.get("source") != TIER)
    within = (event for event in ejected if 0 <= event["t_s"] <= run.end_s)
    return sum(not was_at_fault(event.get("replica"), event["t_s"]) for event in within)


def regrets_ms(run: Run) -> Floats | None:
    """Of every decision outside warm-up that is known: of requests answered at the only attempt."""
    if not has_floor(run) or (courses := courses_by_name(run)) is None:
        return None
    if not courses or len(run.requests) * len(courses) > MOST_STEPS:
        return None
    slots = int(run.manifest["config"]["replica"]["concurrency"])
    requests = run.requests
    served = (requests["outcome"] == "ok").to_numpy() & requests["replica"].isin(list(courses)).to_numpy()
    retried = (requests["attempts"] > 1).to_numpy()
    if SENDS in requests:  # attempts are those of the last time that its client sent it
        retried = retried | (requests[SENDS] > 1).to_numpy()
    sent_s, completed_s, queue_s, service_s = (
        requests[name].to_numpy(dtype="float64") for name in ("sent_s", "completed_s", "queue_s", "service_s")
    )
    came_s = np.where(retried, completed_s - queue_s - service_s, sent_s)
    demand_s = run.demand_s.to_numpy()[requests["request_id"].to_numpy(dtype="int64")]
    names = requests["replica"].to_numpy(dtype=object)
    is_decision = (requests["phase"] != "warmup").to_numpy() & ~retried
    known = np.flatnonzero(served & np.isfinite(came_s))
    order = known[np.argsort(came_s[known], kind="stable")]
    lines = [(course, _fastest(course), [-math.inf] * slots) for course in courses.values()]
    place = {name: number for number, name in enumerate(courses)}
    fastest = max(speed for _, speed, _ in lines)
    columns = (came_s[order].tolist(), demand_s[order].tolist(), names[order].tolist(), is_decision[order].tolist())
    regrets = []
    for came, demand, name, is_one in zip(*columns, strict=True):
        course, _, line = lines[place[name]]
        first = line[0]
        free_again, here = _serves(course, first if first > came else came, demand)
        if here == math.inf:
            continue
        if is_one:
            # Where the fastest of all, with a slot free, could not answer sooner, nobody could.
            could = here > came + demand / fastest
            regrets.append(here - _soonest(lines, came, demand, here) if could else 0.0)
        heapq.heapreplace(line, free_again)
    return np.array(regrets) * 1e3 if regrets else None


def _soonest(lines: list[Line], came: float, demand: float, known: float) -> float:
    """When a request could be answered at the earliest; it can be at `known`."""
    best = known
    for course, speed, free in lines:
        start = free[0] if free[0] > came else came
        if start + demand / speed >= best:  # even at its best
            continue
        answered = _serves(course, start, demand)[1]
        if answered < best:
            best = answered
    return best


def _fastest(course: Course) -> float:
    """No less than its speed at any moment: a `slow` of a factor below 1 makes it faster."""
    return course.speed * math.prod(max(1.0, 1 / factor) for _, _, factor in course.slowed)


def _serves(course: Course, start: float, demand: float) -> tuple[float, float]:
    if course.is_steady:
        end = start + demand / course.speed
        return end, end
    return course.fits(start, demand)
