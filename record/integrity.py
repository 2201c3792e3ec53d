"""Whether the files of a run belong together, and could have happened.

A picture of another schedule, or a request that was answered before it was sent, is no bad measurement but none. What
a run may lack is left alone: one that broke off has the rows that it came to, a closed loop asks when it is ready, and
a session of the web UI follows no schedule.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from record.schedule_hash import schedule_hash
from record.schema import DEMAND, DEMAND_COLUMNS, MANIFEST, REQUESTS, SCHEDULE, SCHEDULE_COLUMNS, SIZE, WORK, numbers
from record.shapes import Manifest, is_simulated

SAME_S = 1e-6
"""Schedules are rounded to so much."""
CLOCK_S = 1e-3
"""What two readings of one clock may seem to lie in the wrong order by: timers and headers are rounded to less."""
TIMES = ("scheduled_s", "sent_s", "completed_s")
LASTING = ("queue_s", "service_s", "router_s")

Problem = tuple[str, str]


def problems(
    manifest: Manifest,
    requests: pd.DataFrame,
    schedule: pd.DataFrame | None,
    work: pd.DataFrame | None = None,
    demand: pd.DataFrame | None = None,
) -> Iterator[Problem]:
    """(file, what is wrong with it) of all that is.

    Args:
        manifest: content of `manifest.json`.
        requests: `requests.parquet`, numbers as float64; empty where there is none.
        schedule: `schedule.parquet`, likewise; None where there is none.
        work: `work.parquet`, likewise.
        demand: `demand.parquet`, likewise.
    """
    if demand is not None:
        yield from _demand(demand)
    if schedule is not None:
        yield from _schedule(manifest, schedule)
        if work is not None:
            yield from _work(work, len(schedule))
    if manifest.get("mode") != "ui":
        yield from _possibility(manifest, requests)
        if schedule is not None:
            yield from _rows(manifest, requests, schedule)


def _demand(demand: pd.DataFrame) -> Iterator[Problem]:
    values = _table(demand, tuple(DEMAND_COLUMNS))
    if not np.isfinite(values).all() or (values < 0).any():
        yield DEMAND, "a number is negative, or none"
    elif (demand["t_s"].to_numpy() != np.arange(len(demand))).any():
        yield DEMAND, f"the t_s are not 0 to {len(demand) - 1:,} in this order"


def _schedule(manifest: Manifest, schedule: pd.DataFrame) -> Iterator[Problem]:
    values = _table(schedule, (*numbers(SCHEDULE_COLUMNS), *([SIZE] if SIZE in schedule else [])))
    if not np.isfinite(values).all() or (values < 0).any():
        yield SCHEDULE, "a number is negative, or none"
        return  # of which there is no hash
    if (schedule["request_id"].to_numpy() != np.arange(len(schedule))).any():
        yield SCHEDULE, f"the request_id are not 0 to {len(schedule) - 1:,} in this order"
    if (np.diff(schedule["scheduled_s"].to_numpy()) < 0).any():
        yield SCHEDULE, "scheduled_s does not ascend"
    known, actual = manifest.get("schedule_hash"), schedule_hash(schedule)
    if actual != known:
        yield SCHEDULE, f"is not the schedule of this run (hash {actual[:12]}, in {MANIFEST} {str(known)[:12]})"


def _work(work: pd.DataFrame, count: int) -> Iterator[Problem]:
    """Every attempt is one of a request that was asked, and none began before it came, or after it had ended."""
    ids, times = work["request_id"].to_numpy(), _table(work, ("taken_s", "began_s", "ended_s"))
    wrong = {
        f"is not in {SCHEDULE}": ~((ids >= 0) & (ids < count)),
        "has an attempt without its moments": ~np.isfinite(times[:, (0, 2)]).all(axis=1),
        "has an attempt that began before it came, or after it had ended": (times[:, 1] < times[:, 0] - CLOCK_S)
        | (times[:, 1] > times[:, 2] + CLOCK_S),
    }
    for text, rows in wrong.items():
        if rows.any():
            yield WORK, f"request_id {_number(ids[rows][0])} {text}"
            return


def _rows(manifest: Manifest, requests: pd.DataFrame, schedule: pd.DataFrame) -> Iterator[Problem]:
    """Every request is one of the schedule, at its moment; a run that came to its end has all of them."""
    ids, count, order = requests["request_id"].to_numpy(), len(schedule), np.argsort(schedule["request_id"].to_numpy())
    known = schedule["request_id"].to_numpy()[order]
    place = np.minimum(np.searchsorted(known, ids), max(0, count - 1))
    unknown = known[place] != ids if count else np.full(len(ids), True)
    if unknown.any():
        yield REQUESTS, f"request_id {_number(ids[unknown][0])} is not in {SCHEDULE}"
        return
    if _is_closed(manifest):
        return
    if _is_whole(manifest) and len(ids) != count:
        yield REQUESTS, f"{len(ids):,} rows, but {SCHEDULE} has {count:,} requests"
    planned = schedule["scheduled_s"].to_numpy()[order][place]
    moved = np.abs(requests["scheduled_s"].to_numpy() - planned) > SAME_S * 1.001
    if moved.any():
        yield REQUESTS, f"request_id {_number(ids[moved][0])} has another scheduled_s than in {SCHEDULE}"


def _possibility(manifest: Manifest, requests: pd.DataFrame) -> Iterator[Problem]:
    """Nothing happened before its cause, and every outcome has what makes it one."""
    # Arrays: a pandas column costs a tenth of a millisecond an operation, and a sweep reads a thousand runs.
    times = _table(requests, TIMES)
    scheduled, sent, completed = times.T
    lasting = _table(requests, LASTING)
    outcome, attempts = requests["outcome"].to_numpy(dtype=object), requests["attempts"].to_numpy(dtype="float64")
    is_dropped, is_ok = outcome == "dropped", outcome == "ok"
    load = manifest["config"].get("load") or {}
    timeout_s = float((load.get("retries") or {}).get("attempt_s") or load.get("timeout_s") or 0.0)
    with np.errstate(invalid="ignore"):  # inf - inf, which is found by itself
        took_s = completed - sent
    wrong = {
        "has no scheduled_s": np.isnan(scheduled),
        "has a time that is not finite": np.isinf(times).any(axis=1),
        "is not dropped, but lacks sent_s": ~is_dropped & np.isnan(sent),
        "is not dropped, but lacks completed_s": ~is_dropped & np.isnan(completed),
        "is dropped, but has completed_s": is_dropped & ~np.isnan(completed),
        "was sent before it was due": sent < scheduled - CLOCK_S,
        "was completed before it was sent": completed < sent - CLOCK_S,
        # Whoever gives up has waited so long: completed_s of a time-out is set to just that moment.
        "timed out before load.timeout_s had passed": (outcome == "timeout") & (took_s < timeout_s - CLOCK_S),
        "is ok with an HTTP status that is not": is_ok & (requests["status"].to_numpy(dtype="float64") >= 400),
        # A router that has no replica to ask says 0.
        "has an impossible number of attempts": (attempts < 0) | np.isinf(attempts) | (is_ok & (attempts < 1)),
        "has a negative or infinite duration": ((lasting < -CLOCK_S) | np.isinf(lasting)).any(axis=1),
    }
    for text, rows in wrong.items():
        if rows.any():
            yield REQUESTS, f"request_id {_number(requests['request_id'][rows].iloc[0])} {text}"


def _table(frame: pd.DataFrame, names: Iterable[str]) -> NDArray[np.float64]:
    """Columns side by side, shape (n, len(names)); ten times as fast as to let pandas choose them."""
    return np.column_stack([frame[name].to_numpy(dtype="float64") for name in names])


def _is_closed(manifest: Manifest) -> bool:
    return bool((manifest["config"].get("load") or {}).get("loop") == "closed")


def _is_whole(manifest: Manifest) -> bool:
    """Whether the run and every generator that left a record came to its end; of a lost one all is there as dropped."""
    load, generators = manifest["config"].get("load") or {}, manifest.get("generator") or []
    workers = int(load.get("remote_workers") or load.get("workers") or 1)
    came = all(generator.get("stopped") in ("complete", "lost") for generator in generators)
    is_all = is_simulated(manifest) or (came and len(generators) >= workers)
    return manifest.get("exit_reason") == "complete" and is_all


def _number(value: float) -> str:
    return f"{value:.0f}" if np.isfinite(value) else str(value)
