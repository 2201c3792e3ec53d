"""The runs of each cell of a board, from the folders of a pack, and what was left out of it."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from analysis.comparison.arms import Measured
from analysis.standings.protocol import RUNS, Protocol, folder_of
from record.files import FolderError, read_manifest, read_metrics
from record.metrics import Metrics
from record.misfits import misfits
from record.provenance import state_of
from record.reading import Run
from record.schema import METRICS, REQUEST_COLUMNS
from record.shapes import Manifest

MOST_ATTEMPTS = 20
"""Of one run, that are looked for."""

NEEDED = ("valid", "invalid_reasons", "offered_requests", "failed_requests", "error_rate")
"""Of a run's metrics, by a board."""


@dataclass
class CellRuns:
    """What a pack holds of one arm under one pathology."""

    by_seed: dict[int, Measured] = field(default_factory=dict)
    """Valid runs; of several tries the first that is valid."""
    invalid: list[str] = field(default_factory=list)
    """A line for each run whose instrument did not work, those that were repeated included."""
    failed: list[str] = field(default_factory=list)
    """Likewise for each that failed."""
    unmeasured: list[int] = field(default_factory=list)
    """Seeds of which nothing valid is there."""
    failing: list[int] = field(default_factory=list)
    """Those of them whose last try failed."""

    @property
    def folders(self) -> list[Path]:
        """Of the valid runs."""
        return [one.run.folder for one in self.by_seed.values()]


def tries_of(pack: Path, kind: str, row: str, arm: str, seed: int) -> Iterator[tuple[int, Path]]:
    """The folders of a run's tries that there are, with their numbers."""
    for attempt in range(1, MOST_ATTEMPTS + 1):
        folder = folder_of(pack, kind, row, arm, seed, attempt)
        if not folder.is_dir():
            return
        yield attempt, folder


def measured_in(folder: Path) -> Measured | None:
    """A complete run as far as a board looks at it: its manifest and metrics; None = it is not complete.

    Raises:
        FolderError: a file of it is damaged.
    """
    manifest = read_manifest(folder)
    metrics = read_metrics(folder)
    if manifest.get("exit_reason") != "complete" or not metrics:
        return None
    lacking = [key for key in NEEDED if key not in metrics]
    for text in (*(f"lacks {key}" for key in lacking), *misfits(metrics, Metrics)):
        raise FolderError(f"{folder / METRICS}: {text}")
    return Measured(_alone(folder, manifest), metrics)


def _alone(folder: Path, manifest: Manifest) -> Run:
    """A run without its rows: a board is about runs, and a hundred thousand rows take longer to read than to judge."""
    none = pd.Series(dtype="float64")
    return Run(folder, manifest, pd.DataFrame(columns=list(REQUEST_COLUMNS)), [], [], none, none)


def gather_cell(pack: Path, row: str, arm: str, seeds: tuple[int, ...], kind: str = RUNS) -> CellRuns:
    """What there is of one cell."""
    cell = CellRuns()
    for seed in seeds:
        is_failing = False
        for _, folder in tries_of(pack, kind, row, arm, seed):
            try:
                one = measured_in(folder)
            except FolderError as error:
                cell.failed.append(within(pack, str(error)))
                is_failing = True
                continue
            is_failing = one is None and _has_failed(cell, pack, folder)
            if one is None:
                continue
            if one.metrics["valid"]:
                cell.by_seed[seed] = one
                break
            cell.invalid.append(within(pack, f"{folder}: {'; '.join(one.metrics['invalid_reasons'])}"))
        if seed not in cell.by_seed:
            cell.unmeasured.append(seed)
            cell.failing += [seed] if is_failing else []
    return cell


def _has_failed(cell: CellRuns, pack: Path, folder: Path) -> bool:
    """Whether a run that is not complete has failed, which is noted, rather than been broken off."""
    manifest = read_manifest(folder)
    if manifest.get("exit_reason") != "failed":
        return False
    cell.failed.append(within(pack, f"{folder}: {manifest.get('error') or 'failed'}"))
    return True


def gather(pack: Path, protocol: Protocol, kind: str = RUNS) -> dict[tuple[str, str], CellRuns]:
    """Every cell that can be asked, by row and arm."""
    return {
        (row.name, arm.name): gather_cell(pack, row.name, arm.name, protocol.seeds, kind)
        for row in protocol.rows
        for arm in protocol.arms
        if protocol.refusal(row.name, arm.name) is None
    }


def commits_of(cells: Iterable[CellRuns]) -> tuple[str, ...]:
    """The states of the code that valid runs were made with (`state_of`), each once."""
    return tuple(sorted({state_of(one.run.manifest) for cell in cells for one in cell.by_seed.values()}))


def within(pack: Path, text: str) -> str:
    """A line without the path of the pack that it begins with: who reads it has the pack elsewhere."""
    return text.removeprefix(f"{pack}{os.sep}")
