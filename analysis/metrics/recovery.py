"""How fast faults were noticed, and how fast the system was well again."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.metrics.harm import is_harmed, steady_latencies, why_not_judged
from record.landed import LandedFault, detector, is_in_rotation, left_rotation
from record.latency import quantile
from record.reading import Run
from record.shapes import tells_rotation

GOODPUT_SHARE = 0.99
P99_FACTOR = 1.1
HOLD_S = 3
"""docs/results.md: goodput and p99 that count as well again, and for how long they must hold."""
DETECTION_GRACE_S = 3.0
"""An event this long after the heal still counts as the fault's detection: a short fault is noticed late."""


@dataclass(frozen=True)
class Recovery:
    """What became of a run's faults; all None where none landed."""

    detection_s: float | None
    """The slowest detection among the faults that were detected; None = no fault was."""
    detected_by: str | None
    """What detected that one, as `record.landed.detector` calls it; None likewise."""
    recovery_s: float | None
    """The slowest recovery; 0 where there was no harm; None = not well again by the run's end, or not judged."""
    recovered: bool | None
    """None: no fault, or nothing to hold the time after it against."""
    fault_harm: bool | None
    """Whether anything was lost or slower after a fault landed; None likewise."""
    undetected: int | None
    """Faults on replicas in rotation that did not take them out of it."""


def assess(run: Run, timeline: pd.DataFrame) -> Recovery:
    """Detection and recovery of a run, the worst of its faults.

    Detection: from the moment a fault landed on a replica to the first event that takes that replica out of
    rotation, while the fault lasts or at most `DETECTION_GRACE_S` after, and before another fault hits the same
    replica. A fault on a replica that is out of rotation already has nothing to detect and does not count.

    Without harm (`harm.is_harmed`) there is nothing to recover from, however few requests a second there were to look
    at: recovered after 0 s.

    Recovery, where there was harm: from the moment the fault was healed (a replica lost for good: from its loss) to
    the first second s such that s, s+1 and s+2 each have goodput >= 99 % of offered and p99 <= 1.1 times that of the
    steady phase; 0 where that second had begun already. Faults that land before the system is well again prolong one
    episode, whose recovery counts from its last heal. Neither is judged where `why_not_judged` says so.
    """
    if not run.faults:
        return Recovery(None, None, None, None, None, None)
    detected, undetected = detections(run)
    detection_s, by = max(detected.values(), default=(None, None))
    if why_not_judged(run) is not None:
        return Recovery(detection_s, by, None, None, None, undetected)
    if not is_harmed(run):
        return Recovery(detection_s, by, 0.0, True, False, undetected)
    good = good_seconds(run, timeline)
    times = [None if well is None else max(0.0, well - since) for since, well in _episodes(run.faults, good)]
    recovered = None not in times
    return Recovery(
        detection_s=detection_s,
        detected_by=by,
        recovery_s=max((time for time in times if time is not None), default=None) if recovered else None,
        recovered=recovered,
        fault_harm=True,
        undetected=undetected,
    )


def detections(run: Run) -> tuple[dict[int, tuple[float, str]], int | None]:
    """Seconds from landing to detection, and what detected, by fault index; and how many faults nobody noticed.

    A proxy that the run has not started, or that does not show whom it takes out, tells none: what it
    noticed is not known, and the number None.
    """
    if not tells_rotation(run.manifest):
        return {}, None
    detected: dict[int, tuple[float, str]] = {}
    undetected = 0
    for fault in run.faults:
        if not fault.is_on_replica or not is_in_rotation(run.events, fault.target, fault.landed_s):
            continue
        following = [f.landed_s for f in run.faults if f.target == fault.target and f.landed_s > fault.landed_s]
        end_s = min([fault.ends_s(run.end_s) + DETECTION_GRACE_S, run.end_s, *following])
        left = left_rotation(run.events, fault.target, fault.landed_s, end_s)
        if left is None:
            undetected += 1
        else:
            detected[fault.index] = left["t_s"] - fault.landed_s, detector(left)
    return detected, undetected


def good_seconds(run: Run, timeline: pd.DataFrame) -> np.ndarray:
    """Whether all is well, for every whole second of the run.

    A second without requests shows nothing and is not; one whose p99 lies among requests that were not served is not.
    """
    offered_rps, goodput_rps, p99_ms = (
        timeline[name].to_numpy()[: int(run.end_s)] for name in ("offered_rps", "goodput_rps", "p99_ms")
    )
    limit_ms = P99_FACTOR * quantile(steady_latencies(run), 0.99)
    good: np.ndarray = (offered_rps > 0) & (goodput_rps >= GOODPUT_SHARE * offered_rps) & (p99_ms <= limit_ms)
    return good


def _episodes(faults: list[LandedFault], good: np.ndarray) -> list[tuple[float, float | None]]:
    """(last heal, first second that is well again or None) of every episode."""
    episodes: list[tuple[float, float | None]] = []
    for position, fault in enumerate(faults):
        since = fault.well_from_s
        if episodes and episodes[-1][1] is None:
            since = max(since, episodes.pop()[0])
        following = faults[position + 1].landed_s if position + 1 < len(faults) else np.inf
        episodes.append((since, _first_good(good, since, until=following)))
    return episodes


def _first_good(good: np.ndarray, since: float, until: float) -> float | None:
    """The first second from `since` on that begins three good ones ending by `until`."""
    for second in range(max(0, int(since)), len(good) - HOLD_S + 1):
        if second + HOLD_S > until:
            return None
        if good[second : second + HOLD_S].all():
            return float(second)
    return None
