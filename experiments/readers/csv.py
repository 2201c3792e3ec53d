"""Any table of text, by the names of its columns: `--columns arrived=TIMESTAMP,taken=latency:ms,status=code`.

What there is to name, and the units: `experiments/importing/columns.py`. Moments are numbers since 1970 in whatever
unit, ISO 8601 with or without an offset, or nginx' way.
"""

import csv as rows
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as table

from experiments.importing import stamps
from experiments.importing.batch import SECOND, TEXTS, Batch, batch_of
from experiments.importing.columns import Columns, parsed
from experiments.importing.errors import WrongImport
from experiments.importing.source import Head, Lines, Source
from experiments.importing.stamps import Zone
from experiments.importing.text import number

DELIMITERS = ",;\t|"
MICROSECOND = 1e-6


class Csv:
    """A row a request, the columns named in the first line."""

    name: ClassVar[str] = "csv"
    about: ClassVar[str] = "any table with a line of names, by --columns arrived=NAME,taken=NAME:ms,..."

    def __init__(self, *, zone: Zone, columns: str | None = None) -> None:
        """`columns`: what the user named; `zone`: of moments that name none."""
        self._zone = zone
        self._columns = columns

    def sniff(self, head: Head) -> float:
        """Never by itself: nobody but the user knows what a column means."""
        return 0.0

    def read(self, source: Source) -> Iterator[Batch]:
        """A batch a block."""
        named = parsed(self._columns, self.name)
        header: list[str] = []
        delimiter = ","
        for lines in source.blocks():
            left_out = {}
            if lines.is_start:
                first = lines.text[0].as_py().decode("utf-8", "replace").strip("\r\n")
                delimiter = max(DELIMITERS, key=first.count)
                header = _header(first, delimiter, source.names)
                if missing := [name for name in named.names if name not in header]:
                    raise WrongImport(f"--columns: no column {missing[0]} in {source.names}: {', '.join(header[:12])}")
                left_out = {"the line of names": np.array([0])}
            yield self._batch(lines, header, delimiter, named, left_out)

    def _batch(
        self, lines: Lines, header: list[str], delimiter: str, named: Columns, left_out: dict[str, np.ndarray]
    ) -> Batch:
        index, texts = _rows(lines, header, delimiter, 1 if left_out else 0, named.names)
        moments = stamps.any_kind(texts[named.moment.name], self._zone)
        columns: dict[str, Any] = {}
        for each in named.others:
            values = texts[each.name]
            columns[each.column] = values if each.column in TEXTS else _number(values, delimiter, each.scale)
        return batch_of(
            lines, index, moments, columns,
            is_start=named.is_start, resolution_s=resolution_of(moments), left_out=left_out,
        )  # fmt: skip


def resolution_of(moments: np.ndarray) -> float:
    """Whole seconds where all of them are, else microseconds."""
    known = moments[np.isfinite(moments)]
    return SECOND if len(known) and bool((known == np.floor(known)).all()) else MICROSECOND


def _header(line: str, delimiter: str, names: str) -> list[str]:
    try:
        return next(rows.reader([line], delimiter=delimiter), [])
    except rows.Error as error:
        raise WrongImport(f"{names}: the first line names no columns ({error})") from error


def _rows(
    lines: Lines, header: list[str], delimiter: str, skipped: int, wanted: list[str]
) -> tuple[np.ndarray, dict[str, pa.Array]]:
    """Which lines have as many fields as the first, and the wanted columns of these."""
    is_blank = pc.match_substring_regex(lines.text, r"^\s*$").to_numpy(zero_copy_only=False)
    places = np.flatnonzero(~is_blank)
    places = places[places >= skipped]
    if not len(places):
        return places, {name: pa.array([], pa.binary()) for name in wanted}
    texts = lines.text.take(places)
    return _at_once(texts, places, header, delimiter, wanted) or _one_by_one(texts, places, header, delimiter, wanted)


def _at_once(
    texts: pa.Array, places: np.ndarray, header: list[str], delimiter: str, wanted: list[str]
) -> tuple[np.ndarray, dict[str, pa.Array]] | None:
    """By Arrow's own parser; None where lines and rows are not the same, as behind a quote that nobody closes."""
    wrong: list[int] = []

    def leave(row: table.InvalidRow) -> str:
        wrong.append(row.number - 1)
        return "skip"

    data = b"".join(texts.to_pylist())
    try:
        texts.cast(pa.string())  # the parser shows a wrong row to `leave` as text only
        content = table.read_csv(
            pa.BufferReader(data),
            table.ReadOptions(column_names=header, use_threads=False, block_size=len(data) + 1),
            table.ParseOptions(delimiter=delimiter, invalid_row_handler=leave),
            table.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, pa.binary())),
        )
    except pa.ArrowInvalid:
        return None
    if len(content) + len(wrong) != len(places):
        return None
    return np.delete(places, wrong), {name: content[name].combine_chunks() for name in wanted}


def _one_by_one(
    texts: pa.Array, places: np.ndarray, header: list[str], delimiter: str, wanted: list[str]
) -> tuple[np.ndarray, dict[str, pa.Array]]:
    """Each line by itself, so that a broken one costs no other."""
    kept: list[int] = []
    columns: dict[str, list[bytes]] = {name: [] for name in wanted}
    where = {name: header.index(name) for name in wanted}
    for place, text in zip(places.tolist(), texts.to_pylist(), strict=True):
        try:
            line = text.decode("utf-8", "surrogateescape").strip("\r\n")
            [row] = rows.reader([line], delimiter=delimiter, strict=True)
        except (rows.Error, ValueError):
            continue
        if len(row) == len(header):
            kept.append(place)
            for name, values in columns.items():
                values.append(row[where[name]].encode("utf-8", "surrogateescape"))
    return np.array(kept, dtype=np.int64), {name: pa.array(values, pa.binary()) for name, values in columns.items()}


def _number(texts: pa.Array, delimiter: str, scale: float) -> np.ndarray:
    """Numbers; where fields are not parted by commas, a comma may stand for the point."""
    return number(texts if delimiter == "," else pc.replace_substring(texts, ",", "."), scale)
