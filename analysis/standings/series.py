"""A line a pack in a CSV file, as tools read it that look for change points over commits.

Apache Otava (0.8) reads a CSV with a column of times, columns of numbers, and attributes such as the commit; beside the
file a configuration for it is written, `<name>.otava.yaml`, which names them and says that less is better. It takes no
gaps, and a NaN hides all change points of its column: what is not known, as a p99 among requests that were not served
(which the column of lost requests shows), stays at what was known last.
"""

import csv
import io
import re
from datetime import UTC, datetime
from pathlib import Path

import yaml

from analysis.standings.board import Board, Cell, Row
from analysis.standings.measures import IN_TIME
from analysis.standings.protocol import Protocol, RowPlan
from record.files import FolderError, write_text

TIME, COMMIT = "time", "commit"
UNFIT = re.compile(r"\W+")


def columns_of(board: Board) -> dict[str, float | None]:
    """The numbers of a pack by the names of their columns; None = not known."""
    values: dict[str, float | None] = {}
    for row in board.rows:
        for cell in row.cells:
            if cell.state == "not asked":
                continue
            numbers = [_less_is_better(row, cell), *([] if row.is_in_time else [cell.lost.value])]
            values |= dict(zip(_columns(row.plan, cell.arm), numbers, strict=True))
    return values


def _columns(row: RowPlan, arm: str) -> list[str]:
    name = UNFIT.sub("_", f"{row.name}__{arm}")
    return [f"{name}__late_share"] if row.measure == IN_TIME else [f"{name}__{row.measure}", f"{name}__lost_share"]


def _less_is_better(row: Row, cell: Cell) -> float | None:
    value = cell.value.value
    return None if value is None else 1 - value if row.is_in_time else value


def check(protocol: Protocol, path: Path) -> None:
    """That a pack of this protocol can be a line of the file.

    Raises:
        FolderError: the file is of other arms or pathologies.
        OSError: it cannot be read.
    """
    asked = [(row, arm.name) for row in protocol.rows for arm in protocol.arms
             if protocol.refusal(row.name, arm.name) is None]  # fmt: skip
    _read(path, [TIME, COMMIT, *(name for row, arm in asked for name in _columns(row, arm))])


def _read(path: Path, names: list[str]) -> tuple[str, list[str]]:
    """What the file holds, and the values of its last line; both empty where it is not there.

    Raises:
        FolderError: it has other columns, or its last line is not whole.
        OSError: it cannot be read.
    """
    there = path.read_text(encoding="utf-8") if path.exists() else ""
    if not there:
        return "", []
    before, *lines = csv.reader(io.StringIO(there))
    if before != names:
        differing = ", ".join(sorted(set(before) ^ set(names))[:3]) or "in another order"
        raise FolderError(f"{path}: is of other arms or pathologies ({differing}); choose another --series")
    if lines and len(lines[-1]) != len(names):
        raise FolderError(f"{path}: its last line is not whole; remove it, or choose another --series")
    return there, lines[-1][2:] if lines else []


def append(board: Board, path: Path, now: datetime | None = None) -> None:
    """Add a line; a file that is not there is begun.

    Args:
        board: of the pack.
        path: the file.
        now: when; None = this moment.

    Raises:
        FolderError: the file is of other arms or pathologies, which are no series with these.
        OSError: it cannot be written.
    """
    values = columns_of(board)
    names = [TIME, COMMIT, *values]
    there, last = _read(path, names)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not there:
        writer.writerow(names)
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    known = last or ["0"] * len(values)
    told = [was if value is None else f"{value:.6g}" for value, was in zip(values.values(), known, strict=True)]
    writer.writerow([f"{moment:%Y-%m-%d %H:%M:%S +0000}", "+".join(board.commits), *told])
    write_text(path, there + text.getvalue())
    write_text(path.with_suffix(".otava.yaml"), yaml.safe_dump(configuration(path, list(values)), sort_keys=False))


def configuration(path: Path, names: list[str]) -> dict[str, object]:
    """What Otava is told of the file."""
    metrics = {name: {"column": name, "direction": -1, "scale": 1} for name in names}
    test = {"type": "csv", "file": str(path), "time_column": TIME, "attributes": [COMMIT], "metrics": metrics}
    return {"tests": {UNFIT.sub("_", path.stem): test}}
