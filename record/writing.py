"""The files of a run's folder that hold what happened: manifest, events, samples, requests.

`finish` closes a folder, also one whose runner was killed: `python -m record.writing DIR`.
"""

import argparse
import contextlib
import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from record import schema, work
from record.files import FolderError, read_manifest, told_of, whole, write_json, write_text
from record.place import give_back, hold
from record.provenance import now_iso
from record.shapes import ClockEntry, Event, Manifest, Sample

if TYPE_CHECKING:
    import pyarrow as pa

    from record.parquet import Tables


ENCODER = json.JSONEncoder(default=str)
"""Of lines; `json.dumps` would make one for each."""


class Lines:
    """A file of lines; each is on disk at once, or as soon as the disk takes it."""

    def __init__(self, path: Path) -> None:
        """`path` is gone on with where it is there."""
        self._file = path.open("ab", buffering=0)
        self._waiting = bytearray()

    def add(self, content: object) -> None:
        """Add a line of JSON; what JSON does not know becomes text."""
        self._waiting += ENCODER.encode(content).encode() + b"\n"
        with contextlib.suppress(OSError):  # a disk that is full now need not be so at the end
            self._write()

    def close(self) -> None:
        """Close the file.

        Raises:
            OSError: the disk still does not take all lines.
        """
        try:
            self._write()
        finally:
            self._file.close()

    def _write(self) -> None:
        while self._waiting:
            del self._waiting[: self._file.write(self._waiting)]


class Recorder:
    """Writes manifest, events and samples while the run goes on.

    A disk that fills meanwhile ends no run: what it does not take is written at the end, when the room that the run
    took for its results is given back.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """`manifest` is written at once, with `exit_reason` running."""
        self.folder = folder
        self.t0 = time.monotonic()
        self.manifest = manifest
        self._early: list[tuple[float, dict[str, object]]] = []
        self._events: Lines | None = None
        self._samples: Lines | None = None
        self.schedule: pa.Table | None = None
        """As it was written, where this process simulates the run."""
        self.rows: pa.Table | None = None
        """Likewise, of `raw/load-0.parquet`, which is then written only if `requests.parquet` cannot be."""
        self.work: pa.Table | None = None
        """Likewise, of `work.parquet`."""
        self.demand: pa.Table | None = None
        """Likewise, of `demand.parquet`."""
        self.tables: Tables | None = None
        """After `close`, where all of these were given."""
        write_json(self.folder / schema.MANIFEST, self.manifest)

    def write_manifest(self) -> None:
        """Write the manifest as it is now; where the disk does not take it, `close` does."""
        with contextlib.suppress(OSError):
            write_json(self.folder / schema.MANIFEST, self.manifest)

    def give_back(self) -> None:
        """Free the room that was taken for the results: they are about to be written."""
        give_back(self.folder)

    def begin(self, t0: float | None) -> None:
        """The run starts at `t0` on the monotonic clock; what was recorded before gets negative times.

        None = in virtual time, in which every run starts at 0.
        """
        self.t0 = t0 or 0.0
        self._events = Lines(self.folder / schema.EVENTS)
        self._samples = Lines(self.folder / schema.SAMPLES)
        is_told = t0 is None and "t0_monotonic" in self.manifest
        self.manifest["t0_unix"] = None if t0 is None else time.time() + (t0 - time.monotonic())
        self.manifest["t0_monotonic"] = t0
        if not is_told:
            self.write_manifest()
        for moment, event in self._early:
            self._add(self._events, moment, event)
        self._early.clear()

    def clocks(self, entries: list[ClockEntry]) -> None:
        """Add what a comparison of clocks showed."""
        self.manifest["clocks"] = [*self.manifest.get("clocks", []), *entries]
        self.write_manifest()

    def event(self, source: str, event: str, monotonic_s: float | None = None, **detail: object) -> None:
        """Record an event; `monotonic_s` None = now."""
        moment = time.monotonic() if monotonic_s is None else monotonic_s
        entry = {"source": source, "event": event, **detail}
        if self._events is None:
            self._early.append((moment, entry))
        else:
            self._add(self._events, moment, entry)

    def _add(self, events: Lines, moment: float, entry: dict[str, object]) -> None:
        events.add({"t_s": round(moment - self.t0, 6), **entry})

    def sample(self, sample: Sample) -> None:
        """Record one second's sample."""
        if self._samples is not None:
            self._samples.add(sample)

    def close(self, exit_reason: str, error: str | None = None) -> None:
        """End the recording and build `requests.parquet`.

        Raises:
            OSError: the disk does not take it; the rows are in `raw/` still, and `python -m record.writing` closes.
        """
        self.give_back()
        if self._events is None:
            self.begin(time.monotonic())
        assert self._events is not None and self._samples is not None  # `begin` made them
        try:
            self._events.close()
        finally:
            self._samples.close()
        try:
            merged = finish(self.folder, exit_reason, error, self.manifest, self.rows)
        except OSError:
            self._keep_rows()
            raise
        if merged is not None and self.schedule is not None and self.rows is not None:
            from record.parquet import Tables

            self.tables = Tables(merged, self.schedule, self.work, self.demand)
        self.manifest = json.loads((self.folder / schema.MANIFEST).read_text(encoding="utf-8"))

    def _keep_rows(self) -> None:
        """Leave what `finish` can be done again with, as far as the disk takes it."""
        if self.rows is None:
            return
        import pyarrow.parquet as pq

        self.write_manifest()
        with contextlib.suppress(OSError):
            (self.folder / schema.RAW).mkdir(exist_ok=True)
            with whole(self.folder / schema.RAW / "load-0.parquet") as partial:
                pq.write_table(self.rows, partial)


def finish(
    folder: Path,
    exit_reason: str,
    error: str | None = None,
    manifest: Manifest | None = None,
    rows: "pa.Table | None" = None,
) -> "pa.Table | None":
    """Close a run's folder: merge the load's rows, order the events, set `exit_reason`.

    Args:
        folder: the run's.
        exit_reason: how it ended.
        error: why it failed.
        manifest: as it is by now; None = as it was written.
        rows: the load's, in the schedule's order; None = they are in `raw/`.

    Returns:
        What `requests.parquet` holds; None = there are no rows.

    Raises:
        FolderError: the manifest cannot be read.
        OSError: the disk does not take it. The rows stay in `raw/`, and this can be done again.
    """
    give_back(folder)
    manifest = read_manifest(folder) if manifest is None else manifest
    events: list[Event] = []
    if (folder / schema.EVENTS).exists():
        for line in (folder / schema.EVENTS).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # the last line of a runner that was killed while it wrote
                events.append(json.loads(line))
    events.sort(key=lambda event: event["t_s"])
    # Without an event an empty line: of a file without a byte, DVC warns at every run.
    write_text(folder / schema.EVENTS, "".join(json.dumps(event) + "\n" for event in events) or "\n")
    merged = _merge_requests(folder, manifest, events, rows)
    work.merge(folder, manifest, events)
    told = sorted((folder / schema.RAW).glob("load-*.json"))
    manifest["generator"] = [json.loads(path.read_text(encoding="utf-8")) for path in told]
    manifest["exit_reason"] = exit_reason
    manifest["ended_at"] = now_iso()
    if error is not None:
        manifest["error"] = error
    write_json(folder / schema.MANIFEST, manifest)
    shutil.rmtree(folder / schema.RAW, ignore_errors=True)
    return merged


def _merge_requests(
    folder: Path, manifest: Manifest, events: list[Event], rows: "pa.Table | None"
) -> "pa.Table | None":
    """The generator processes' rows in one file, in the schedule's order, each with its phase."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from record.parquet import read_arrow

    if rows is None:
        tables = [read_arrow(path) for path in sorted((folder / schema.RAW).glob("load-*.parquet"))]
        if not tables:
            return None
        rows = pa.concat_tables(tables).sort_by("request_id")
    table = rows
    scheduled = table["scheduled_s"].to_numpy()
    names = phases(scheduled, manifest["config"]["workload"]["warmup_s"], events)
    table = table.append_column("phase", pa.array(np.asarray(names, dtype=object), pa.string()))
    with whole(folder / schema.REQUESTS) as partial:
        pq.write_table(table, partial)
    return table


def phases(scheduled_s: Any, warmup_s: float, events: list[Event]) -> Any:  # noqa: ANN401
    """The phase of every request, by the moment it was scheduled.

    Args:
        scheduled_s: array of seconds from the run's start, shape (n,).
        warmup_s: before this it is `warmup`.
        events: the run's events; the runner's `fault_injected` and `fault_healed` count.

    Returns:
        Array of shape (n,): `warmup`, `steady` until the first fault, `fault` while any lasts, else `recovery`.
    """
    import numpy as np

    began = {e["fault"]: e["t_s"] for e in events if e["event"] == schema.FAULT_INJECTED}
    ended = {e["fault"]: e["t_s"] for e in events if e["event"] == schema.FAULT_HEALED}
    phase = np.full(len(scheduled_s), "steady", dtype=object)
    if began:
        phase[scheduled_s >= min(began.values())] = "recovery"
    for index, start in began.items():
        phase[(scheduled_s >= start) & (scheduled_s < ended.get(index, np.inf))] = "fault"
    phase[scheduled_s < warmup_s] = "warmup"
    return phase


def main() -> None:
    """Close a folder whose runner was killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--exit-reason", default="killed", help="what the manifest is to say (default: killed)")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    try:
        claim = hold(folder) if folder.is_dir() else parser.error(f"{folder}: is no folder")
        if claim is None:
            parser.exit(0, f"{folder}: another run has it by now\n")
        try:
            close(folder, arguments.exit_reason)
        finally:
            claim.release()
    except (FolderError, OSError, ModuleNotFoundError) as error:
        parser.exit(1, f"{error}\n")


def close(folder: Path, exit_reason: str) -> None:
    """Close the folder of a run that is gone, and say what was done; the caller holds it.

    Raises:
        FolderError: it is not a run's folder, or a file in it is damaged.
        OSError: the disk does not take it.
    """
    with told_of(folder):
        manifest = read_manifest(folder)
        if manifest.get("exit_reason") != "running":
            print(f"{folder}: closed already ({manifest.get('exit_reason')})", file=sys.stderr)
            return
        finish(folder, exit_reason)


if __name__ == "__main__":
    main()
