"""What of a run's folder goes to MLflow: parameters, numbers, series, tags and files. Knows nothing of MLflow."""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from analysis.metrics.verdict import verdict
from experiments.tracking.naming import arm, metric_key, run_name, series_key
from record.files import PARTIAL, read_manifest, read_metrics, told_of
from record.metrics import Metrics
from record.schema import (
    COMPOSED,
    EXPECTATIONS,
    JUNIT,
    LOGS,
    SCHEDULE,
    TIMELINE,
    TRACKED,
    UI,
    VERSION,
)
from record.settings import leaves
from record.shapes import Manifest

VALUE_LIMIT = 6000
"""Longest parameter value, characters (MLflow's limit)."""
TAG_LIMIT = 5000
DIGEST_LIMIT = 36
SOURCE_LIMIT = 60_000
REPORT = "report.html"
"""A sweep's, which lies in its folder where what it is made with is installed."""
SWEEP_FILES = (
    "comparison.json",
    "comparison.png",
    "summary.png",
    REPORT,
    "storm_map.png",
    EXPECTATIONS,
    JUNIT,
)
"""What the end of a sweep leaves in its folder, of all its runs together."""
OF_WORKLOADS = "comparison-*.png"
"""Likewise, of each of several workloads."""
STATUSES = {
    "complete": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
    "killed": "KILLED",
    "running": "KILLED",
}
"""A run's `exit_reason` as MLflow's status; `running` is what a runner that is gone left behind."""


DESCRIPTION = "mlflow.note.content"
"""The tag that MLflow's pages show as a run's description, Markdown."""
LOGGED = "aegis.logged"
"""Tag of a run of which everything is in MLflow."""


class Point(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    ms: int
    """Milliseconds since 1970."""
    step: int


class Schedule(NamedTuple):
    """What a run was asked, as one of MLflow's datasets: runs that were asked the same share it."""

    digest: str
    """The first characters of the schedule's hash, as many as MLflow takes."""
    source: str
    """What it was made from, JSON."""
    profile: str
    """How much it is, JSON."""
    name: str = "schedule"
    source_type: str = "seed"
    tags: Mapping[str, str] = MappingProxyType({"mlflow.data.context": "load"})


@dataclass(frozen=True)
class Entry:
    """What MLflow gets of a run that has ended."""

    folder: Path
    name: str
    tags: dict[str, str]
    params: dict[str, str]
    points: list[Point]
    files: list[Path]
    schedule: Schedule | None
    """None = its folder has none, or not its hash."""
    status: str
    start_ms: int
    end_ms: int
    sweep: str | None
    """The folder of the sweep that it is one of."""


def read_entry(folder: Path) -> Entry:
    """All of a run's folder.

    Raises:
        FolderError: it is not a run's, or a file is damaged.
    """
    with told_of(folder):
        return _read_entry(folder)


def _read_entry(folder: Path) -> Entry:
    manifest = read_manifest(folder)
    metrics = read_metrics(folder)
    start, end = start_ms(manifest), milliseconds(manifest.get("ended_at"))
    points = [Point(key, value, end, 0) for key, value in numbers(metrics).items()]
    points += [Point(key, value, start + 1000 * second, second) for key, value, second in series(folder)]
    return Entry(
        folder=folder,
        name=run_name(manifest),
        tags=run_tags(manifest) | result_tags(manifest, metrics),
        params=parameters(manifest["config"]),
        points=points,
        files=artifacts(folder),
        schedule=schedule_of(folder, manifest),
        status=run_status(manifest, metrics),
        start_ms=milliseconds(manifest["started_at"]),
        end_ms=end,
        sweep=manifest.get("sweep_dir"),
    )


def milliseconds(iso: str | None) -> int:
    """A time of day as milliseconds since 1970; None = now."""
    return int((datetime.fromisoformat(iso).timestamp() if iso else time.time()) * 1000)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def parameters(config: dict[str, Any]) -> dict[str, str]:
    """The configuration as `a.b.c`; what is no text as JSON; values cut to MLflow's limit."""
    return {key: _text(value)[:VALUE_LIMIT] for key, value in leaves(config)}


def start_ms(manifest: Manifest) -> int:
    """The moment that a run's seconds count from, milliseconds since 1970."""
    t0 = manifest.get("t0_unix")
    return int(1000 * t0) if t0 else milliseconds(manifest["started_at"])


def run_status(manifest: Manifest, metrics: Metrics) -> str:
    """MLflow's status of a run that has ended; an invalid one must not look like a result, and MLflow has no fourth."""
    if manifest.get("mode") == "ui" and manifest["exit_reason"] == "interrupted":
        return "FINISHED"  # Ctrl-C is how a session of the web UI ends
    if manifest["exit_reason"] == "complete" and metrics.get("valid") is False:
        return "FAILED"
    return STATUSES.get(manifest["exit_reason"], "FAILED")


def schedule_of(folder: Path, manifest: Manifest) -> Schedule | None:
    """The schedule that a run's folder holds."""
    path = folder / SCHEDULE
    if not manifest.get("schedule_hash") or not is_file(path):
        return None
    import pyarrow.parquet as pq

    workload = manifest["config"].get("workload")
    source = json.dumps({"seed": manifest["seed"], "workload": workload}, default=str)[:SOURCE_LIMIT]
    profile = json.dumps({"requests": pq.read_metadata(path).num_rows})
    return Schedule(str(manifest["schedule_hash"])[:DIGEST_LIMIT], source, profile)


def numbers(metrics: Metrics) -> dict[str, float]:
    """The metrics that are finite numbers, by MLflow's keys; true = 1, false = 0; null and text left out."""
    known = {key: value for key, value in metrics.items() if isinstance(value, bool | int | float)}
    return {metric_key(key): float(value) for key, value in known.items() if math.isfinite(value)}


def series(folder: Path) -> Iterator[tuple[str, float, int]]:
    """Every number of `timeline.parquet` as (`timeline/<column>`, value, second); CPU below `system/`."""
    path = folder / TIMELINE
    if not path.exists():
        return
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        table = file.read(use_threads=False)
    clock = next((name for name in ("second", "t_s") if name in table.column_names), None)
    if clock is None:
        return
    seconds = [int(second) for second in table[clock].to_pylist()]
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name == clock or not _is_of_numbers(column.type):
            continue
        key = series_key(name)
        for second, value in zip(seconds, column.to_pylist(), strict=True):
            if value is not None and math.isfinite(value):
                yield key, float(value), second


def _is_of_numbers(kind: Any) -> bool:  # noqa: ANN401 - a type of Arrow's
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def artifacts(folder: Path) -> list[Path]:
    """The files of a run that are kept in MLflow: results, logs, Hydra's, Locust's; no hidden and half-written ones.

    Links are left out, and what lies behind one: in a folder from elsewhere they may lead to any file of this machine.
    """
    below = ((folder / LOGS, "**/*"), (folder / COMPOSED, "*"), (folder / UI, "*"))
    paths = [*folder.glob("*"), *(path for place, what in below if not place.is_symlink() for path in place.glob(what))]
    kept = (p for p in paths if is_file(p) and not p.name.startswith(".") and p.suffix != PARTIAL)
    return sorted(p for p in kept if p.name != TRACKED)


def is_file(path: Path) -> bool:
    """Whether a file is there, itself and not a link to one."""
    return path.is_file() and not path.is_symlink()


def sweep_files(folder: Path) -> list[Path]:
    """Those that there are, of all runs of a sweep together; links, too."""
    there = [path for name in SWEEP_FILES if os.path.lexists(path := folder / name)]
    return there + sorted(folder.glob(OF_WORKLOADS))


def inside(folder: Path, path: Path) -> str | None:
    """Where a file of a run's folder lies below the run's artefacts; None = at their top."""
    below = path.parent.relative_to(folder).as_posix()
    return None if below == "." else below


def run_tags(manifest: Manifest) -> dict[str, str]:
    """The tags that are known before the load starts."""
    git = manifest.get("git")
    commit = git["commit"] if git else None
    tags = {
        "aegis.run_id": manifest["run_id"],
        "aegis.started_at": manifest["started_at"],
        "scenario": manifest["scenario"],
        "arm": arm(manifest)[:TAG_LIMIT],
        "mode": manifest.get("mode", "run"),
        "seed": str(manifest["seed"]),
        "policy": str((manifest["config"].get("policy") or {}).get("name")),
        "git_commit": str(commit),
        "git_dirty": _text(git["dirty"] if git else None),
        "mlflow.source.name": "experiments.run",
    }
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def result_tags(manifest: Manifest, metrics: Metrics) -> dict[str, str]:
    """The tags that only the end tells."""
    tags = {"exit_reason": manifest["exit_reason"], "schedule_hash": str(manifest.get("schedule_hash"))}
    if manifest.get("error"):
        tags["error"] = str(manifest["error"])[:TAG_LIMIT]
    if "valid" in metrics:
        tags["valid"] = _text(metrics["valid"])
        tags["invalid_reasons"] = _text(metrics.get("invalid_reasons"))[:TAG_LIMIT]
        if metrics.get("schema_version") == VERSION:
            tags[DESCRIPTION] = verdict(manifest, metrics)[:TAG_LIMIT]
    return tags
