"""Parquet files of a run, read and written by one thread where a pool of them costs more than it brings.

A run of a sweep has some thousand rows: waking Arrow's threads takes longer than its columns.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

LEAST_FOR_THREADS = 100_000
"""Rows."""


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
    table = read_arrow(path)
    frame: pd.DataFrame = table.to_pandas(use_threads=len(table) >= LEAST_FOR_THREADS)
    return frame


def write_frame(table: pd.DataFrame, path: Path) -> None:
    """Write it without its index.

    Raises:
        OSError: the disk does not take it.
    """
    threads = None if len(table) >= LEAST_FOR_THREADS else 1
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False, nthreads=threads), path)
