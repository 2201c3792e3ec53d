"""The folder that an import leaves: `requests.parquet`, `trace.parquet` or `rate.txt`, and `import.json`."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from experiments.importing.batch import COUNTS, SECONDS
from experiments.importing.errors import WrongImport
from experiments.importing.gathering import UNKNOWN, Arranged
from record.files import PARTIAL, dump, whole, write_text

REQUESTS, TRACE, RATE, IMPORT = "requests.parquet", "trace.parquet", "rate.txt", "import.json"
ROWS_A_GROUP = 1 << 20
TRACED = {"scheduled_s": "scheduled_s", "demand_s": "demand_s", "key": "key", "method": "method", "received": "size"}
"""Column of the requests -> column of the trace. The trace's `size` is that of the request's body."""
METHODS = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH")
"""Those that a trace may have."""
MOST_BYTES = 10_000_000
"""Of a body in a trace."""


def check(folder: Path) -> None:
    """Hold that an import can be written there, before the log is read.

    Raises:
        WrongImport: something else lies in it, or it is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise WrongImport(f"{folder}: is a file; name a folder with -o")
    if folder.exists() and {each.name for each in folder.iterdir()} - {PARTIAL} and not (folder / IMPORT).exists():
        raise WrongImport(f"{folder}: is not empty, and no earlier import; name another folder with -o")


@contextlib.contextmanager
def prepared(folder: Path) -> Iterator[Path]:
    """Where to write what is to be in the folder: there it is afterwards, in an earlier import's place, or not at all.

    Raises:
        WrongImport: it cannot be written.
    """
    partial, was_there = folder / PARTIAL, folder.exists()
    try:
        try:
            shutil.rmtree(partial, ignore_errors=True)  # of one that was killed
            partial.mkdir(parents=True)
        except OSError as error:
            text = f"{folder}: cannot be written ({error.strerror}); name another folder with -o"
            raise WrongImport(text) from error
        yield partial
        for name in (IMPORT, REQUESTS, TRACE, RATE):
            (folder / name).unlink(missing_ok=True)
        for name in (REQUESTS, TRACE, RATE, IMPORT):
            if (partial / name).exists():
                (partial / name).replace(folder / name)
        partial.rmdir()
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if not was_there:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def write_requests(folder: Path, table: pa.Table) -> list[str]:
    """Both tables, of that of `as_table`; return their names.

    Raises:
        OSError: the disk does not take it.
    """
    _write(table, folder / REQUESTS)
    _write(as_trace(table), folder / TRACE)
    return [REQUESTS, TRACE]


def as_trace(table: pa.Table) -> pa.Table:
    """What is played again: of each column every value is known, or the column is not there.

    A method that is unknown or none of HTTP's own becomes GET, a body of unknown length an empty one.
    """
    columns = {trace: table[name] for name, trace in TRACED.items() if name in table.column_names}
    if "demand_s" in columns and columns["demand_s"].null_count:
        del columns["demand_s"]
    if "method" in columns:
        is_known = pc.fill_null(pc.is_in(columns["method"], pa.array(METHODS)), False)
        columns["method"] = pc.if_else(is_known, columns["method"], "GET")
    if "size" in columns:
        columns["size"] = pc.min_element_wise(pc.fill_null(columns["size"], 0), MOST_BYTES)
    if "key" in columns:
        columns["key"] = pc.replace_substring_regex(pc.fill_null(columns["key"], "-"), r"[^!-~]", "?")
    return pa.table(columns)


def filled_in(table: pa.Table) -> list[str]:
    """What stands in the trace for what the log does not tell, each in a sentence; of the table of `as_table`."""
    said = []
    if "demand_s" not in table.column_names:
        said.append("the log does not tell the work of a request: a run draws it (workload.demand)")
    elif unknown := table["demand_s"].null_count:
        said.append(f"{unknown:,} requests have no demand, so the trace has none")
    if "method" in table.column_names:
        is_known = pc.fill_null(pc.is_in(table["method"], pa.array(METHODS)), False)
        if others := len(table) - int(pc.sum(is_known).as_py()):
            said.append(f"{others:,} requests of no known method stand in the trace as GET")
    if "received" in table.column_names:
        too_long = int(pc.sum(pc.fill_null(pc.greater(table["received"], MOST_BYTES), False)).as_py())
        if too_long:
            said.append(f"{too_long:,} bodies of over {MOST_BYTES:,} bytes are cut to that in the trace")
    return said


def write_rate(folder: Path, rates_rps: np.ndarray) -> list[str]:
    """One number a second, each on a line; return the file's name.

    Raises:
        OSError: the disk does not take it.
    """
    write_text(folder / RATE, "".join(f"{rate:.6g}\n" for rate in rates_rps))
    return [RATE]


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """`import.json`, which is written last: where it is, the rest is.

    Raises:
        OSError: the disk does not take it.
    """
    write_text(folder / IMPORT, dump(about))


def as_table(requests: Arranged) -> pa.Table:
    """Requests as they are written; columns that are known of none are left out."""
    columns: dict[str, Any] = {"scheduled_s": pa.array(requests.arrivals_s)}
    for name in (*SECONDS, "upstream", *COUNTS, "method"):
        if (values := requests.columns.get(name)) is None:
            continue
        is_unknown = ~np.isfinite(values) if name in SECONDS else values == UNKNOWN
        if is_unknown.all():
            continue
        column = pa.array(values, mask=is_unknown)
        if name in ("upstream", "method"):
            words = requests.upstreams if name == "upstream" else requests.methods
            column = pa.DictionaryArray.from_arrays(column, pa.array(words, pa.string())).cast(pa.string())
        columns[name] = column
    if requests.paths is not None:
        columns["key"] = requests.paths
    elif "key" in requests.columns:
        encoded = pa.array(requests.columns["key"]).dictionary_encode()
        words = [f"{each:016x}" for each in encoded.dictionary.to_pylist()]
        columns["key"] = pa.DictionaryArray.from_arrays(encoded.indices, pa.array(words, pa.string())).cast(pa.string())
    return pa.table(columns)


def _write(table: pa.Table, path: Path) -> None:
    with whole(path) as partial:
        pq.write_table(table, partial, row_group_size=ROWS_A_GROUP, compression="zstd")
