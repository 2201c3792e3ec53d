"""Parquet files of a run, read and written by one thread where a pool of them costs more than it brings.

A run of a sweep has some thousand rows: waking Arrow's threads takes longer than its columns.
"""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

LEAST_FOR_THREADS = 100_000
"""Rows."""


class Tables(NamedTuple):
    """What a run that was simulated in this process has left in its Parquet files."""

    requests: pa.Table
    schedule: pa.Table
    work: pa.Table | None = None
    demand: pa.Table | None = None


def read_arrow(path: Path) -> pa.Table:
    """A file's table.

    Raises:
        OSError, ValueError: it is none that can be read.
    """
    with pq.ParquetFile(path) as file:
        return file.read(use_threads=file.metadata.num_rows >= LEAST_FOR_THREADS)


def read_frame(path: Path) -> pd.DataFrame:
    """The same as `pandas.read_parquet` gives.

    Raises:
        OSError, ValueError: as `read_arrow`.
    """
    return as_frame(read_arrow(path))


def as_frame(table: pa.Table) -> pd.DataFrame:
    """What `pandas.read_parquet` gives of a file that holds `table`."""
    frame: pd.DataFrame = table.to_pandas(use_threads=len(table) >= LEAST_FOR_THREADS)
    return frame


def write_frame(table: pd.DataFrame, path: Path) -> pa.Table:
    """Write it without its index; returns what the file holds.

    Raises:
        OSError: the disk does not take it.
    """
    threads = None if len(table) >= LEAST_FOR_THREADS else 1
    content = pa.Table.from_pandas(table, preserve_index=False, nthreads=threads)
    pq.write_table(content, path)
    return content
