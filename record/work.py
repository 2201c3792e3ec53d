"""`work.parquet`: what replicas did for each attempt that came to them.

A live replica's process leaves lines in `raw/work/` (services/backend/ledger.py says what they hold), the simulator the
rows themselves. The last line about an attempt counts, none after its end; where there is none, the process had ended.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from record import schema
from record.files import whole
from record.shapes import Event, Manifest

if TYPE_CHECKING:
    import pyarrow as pa

FULL = "full"
"""The line that says that there were more than the ledger took."""
Row = tuple[int, int, int, str, str, float, float | None, float, str]
"""As `schema.WORK_COLUMNS` has it."""


def as_table(rows: Iterable[Row]) -> "pa.Table":
    """What `work.parquet` holds, in the order in which attempts came."""
    import pyarrow as pa

    known = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in schema.WORK_COLUMNS.items()])
    columns = list(zip(*sorted(rows, key=lambda row: row[5]), strict=True)) or [()] * len(known)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, known, strict=True)]
    return pa.table(arrays, schema=known)


def write(folder: Path, rows: Iterable[Row]) -> "pa.Table":
    """Write `work.parquet`; returns what it holds.

    Raises:
        OSError: the disk does not take it.
    """
    import pyarrow.parquet as pq

    table = as_table(rows)
    with whole(folder / schema.WORK) as partial:
        pq.write_table(table, partial)
    return table


def merge(folder: Path, manifest: Manifest, events: list[Event]) -> None:
    """Make `work.parquet` of what the replicas' processes left, if they kept a ledger; one that was too short is none.

    Args:
        folder: the run's.
        manifest: of it.
        events: the run's: a process that was killed ended when the fault landed.

    Raises:
        OSError: the disk does not take it.
    """
    files = sorted((folder / schema.RAW / schema.LEDGERS).glob("*.lines"))
    t0 = manifest.get("t0_monotonic")
    if not files or t0 is None:
        return
    rows: list[Row] = []
    for path in files:
        replica = path.name.rpartition("-")[0]
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        if FULL in lines[-1:]:
            return
        killed = sorted(e["t_s"] for e in events if e["event"] == schema.FAULT_INJECTED and _kills(e, replica))
        rows += _rows(lines, replica, t0, killed)
    write(folder, rows)


def _kills(event: Event, replica: str) -> bool:
    return event.get("action") == "kill" and event.get("target") == replica


def _rows(lines: list[str], replica: str, t0: float, killed: list[float]) -> Iterable[Row]:
    last: dict[str, list[str]] = {}
    wrote_s = 0.0
    for line in lines:
        words = line.split(" ")
        if len(words) == 9:  # the disk may have taken a part of one
            if last.get(words[0], words)[3] == "-" or words[3] != "-":  # a thread may begin as its work is given up
                last[words[0]] = words
            wrote_s = max(wrote_s, float(words[1]) - t0)
    for _, taken, began, ended, end, request, send, attempt, method in last.values():
        taken_s = round(float(taken) - t0, 6)
        began_s = None if began == "-" else round(float(began) - t0, 6)
        if end == "-":
            # Without a fault that says when, it lived until it wrote last, at least.
            end, ended_s = "killed", next((at for at in killed if at >= taken_s), round(wrote_s, 6))
            began_s = None if began_s is None or began_s >= ended_s else began_s
        else:
            ended_s = round(float(ended) - t0, 6)
        yield int(request), int(send), int(attempt), replica, method, taken_s, began_s, ended_s, end
