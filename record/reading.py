"""Reads and checks a run's folder. What every file holds: docs/results.md."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from record import integrity, schema
from record.files import FolderError, one_line, read_manifest, told_of
from record.landed import LandedFault, landed
from record.latency import Floats, ranked_ms
from record.misfits import fits, is_finite, misfits
from record.parquet import Tables, as_frame, read_frame
from record.schema import METHODS, OPTIONAL, OUTCOMES, PHASES, REQUEST_COLUMNS, SCHEDULE_COLUMNS
from record.shapes import Event, Manifest, Sample, is_simulated

NUMBERS = schema.numbers(REQUEST_COLUMNS)


@dataclass
class Run:
    """What a run left behind. All times are seconds from the run's start."""

    folder: Path
    manifest: Manifest
    requests: pd.DataFrame
    """`requests.parquet`; no rows where the run did not come to it."""
    events: list[Event]
    samples: list[Sample]
    planned: pd.Series
    """The schedule's `scheduled_s`, of the whole run; of a closed loop the moments at which it asked."""
    demand_s: pd.Series
    """The schedule's `demand_s`; empty where there is no schedule."""
    methods: pd.Series | None = None
    """The schedule's `method`; None = it has none, all are GET."""
    work: pd.DataFrame | None = None
    """`work.parquet`; None = the replicas kept no ledger."""
    demand: pd.DataFrame | None = None
    """`demand.parquet`, columns as `schema.DEMAND_COLUMNS`, all float64; None = it was not said."""

    def setting(self, section: str, key: str, default: float) -> float:
        """A number of the run's configuration, or `default` where the manifest has none.

        Raises:
            FolderError: it is no number.
        """
        value = (self.manifest["config"].get(section) or {}).get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not is_finite(value):
            raise FolderError(f"{self.folder / schema.MANIFEST}: config.{section}.{key}={value!r}: is no number")
        return float(value)

    @property
    def is_complete(self) -> bool:
        """Whether it ran to its planned end."""
        return bool(self.manifest.get("exit_reason") == "complete")

    @property
    def is_simulated(self) -> bool:
        """Whether it ran in virtual time, where nothing is late and no CPU is used."""
        return is_simulated(self.manifest)

    @property
    def has_tier(self) -> bool:
        """Whether its replicas call a second tier: then a request's demand is not all of its work."""
        return bool((self.manifest["config"].get("tier") or {}).get("replicas"))

    @property
    def workers(self) -> int:
        """Generator processes, on this machine or on others; number `request_id` mod this sent a request."""
        load = self.manifest["config"].get("load") or {}
        return max(1, int(load.get("remote_workers") or load.get("workers") or 1))

    @property
    def warmup_s(self) -> float:
        """Where the measured window begins."""
        return self.setting("workload", "warmup_s", 0.0)

    @cached_property
    def end_s(self) -> float:
        """Where it ends: `workload.duration_s`, or where an incomplete run broke off as far as its files tell."""
        last = float(self.planned.max()) if len(self.planned) else 0.0
        planned = self.setting("workload", "duration_s", last)
        if not 0 <= planned <= schema.LONGEST_S:
            where = f"{self.folder / schema.MANIFEST}: config.workload.duration_s={planned:g}"
            raise FolderError(f"{where}: must be between 0 and {schema.LONGEST_S:,}")
        if self.is_complete:
            return planned
        seen = [float(sample["t_s"]) for sample in self.samples]
        if len(self.requests):
            seen.append(float(self.requests["scheduled_s"].max()))
        return max(0.0, min(planned, max(seen, default=0.0)))

    @property
    def window_s(self) -> float:
        """Length of the measured window."""
        return max(0.0, self.end_s - self.warmup_s)

    @cached_property
    def offered(self) -> pd.Series:
        """The planned moments up to the end."""
        return self.planned[self.planned < self.end_s] if not self.is_complete else self.planned

    @cached_property
    def measured(self) -> pd.DataFrame:
        """The requests outside warm-up."""
        return self.requests[self.requests["scheduled_s"] >= self.warmup_s]

    @cached_property
    def columns(self) -> dict[str, NDArray[Any]]:
        """Those of `measured` as arrays, words as objects: pandas costs tenths of a millisecond an operation."""
        measured = self.measured
        names = map(str, measured)
        numbers = (*NUMBERS, schema.SENDS)
        return {name: measured[name].to_numpy(dtype="float64" if name in numbers else object) for name in names}

    @cached_property
    def is_post(self) -> NDArray[np.bool_]:
        """Of `measured` in its order."""
        if self.methods is None:
            return np.zeros(len(self.measured), dtype=bool)
        ids = self.columns["request_id"].astype("int64")
        return np.asarray(self.methods.to_numpy(dtype=object)[ids] == "POST")

    @cached_property
    def ranked(self) -> Floats:
        """Milliseconds, of `measured` in its order; +inf where not served."""
        return ranked_ms(self.measured)

    @cached_property
    def latencies(self) -> Floats:
        """Milliseconds, of the requests outside warm-up in the order of `scheduled_s`; +inf where not served."""
        return self.ranked[np.argsort(self.columns["scheduled_s"], kind="stable")]

    @cached_property
    def faults(self) -> list[LandedFault]:
        """The faults that landed, in order of time."""
        return landed(self.events)


def read(folder: Path, tables: Tables | None = None, *, is_own: bool = False) -> Run:
    """Read a run; what an incomplete run did not come to write is empty.

    Args:
        folder: its.
        tables: what this process has just written there, and need not read.
        is_own: this process or one of its sweep has just written the folder: what the rows say is not doubted. So it is
            of `tables`.

    Raises:
        FolderError: it is not a run's folder, a file is damaged or not this run's, or a complete run lacks one.
    """
    with told_of(folder):
        return _read(folder, tables, is_checked=not is_own and tables is None)


def _read(folder: Path, tables: Tables | None, *, is_checked: bool) -> Run:
    manifest = read_manifest(folder)
    written = tables or (None, None, None, None)
    requests = _requests(folder / schema.REQUESTS, written[0], is_checked=is_checked)
    schedule = _schedule(folder / schema.SCHEDULE, written[1], is_checked=is_checked)
    if manifest.get("exit_reason") == "complete":
        for name, table in ((schema.REQUESTS, requests), (schema.SCHEDULE, schedule)):
            if table is None:
                raise FolderError(f"{folder}: the run is complete, but {name} is missing")
    if requests is None:
        requests = pd.DataFrame(
            {name: pd.Series(dtype="float64" if name in NUMBERS else "str") for name in REQUEST_COLUMNS}
        )
    work = _work(folder / schema.WORK, written[2], is_checked=is_checked)
    demand = _demand(folder / schema.DEMAND, written[3])
    for name, wrong in integrity.problems(manifest, requests, schedule, work, demand) if is_checked else ():
        raise FolderError(f"{folder / name}: {wrong}")
    # A closed loop follows no schedule: what it asked is all that it offered.
    is_closed = (manifest["config"].get("load") or {}).get("loop") == "closed"
    planned = requests if schedule is None or is_closed else schedule
    return Run(
        folder,
        manifest,
        requests,
        _lines(folder / schema.EVENTS, Event),
        _lines(folder / schema.SAMPLES, Sample),
        planned["scheduled_s"],
        pd.Series(dtype="float64") if schedule is None else schedule["demand_s"],
        None if schedule is None else schedule.get(schema.METHOD),
        work,
        demand,
    )


def _requests(path: Path, written: pa.Table | None, *, is_checked: bool) -> pd.DataFrame | None:
    table = _parquet(path, tuple(name for name in REQUEST_COLUMNS if name not in OPTIONAL), written)
    if table is None:
        return None
    _make_numbers(path, table, NUMBERS if schema.SENDS not in table else (*NUMBERS, schema.SENDS))
    if "hedge" not in table:
        table["hedge"] = None
    if not is_checked:
        return table
    for name, words in (("outcome", OUTCOMES), ("phase", PHASES)):
        _check_words(path, table, name, words)
    if table["request_id"].duplicated().any():
        raise FolderError(f"{path}: a request_id stands there twice")
    return table


def _schedule(path: Path, written: pa.Table | None, *, is_checked: bool) -> pd.DataFrame | None:
    table = _parquet(path, tuple(SCHEDULE_COLUMNS), written)
    if table is not None:
        _make_numbers(path, table, schema.numbers(SCHEDULE_COLUMNS))
        if is_checked and schema.METHOD in table:
            _check_words(path, table, schema.METHOD, METHODS)
        if schema.SIZE in table:
            _make_numbers(path, table, (schema.SIZE,))
    return table


def _work(path: Path, written: pa.Table | None, *, is_checked: bool) -> pd.DataFrame | None:
    table = _parquet(path, tuple(schema.WORK_COLUMNS), written)
    if table is not None:
        _make_numbers(path, table, schema.numbers(schema.WORK_COLUMNS))
        if is_checked:
            _check_words(path, table, "end", schema.WORK_ENDS)
    return table


def _demand(path: Path, written: pa.Table | None) -> pd.DataFrame | None:
    table = _parquet(path, tuple(schema.DEMAND_COLUMNS), written)
    if table is not None:
        _make_numbers(path, table, tuple(schema.DEMAND_COLUMNS))
    return table


def _check_words(path: Path, table: pd.DataFrame, name: str, words: tuple[str, ...]) -> None:
    unknown = sorted(set(table[name].unique()) - set(words), key=str)
    if unknown:
        raise FolderError(f"{path}: {name} {unknown[0]!r} is none of {', '.join(words)}")


def _make_numbers(path: Path, table: pd.DataFrame, names: tuple[str, ...]) -> None:
    try:
        for name in names:
            if name in table and table[name].dtype == np.float64:
                continue
            values = table[name] if name in table else pd.Series(float("nan"), index=table.index)
            numeric = values if pd.api.types.is_numeric_dtype(values.dtype) else pd.to_numeric(values)
            table[name] = numeric.astype("float64")
    except (TypeError, ValueError) as error:
        raise FolderError(f"{path}: column {name} is not made of numbers ({one_line(error)})") from error


def _parquet(path: Path, columns: tuple[str, ...], written: pa.Table | None) -> pd.DataFrame | None:
    if written is not None:
        return as_frame(written)
    if not path.exists():
        return None
    try:
        table = read_frame(path)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise FolderError(f"{path}: cannot be read ({one_line(error)})") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise FolderError(f"{path}: lacks the column {', '.join(missing)}")
    return table


def _lines(path: Path, shape: Any) -> list[Any]:  # noqa: ANN401 - a TypedDict
    """The objects of a JSON-lines file, each a `shape`; a torn last line, as a killed runner leaves it, is left out."""
    if not path.exists():
        return []
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise FolderError(f"{path}: cannot be read ({one_line(error)})") from error
    entries: list[dict[str, object]] = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break
            raise FolderError(f"{path}: line {number} cannot be read ({one_line(error)})") from error
        if not fits(shape)(entry):
            raise FolderError(f"{path}: line {number} {next(misfits(entry, shape))}")
        entries.append({**entry, "t_s": float(entry["t_s"])})
    return entries
