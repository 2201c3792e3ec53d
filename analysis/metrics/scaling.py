"""How well a scaler did: by the demand, by what its changes took, and beside the best schedule that hindsight allows.

All of it is of the window, outside warm-up. The demand is that of `demand.parquet`; supply is what the samples say at
the end of each second, which holds for that second, as for `replica_seconds`. A run without a demand is not judged.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.scaling.elasticity import Counts, Seconds, elasticity
from analysis.scaling.hindsight import Schedule, Terms, cost_of, hindsight
from analysis.scaling.needs import needs
from record.latency import Floats
from record.reading import Run
from record.schema import IN_ROTATION, SCALING_DECISION, TIER
from record.shapes import Event

FIRST_CHECK = "first_check"
"""Cause of a replica's way into rotation where it has just come."""
PRICE = 10.0
"""`autoscaling.shortage_price` of a run that did not have it yet."""
BOUNDS = {"min": 1.0, "max": 6.0}
"""Likewise `min_replicas` and `max_replicas`."""
OF_ELASTICITY = {
    "under_provisioning_accuracy": "under_accuracy",
    "over_provisioning_accuracy": "over_accuracy",
    "under_provisioning_resource_share": "under_resource_share",
    "over_provisioning_resource_share": "over_resource_share",
    "under_provisioned_share": "under_share",
    "over_provisioned_share": "over_share",
    "scaling_jitter_per_min": "jitter_per_min",
    "scaling_instability_up_share": "instability_up_share",
    "scaling_instability_down_share": "instability_down_share",
}
"""Key of `metrics.json` -> field of `Elasticity`."""
OF_NEEDS = ("need_to_ready_s", "need_to_ready_max_s", "unmet_needs")
OF_HINDSIGHT = (
    "hindsight_replica_seconds", "hindsight_shortage_replica_seconds", "hindsight_under_provisioned_share",
    "hindsight_startup_s", "scaling_regret", "scaling_regret_replica_seconds",
)  # fmt: skip
NAMES = (
    *OF_ELASTICITY, *OF_NEEDS, *OF_HINDSIGHT, "scaling_actions", "paid_replica_seconds", "shortage_replica_seconds",
    "scaling_not_judged",
)  # fmt: skip

NO_DEMAND = "nobody said how many replicas the load needs: no scaler, no rate that changes, no autoscaling.capacity"
NOT_SAMPLED = "the replicas were not sampled"
NO_START = "no replica was started, so that nobody knows how long a start takes"

Values = dict[str, float | int | str | None]


class Course(NamedTuple):
    """Demand and supply of the window, a row a second; every column has shape (n,)."""

    second: Counts
    demanded: Counts
    """Replicas that were needed."""
    ready: Counts
    """In rotation."""
    paid: Counts
    """Provisioned: those that start, stand by or drain are paid, too. Of a run that did not sample that yet ready, or
    wanted where that is more."""
    width_s: Seconds
    """1, of a last second that is not whole less."""


def assess(run: Run, timeline: pd.DataFrame) -> Values:
    """All `NAMES`; None = undefined, and `scaling_not_judged` says why."""
    values: Values = dict.fromkeys(NAMES)
    course = course_of(run, timeline)
    if isinstance(course, str):
        return values | {"scaling_not_judged": course}
    values["paid_replica_seconds"] = float((course.paid * course.width_s).sum())
    if run.demand is None:
        return values | {"scaling_not_judged": NO_DEMAND}
    told = elasticity(course.demanded, course.ready, course.width_s, _bounds(run)[1])
    values |= {key: getattr(told, field) for key, field in OF_ELASTICITY.items()}
    values["scaling_actions"] = sum(1 for _ in _actions(run))
    rises = needs(course.demanded, course.ready, course.width_s)
    if len(rises.open_s):
        values |= {"need_to_ready_s": float(rises.open_s.mean()), "need_to_ready_max_s": float(rises.open_s.max())}
    values["unmet_needs"] = int((~rises.is_met).sum())
    price = run.setting("autoscaling", "shortage_price", PRICE)
    cost = cost_of(course.demanded, course.ready, course.paid, course.width_s, price)
    values["shortage_replica_seconds"] = cost.shortage_replica_seconds
    best = best_of(run, course)
    if isinstance(best, str):
        return values | {"scaling_not_judged": best}
    missing_s = course.width_s[best.ready < course.demanded].sum()
    return values | {
        "hindsight_replica_seconds": best.cost.replica_seconds,
        "hindsight_shortage_replica_seconds": best.cost.shortage_replica_seconds,
        "hindsight_under_provisioned_share": float(missing_s / course.width_s.sum()),
        "hindsight_startup_s": startup_s(run),
        "scaling_regret": cost.total / best.cost.total if best.cost.total else None,
        "scaling_regret_replica_seconds": cost.total - best.cost.total,
    }


def course_of(run: Run, timeline: pd.DataFrame) -> Course | str:
    """Demand and supply of the window; where there is none, why. Without a demand that is 0 throughout."""
    second = timeline["second"].to_numpy()
    ready, desired = (timeline[f"replicas_{name}"].ffill().bfill() for name in ("ready", "desired"))
    is_in = second >= run.warmup_s
    if ready.isna().any() or not is_in.any():
        return NOT_SAMPLED
    second = second[is_in]
    there = ready.to_numpy()[is_in].astype("int64")
    provisioned = timeline["replicas_provisioned"].ffill().bfill().to_numpy()
    paid = np.where(np.isnan(provisioned), np.maximum(ready.to_numpy(), desired.fillna(0).to_numpy()), provisioned)
    needed = np.zeros_like(there)
    if run.demand is not None:
        needed = run.demand["replicas"].to_numpy().astype("int64")[second]
    width_s = np.minimum(1.0, run.end_s - second)
    return Course(second, needed, there, paid[is_in].astype("int64"), width_s)


def over_time(run: Run, timeline: pd.DataFrame) -> dict[str, Floats]:
    """Replicas that were `needed`, and that `hindsight` would have had, of each second; empty without a demand.

    Each has shape (seconds,), NaN where it is undefined.
    """
    if run.demand is None:
        return {}
    count = len(timeline)
    best_ready = np.full(count, np.nan)
    course = course_of(run, timeline)
    best = course if isinstance(course, str) else best_of(run, course)
    if not isinstance(course, str) and not isinstance(best, str):
        best_ready[course.second] = best.ready
    return {"needed": run.demand["replicas"].to_numpy(dtype="float64")[:count], "hindsight": best_ready}


def _bounds(run: Run) -> tuple[int, int]:
    """`autoscaling.min_replicas` and `max_replicas`; of a fixed fleet, which they do not hold for, with it in them."""
    least, most = (int(run.setting("autoscaling", f"{name}_replicas", default)) for name, default in BOUNDS.items())
    config = run.manifest["config"]
    if (config.get("scaler") or {}).get("name", "none") != "none":
        return least, most
    count = int(config.get("replicas") or most)
    return min(least, count), max(most, count)


def best_of(run: Run, course: Course) -> Schedule | str:
    """The best schedule of the window; where there is none, why."""
    start_s = startup_s(run)
    if start_s is None:
        return NO_START
    price = run.setting("autoscaling", "shortage_price", PRICE)
    return hindsight(course.demanded, course.width_s, Terms(start_s, price, *_bounds(run)))


def startup_s(run: Run) -> float | None:
    """How long hindsight takes a start to last, seconds; None where nobody knows.

    In virtual time the medians that it is drawn around, equal for all arms, live the median of the run's own starts;
    of a run in which nothing was started, that of its first replicas, longer by what every later start takes longer.
    Nobody pulls an image: only a host's first start does, so that who starts there again would do better than that.
    """
    config = run.manifest["config"]
    delays = (config.get("engine") or {}).get("delays")
    asked = (config.get("autoscaling") or {}).get("starts") or {}
    extra_s = float(asked.get("extra_s", 0.0))
    if run.is_simulated and delays:
        return float(delays["startup"]["median_ms"]) / 1e3 + extra_s
    if took := starts_s(run.events):
        return float(np.median(took))
    first_s = run.manifest.get("first_start_s")
    return None if first_s is None else first_s + extra_s


def starts_s(events: Sequence[Event]) -> list[float]:
    """Of each replica that a decision asked for, seconds from there until it was first in rotation.

    The first that comes is taken for the first that was asked for; a decision for fewer gives up what has not come yet.
    """
    asked: deque[float] = deque()
    took: list[float] = []
    for event in sorted(events, key=lambda each: each["t_s"]):
        if event["event"] == SCALING_DECISION:
            more = event["desired"] - event["previous"]
            asked.extend([event["t_s"]] * more)
            for _ in range(min(-more, len(asked))):
                asked.pop()
        elif asked and _is_first_check(event):
            took.append(event["t_s"] - asked.popleft())
    return took


def _is_first_check(event: Event) -> bool:
    """Whether a replica has come into rotation that had just started."""
    is_in = event["event"] == IN_ROTATION and event.get("cause") == FIRST_CHECK
    return is_in and event.get("source") != TIER


def _actions(run: Run) -> Iterator[Event]:
    """Decisions within the window that changed the number."""
    for event in run.events:
        is_in = run.warmup_s <= event["t_s"] <= run.end_s
        if is_in and event["event"] == SCALING_DECISION and event["desired"] != event["previous"]:
            yield event
