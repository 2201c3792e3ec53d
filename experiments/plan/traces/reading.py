"""A window of a trace: Parquet, CSV or JSON lines, read piece by piece, so that what lies outside takes no memory."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from record.files import one_line

COLUMNS = {
    "scheduled_s": pa.float64(),
    "demand_s": pa.float64(),
    "key": pa.string(),
    "method": pa.string(),
    "size": pa.float64(),
}
"""Those that are read, by name; all others are passed over. Only the first must be there. Sizes are whole numbers."""
MOST = 40_000_000
"""Requests that a window may hold: as many as a simulated run takes."""
MOST_BYTES = 10_000_000
"""Of a body, as `workload.body_bytes`."""
PIECE_BYTES = 4 << 20
"""Of JSON lines that are parsed at a time."""
KNOWN = {True: ("POST", "PATCH"), False: ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")}
"""By whether a router must not ask for it twice (RFC 9110, 9.2.2: idempotent methods): sent as POST, or as GET."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Recorded:
    """The requests of a window, n of them, ascending; None where the trace has no such column."""

    scheduled_s: Floats
    """Seconds from the window's beginning, shape (n,)."""
    demand_s: Floats | None
    key: NDArray[np.object_] | None
    is_post: NDArray[np.bool_] | None
    size: NDArray[np.int64] | None
    """Bytes of a body."""
    notes: tuple[str, ...]
    """What was made of it that its file does not say, a line each."""


def read(file: str, from_s: float = 0.0, for_s: float | None = None) -> Recorded:
    """The requests with `from_s` <= `scheduled_s` < `from_s` + `for_s`; a file that stays as it is is read once.

    Args:
        file: its name ends in .parquet, .csv, .jsonl or .ndjson; the latter three also with .gz behind.
        from_s: where the window begins, seconds of the trace.
        for_s: its length, likewise; None = to the end.

    Raises:
        ValueError: there is none, or it cannot be taken as it is; one line that begins with `workload.trace=FILE`.
    """
    try:
        return _read(file, _state(file), from_s, for_s)
    except (pa.ArrowException, OSError, EOFError, zlib.error, ValueError) as error:
        known = isinstance(error, ValueError) and not isinstance(error, pa.ArrowException | UnicodeError)
        told = f": {error}" if known else f": cannot be read ({one_line(error)})"
        if isinstance(error, FileNotFoundError):
            told = ": there is no such file"
        raise ValueError(f"workload.trace={file}{told}") from error


def _state(file: str) -> tuple[int, int]:
    about = Path(file).stat()
    return about.st_mtime_ns, about.st_size


@lru_cache(2)
def _read(file: str, _: tuple[int, int], from_s: float, for_s: float | None) -> Recorded:
    pieces: list[pa.RecordBatch] = []
    rows = kept = 0
    last_s = 0.0
    end_s = np.inf if for_s is None else from_s + for_s
    for piece in _pieces(Path(file)):
        times = _numbers(piece, "scheduled_s", rows, "seconds from the trace's beginning, 0 or more")
        _check(piece, rows)
        inside = (times >= from_s) & (times < end_s)
        last_s = max(last_s, float(times.max(initial=0.0)))
        if inside.any():
            taken = piece if inside.all() else piece.filter(pa.array(inside))
            pieces.append(taken)
            kept += len(taken)
        rows += len(piece)
        if kept > MOST:
            raise ValueError(f"more than {MOST:,} requests; take a part of it by workload.trace_from_s and trace_for_s")
    if not rows:
        raise ValueError("has no request")
    if not kept:
        window = f"workload.trace_from_s={from_s:g}" + ("" if for_s is None else f" workload.trace_for_s={for_s:g}")
        raise ValueError(f"no request lies in {window}; the trace ends at {last_s:g} s")
    return _recorded(pa.Table.from_batches(pieces), from_s)


def _recorded(table: pa.Table, from_s: float) -> Recorded:
    notes = []
    times = table["scheduled_s"].to_numpy() - from_s
    backwards = int((np.diff(times) < 0).sum())
    if backwards:
        table = table.take(np.argsort(times, kind="stable"))
        times = table["scheduled_s"].to_numpy() - from_s
        notes.append(f"was not in the order of scheduled_s ({backwards:,} times back); sorted")
    columns = {name: table[name] for name in table.column_names}
    is_post = None
    if "method" in columns:
        is_post, told = _is_post(columns["method"])
        notes += told
    return Recorded(
        times,
        columns["demand_s"].to_numpy() if "demand_s" in columns else None,
        _words(columns["key"]) if "key" in columns else None,
        is_post,
        columns["size"].to_numpy().astype(np.int64) if "size" in columns else None,
        tuple(notes),
    )


def _numbers(piece: pa.RecordBatch, name: str, before: int, must: str) -> Floats:
    """A column of finite numbers, 0 or more.

    Args:
        piece: of the trace.
        name: the column's.
        before: rows that came before.
        must: what they must be.

    Raises:
        ValueError: one is none; with its row, counted from 1.
    """
    values = cast(Floats, piece[name].to_numpy(zero_copy_only=False))
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        at = int(wrong[0])
        value = "empty or no number" if np.isnan(values[at]) else f"{values[at]:g}"
        raise ValueError(f"{name} is {value} in row {before + at + 1:,}: must be {must}")
    return values


def _check(piece: pa.RecordBatch, before: int) -> None:
    """What stands beside the moment."""
    if "demand_s" in piece.schema.names:
        _numbers(piece, "demand_s", before, "seconds of service, 0 or more, in every row")
    if "size" in piece.schema.names:
        sizes = _numbers(piece, "size", before, "bytes of a body, 0 or more, in every row")
        parts = np.flatnonzero(sizes % 1)
        if len(parts):
            at = int(parts[0])
            raise ValueError(f"size is {sizes[at]:g} in row {before + at + 1:,}: must be a whole number of bytes")
        if len(sizes) and sizes.max() > MOST_BYTES:
            row = before + int(sizes.argmax()) + 1
            raise ValueError(f"size is {sizes.max():,.0f} in row {row:,}: must be at most {MOST_BYTES:,} bytes")
    if "key" in piece.schema.names:
        must = "there in every row, of printable ASCII, which is sent in a header; or leave the column out"
        _known_words(piece["key"], before, "key", must, lambda key: key.isascii() and key.isprintable())
    if "method" in piece.schema.names:
        must = f"one of {', '.join((*KNOWN[False], *KNOWN[True]))}"
        _known_words(piece["method"], before, "method", must, lambda m: m.upper() in {*KNOWN[False], *KNOWN[True]})


def _known_words(column: pa.Array, before: int, name: str, must: str, is_known: Callable[[str], bool]) -> None:
    """Refuse the first that is absent, or not known; each word is looked at once."""
    coded = column.dictionary_encode()
    wrong = np.array([not is_known(word) for word in coded.dictionary.to_pylist()], dtype=bool)
    if not wrong.any() and not coded.null_count:
        return
    codes = coded.indices.fill_null(len(wrong)).to_numpy(zero_copy_only=False)
    at = int(np.flatnonzero(np.append(wrong, True)[codes])[0])
    word = column[at].as_py()
    raise ValueError(f"{name} is {repr(word[:40]) if word else 'empty'} in row {before + at + 1:,}: must be {must}")


def _is_post(column: pa.ChunkedArray) -> tuple[NDArray[np.bool_], list[str]]:
    """Of each request, and what is sent as another method than it was."""
    coded = column.combine_chunks().dictionary_encode()
    words = [word.upper() for word in coded.dictionary.to_pylist()]
    codes = coded.indices.to_numpy()
    counts = np.bincount(codes, minlength=len(words))
    notes = []
    for sent, is_post in (("GET", False), ("POST", True)):
        others = [w for w in KNOWN[is_post] if w != sent]
        if count := sum(int(n) for w, n in zip(words, counts, strict=True) if w in others):
            notes.append(f"{count:,} request(s) of {', '.join(w for w in others if w in words)} are sent as {sent}")
    return np.array([word in KNOWN[True] for word in words])[codes], notes


def _words(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """A text a key, not a text a request."""
    coded = column.combine_chunks().dictionary_encode()
    names = np.array(coded.dictionary.to_pylist(), dtype=object)
    return cast(NDArray[np.object_], names[coded.indices.to_numpy()])


def _pieces(path: Path) -> Iterator[pa.RecordBatch]:
    """The rows, those columns of `COLUMNS` that there are, of their types.

    Raises:
        ValueError: it is of no known kind, or has no `scheduled_s`.
        pa.ArrowException, OSError, EOFError, zlib.error: it cannot be read.
    """
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet" and not path.name.lower().endswith(".gz"):
        yield from _of_parquet(path)
    elif kind == "csv":
        yield from _of_csv(path)
    elif kind in ("jsonl", "ndjson", "json"):
        yield from _of_lines(path)
    else:
        raise ValueError("its name must end in .parquet, .csv, .csv.gz, .jsonl or .jsonl.gz")


def _known(names: list[str]) -> list[str]:
    for name in names:
        plain = name.strip().lower()
        if plain in COLUMNS and plain not in names:
            raise ValueError(f"has the column {name!r}: must be {plain}, written so, to be read")
    if "scheduled_s" not in names:
        there = ", ".join(names[:8]) or "none"
        raise ValueError(f"has no column scheduled_s (seconds from the trace's beginning); there are: {there}")
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise ValueError(f"has the column {twice[0]} twice")
    return [name for name in COLUMNS if name in names]


def _of_parquet(path: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        known = _known(file.schema_arrow.names)
        types = pa.schema([(name, COLUMNS[name]) for name in known])
        for piece in file.iter_batches(columns=known):
            yield pa.record_batch([piece[name].cast(COLUMNS[name]) for name in known], schema=types)


def _of_csv(path: Path) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv

    if not path.stat().st_size:
        raise ValueError("is empty")
    with csv.open_csv(path) as head:
        known = _known(head.schema.names)
    taken = csv.ConvertOptions(include_columns=known, column_types=COLUMNS)
    try:
        with csv.open_csv(path, convert_options=taken) as reader:
            yield from reader
    except pa.ArrowInvalid:
        _tell_word(path, [name for name in known if pa.types.is_floating(COLUMNS[name])])
        raise


def _tell_word(path: Path, numeric: list[str]) -> None:
    """Name the first row of a CSV file that has a word for a number; pyarrow tells the column alone.

    Raises:
        ValueError: there is one.
        pa.ArrowException: it cannot be read for another reason.
    """
    from pyarrow import csv

    row = 0
    words = csv.ConvertOptions(include_columns=numeric, column_types=dict.fromkeys(numeric, pa.string()))
    with csv.open_csv(path, convert_options=words) as reader:
        for piece in reader:
            for name in numeric:
                for at, word in enumerate(piece[name].to_pylist(), row + 1):
                    try:
                        float(word or "nan")
                    except ValueError:
                        raise ValueError(f"{name} is {word[:20]!r} in row {at:,}: must be a number") from None
            row += len(piece)


def _of_lines(path: Path) -> Iterator[pa.RecordBatch]:
    from pyarrow import json

    shape = json.ParseOptions(explicit_schema=pa.schema(COLUMNS), unexpected_field_behavior="ignore")
    has: list[str] | None = None
    for lines in _lines(path):
        table = json.read_json(pa.BufferReader(lines), json.ReadOptions(block_size=len(lines) + 1), shape)
        there = [name for name in COLUMNS if table[name].null_count < len(table)]
        if has is None:
            has = _known(there)
        if there != has:
            name = sorted(set(there) ^ set(has))[0]
            raise ValueError(f"some lines have {name}, others not: every one must, or none")
        yield from table.select(has).combine_chunks().to_batches()


def _lines(path: Path) -> Iterator[bytes]:
    """Whole lines, some at a time."""
    import gzip

    is_packed = path.name.lower().endswith(".gz")
    with path.open("rb") as raw, cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if is_packed else raw as file:
        while piece := file.read(PIECE_BYTES):
            piece += file.readline()
            if piece.strip():
                yield piece
