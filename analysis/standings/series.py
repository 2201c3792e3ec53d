"""A line a pack in a CSV file, as tools read it that look for change points over commits.

Apache Otava (0.8) reads a CSV with a column of times, columns of numbers, and attributes such as the commit; beside the
file a configuration for it is written, `<name>.otava.yaml`, which names them and says that less is better. It takes no
gaps, and a NaN hides all change points of its column: a p99 among requests that were not served (which the column of
lost requests shows) stays at what was known last, and before it is known at all at what it is then. A pack of which a
cell has no valid run gets no line: nothing is known of that night. A line has the time at which its pack was begun, by
which one that is judged again has it written again.
"""

import csv
import io
import os
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
UNKNOWN, OF_REQUESTS = "0", "_share"
"""No p99 is 0; and what columns of shares end with."""


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
        FolderError: the file is of other arms or pathologies, or cannot be written.
        OSError: it cannot be read.
    """
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise FolderError(f"{path}: cannot be written: {path.parent} must be a folder that can be written to")
    asked = [(row, arm.name) for row in protocol.rows for arm in protocol.arms
             if protocol.refusal(row.name, arm.name) is None]  # fmt: skip
    _read(path, [TIME, COMMIT, *(name for row, arm in asked for name in _columns(row, arm))])


def _read(path: Path, names: list[str]) -> list[list[str]]:
    """The lines that there are, without the first; empty where there is no file.

    Raises:
        FolderError: it has other columns, or a line of it is not whole.
        OSError: it cannot be read.
    """
    try:
        there = path.read_text(encoding="utf-8") if path.exists() else ""
    except UnicodeDecodeError as error:
        raise FolderError(f"{path}: is no table of text ({error}); choose another --series") from error
    if not there:
        return []
    before, *lines = csv.reader(io.StringIO(there))
    if before != names:
        differing = ", ".join(sorted(set(before) ^ set(names))[:3]) or "in another order"
        raise FolderError(f"{path}: is of other arms or pathologies ({differing}); choose another --series")
    if number := next((n for n, line in enumerate(lines, 2) if line and len(line) != len(names)), None):
        raise FolderError(f"{path}: its line {number} is not whole; remove it, or choose another --series")
    return [line for line in lines if line]


def append(board: Board, path: Path, began: datetime) -> None:
    """Add a pack's line, or write it again; a file that is not there is begun.

    Args:
        board: of the pack.
        path: the file.
        began: when the pack's first run did.

    Raises:
        FolderError: the file is of other arms or pathologies, which are no series with these, or a cell has no run.
        OSError: it cannot be written.
    """
    unknown = [f"{cell.arm}, {row.plan.name}" for row in board.rows for cell in row.cells
               if cell.state == "not measured"]  # fmt: skip
    if unknown:
        raise FolderError(f"{path}: no line is added, since nothing is known of {'; '.join(unknown[:3])}")
    values = columns_of(board)
    names = [TIME, COMMIT, *values]
    lines, moment = _read(path, names), f"{began.astimezone(UTC):%Y-%m-%d %H:%M:%S +0000}"
    place = next((number for number, line in enumerate(lines) if line[0] == moment), len(lines))
    known = lines[place - 1][2:] if place else [UNKNOWN] * len(values)
    told = [was if value is None else f"{value:.6g}" for value, was in zip(values.values(), known, strict=True)]
    lines[place : place + 1] = [[moment, "+".join(board.commits), *told]]
    for column, name in enumerate(names):
        _known_later(lines, column, name)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([names, *lines])
    write_text(path, text.getvalue())
    write_text(path.with_suffix(".otava.yaml"), yaml.safe_dump(configuration(path, list(values)), sort_keys=False))


def _known_later(lines: list[list[str]], column: int, name: str) -> None:
    """Write into the first lines, as long as nothing was known, what was known first."""
    if name.endswith(OF_REQUESTS):
        return  # always known, and 0 is a share
    first = next((line[column] for line in lines if line[column] != UNKNOWN), UNKNOWN)
    for line in lines:
        if line[column] != UNKNOWN:
            return
        line[column] = first


def configuration(path: Path, names: list[str]) -> dict[str, object]:
    """What Otava is told of the file."""
    metrics = {name: {"column": name, "direction": -1, "scale": 1} for name in names}
    test = {"type": "csv", "file": str(path), "time_column": TIME, "attributes": [COMMIT], "metrics": metrics}
    return {"tests": {UNFIT.sub("_", path.stem): test}}
