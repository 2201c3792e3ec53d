"""Logs with an object of JSON a line: each by itself, so that a broken one costs no other."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from experiments.importing.batch import TEXTS, Batch, batch_of
from experiments.importing.source import Lines

Row = Sequence[Any]
"""The stamp, then what the reader names, each a number, a text, or None."""
UNUSABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, OverflowError)
"""What a value raises that is not what it should be."""


def objects(lines: Lines) -> Iterator[tuple[int, dict[str, Any]]]:
    """Index and content of each line that is an object."""
    for index, text in enumerate(lines.text.to_pylist()):
        try:
            entry = json.loads(text.decode())  # of bytes it would first find out how they are encoded
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            yield index, entry


def share(lines: Lines, keys: Sequence[str]) -> float:
    """The share of the lines that are objects with one of the keys at least."""
    return sum(any(key in entry for key in keys) for _, entry in objects(lines)) / len(lines)


def rows(
    lines: Lines,
    names: Sequence[str],
    row: Callable[[dict[str, Any]], Row | str],
    stamps: Callable[[pa.Array], np.ndarray],
    *,
    is_start: bool,
    resolution_s: float,
) -> Batch:
    """A batch of what `row` says of each object.

    Args:
        lines: the log's.
        names: of `COLUMNS`, in the order in which `row` gives them after the stamp.
        row: its values; a text = why it is no request; raises one of `UNUSABLE` where it does not fit.
        stamps: texts to seconds of the Unix clock.
        is_start: as in `Batch`.
        resolution_s: as in `Batch`.
    """
    index: list[int] = []
    values: list[Row] = []
    left_out: dict[str, list[int]] = {}
    for place, entry in objects(lines):
        try:
            told = row(entry)
        except UNUSABLE:
            continue
        if isinstance(told, str):
            left_out.setdefault(told, []).append(place)
        else:
            index.append(place)
            values.append(told)
    columns = list(zip(*values, strict=True)) if values else [()] * (len(names) + 1)
    told_of = {name: as_column(name, column) for name, column in zip(names, columns[1:], strict=True)}
    moments = stamps(pa.array([text.encode() for text in columns[0]], pa.binary()))
    return batch_of(
        lines,
        np.array(index, dtype=np.int64),
        moments,
        {name: values for name, values in told_of.items() if values is not None},
        is_start=is_start,
        resolution_s=resolution_s,
        left_out={why: np.array(places) for why, places in left_out.items()},
    )


def as_column(name: str, values: Sequence[Any]) -> Any:  # noqa: ANN401 - of numpy or of Arrow
    """Values as a column of a batch; None = the format tells it of none."""
    if all(value is None for value in values):
        return None
    if name in TEXTS:
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return np.array(values, dtype=float)


def number(value: object, scale: float = 1.0) -> float | None:
    """A number of JSON, or one in a text, times `scale`; None where it is none, as "-" and null.

    Raises:
        ValueError: it is a text that means nothing.
    """
    if isinstance(value, bool) or value is None or value in ("-", ""):
        return None
    if isinstance(value, int | float | str):
        return float(value) * scale
    raise ValueError("no number")


def first(entry: dict[str, Any], keys: Sequence[str]) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The value of the first of the keys that is there; None = none is."""
    for key in keys:
        if key in entry:
            return entry[key]
    return None
