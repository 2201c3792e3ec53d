"""A run's folder in numbers, or a line that says why it cannot be."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from analysis.metrics import table
from analysis.metrics import timeline as rows_a_second
from record.files import told_of
from record.metrics import Metrics
from record.parquet import Tables
from record.reading import Run, read


class InNumbers(NamedTuple):
    """A run with what is computed of it."""

    run: Run
    timeline: pd.DataFrame
    """A row a second, of `timeline.build`."""
    metrics: Metrics


def in_numbers(folder: Path, tables: Tables | None = None) -> InNumbers:
    """A run's folder, read and computed anew from its raw files, or from the `tables` just written into them.

    Raises:
        FolderError: it is not a run's folder, or a file is damaged; one line.
    """
    return numbers_of(read(folder, tables))


def numbers_of(run: Run) -> InNumbers:
    """A run that was read, computed.

    Raises:
        FolderError: a value that only the computation needs is damaged; one line.
    """
    with told_of(run.folder):
        seconds = rows_a_second.build(run)
        return InNumbers(run, seconds, table.compute(run, seconds))
