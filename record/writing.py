"""The files of a run's folder that hold what happened: manifest, events, samples, requests.

`finish` closes a folder, also one whose runner was killed: `python -m record.writing DIR`.
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

from record import schema
from record.files import whole, write_json, write_text
from record.place import hold
from record.provenance import now_iso
from record.shapes import ClockEntry, Event, Manifest, Sample


class Recorder:
    """Writes manifest, events and samples while the run goes on; every line is on disk at once."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """`manifest` is written at once, with `exit_reason` running."""
        self.folder = folder
        self.t0 = time.monotonic()
        self.manifest = manifest
        self._early: list[tuple[float, dict[str, object]]] = []
        self._events: Any = None
        self._samples: Any = None
        self.write_manifest()

    def write_manifest(self) -> None:
        """Write the manifest as it is now."""
        write_json(self.folder / schema.MANIFEST, self.manifest)

    def begin(self, t0: float | None) -> None:
        """The run starts at `t0` on the monotonic clock; what was recorded before gets negative times.

        None = in virtual time, in which every run starts at 0.
        """
        self.t0 = t0 or 0.0
        self._events = (self.folder / schema.EVENTS).open("a", buffering=1)
        self._samples = (self.folder / schema.SAMPLES).open("a", buffering=1)
        self.manifest["t0_unix"] = None if t0 is None else time.time() + (t0 - time.monotonic())
        self.manifest["t0_monotonic"] = t0
        self.write_manifest()
        for moment, event in self._early:
            self._write_event(moment, event)
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
            self._write_event(moment, entry)

    def _write_event(self, moment: float, entry: dict[str, object]) -> None:
        self._events.write(json.dumps({"t_s": round(moment - self.t0, 6), **entry}, default=str) + "\n")

    def sample(self, sample: Sample) -> None:
        """Record one second's sample."""
        if self._samples is not None:
            self._samples.write(json.dumps(sample) + "\n")

    def close(self, exit_reason: str, error: str | None = None) -> None:
        """End the recording and build `requests.parquet`."""
        if self._events is None:
            self.begin(time.monotonic())
        self._events.close()
        self._samples.close()
        finish(self.folder, exit_reason, error)
        self.manifest = json.loads((self.folder / schema.MANIFEST).read_text())


def finish(folder: Path, exit_reason: str, error: str | None = None) -> None:
    """Close a run's folder: merge the load's rows, order the events, set `exit_reason`."""
    manifest: Manifest = json.loads((folder / schema.MANIFEST).read_text())
    events: list[Event] = []
    if (folder / schema.EVENTS).exists():
        for line in (folder / schema.EVENTS).read_text().splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:  # the last line of a runner that was killed while it wrote
                continue
    events.sort(key=lambda event: event["t_s"])
    write_text(folder / schema.EVENTS, "".join(json.dumps(event) + "\n" for event in events))
    _merge_requests(folder, manifest, events)
    manifest["generator"] = [json.loads(path.read_text()) for path in sorted((folder / schema.RAW).glob("load-*.json"))]
    manifest["exit_reason"] = exit_reason
    manifest["ended_at"] = now_iso()
    if error is not None:
        manifest["error"] = error
    write_json(folder / schema.MANIFEST, manifest)
    shutil.rmtree(folder / schema.RAW, ignore_errors=True)


def _merge_requests(folder: Path, manifest: Manifest, events: list[Event]) -> None:
    """The generator processes' rows in one file, in the schedule's order, each with its phase."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [pq.read_table(path) for path in sorted((folder / schema.RAW).glob("load-*.parquet"))]
    if not tables:
        return
    table = pa.concat_tables(tables).sort_by("request_id")
    scheduled = table["scheduled_s"].to_numpy()
    names = phases(scheduled, manifest["config"]["workload"]["warmup_s"], events)
    table = table.append_column("phase", pa.array(np.asarray(names, dtype=object), pa.string()))
    with whole(folder / schema.REQUESTS) as partial:
        pq.write_table(table, partial)


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
    parser.add_argument("--exit-reason", default="killed")
    arguments = parser.parse_args()
    claim = hold(arguments.folder)
    if claim is None:
        parser.exit(0, f"{arguments.folder}: another run has it by now\n")
    try:
        manifest = json.loads((arguments.folder / schema.MANIFEST).read_text())
        if manifest["exit_reason"] != "running":
            parser.exit(0, f"{arguments.folder}: closed already ({manifest['exit_reason']})\n")
        finish(arguments.folder, arguments.exit_reason)
    finally:
        claim.release()


if __name__ == "__main__":
    main()
