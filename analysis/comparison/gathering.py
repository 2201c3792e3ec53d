"""From folders to a comparison: the runs that lie below, read and computed, sorted into arms, and judged."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from analysis.comparison.advice import advise
from analysis.comparison.comparison import Comparison, compare_questions
from analysis.comparison.questions import questions_of
from analysis.comparison.text import best, headline
from analysis.metrics.measured import numbers_of
from record.files import FolderError, find, read_metrics
from record.metrics import Metrics
from record.reading import Run, read
from record.schema import METRICS

LeaveOut = Callable[[str], None]
"""Is told in a line of each folder that cannot be read."""


def on_stderr(reason: str) -> None:
    """Say what is left out, and why."""
    print(f"left out: {reason}", file=sys.stderr)


def read_each(
    places: list[Path], leave_out: LeaveOut = on_stderr, since: float | None = None
) -> Iterator[Run]:
    """Every run below `places`, in order; one that cannot be read is told to `leave_out`.

    A run counts once, also where a baseline that lies below keeps a copy of it.

    Args:
        places: folders.
        leave_out: is told of those that cannot be read.
        since: seconds since 1970; rows of runs whose metrics were written later are not checked again.

    Raises:
        FolderError: a place holds no run.
    """
    known: set[tuple[str, str]] = set()
    for folder in find(places):
        with _left_out(leave_out):
            run = read(folder, is_own=_is_since(folder, since))
            own = run.manifest.get("run_id"), run.manifest.get("started_at")
            if run.manifest.get("mode") == "ui" or own in known:
                continue
            if own[0] and own[1]:
                known.add((own[0], own[1]))
            yield run


@contextlib.contextmanager
def _left_out(leave_out: LeaveOut) -> Iterator[None]:
    try:
        yield
    except (FolderError, OSError) as error:
        leave_out(str(error))


def read_runs(
    places: list[Path], leave_out: LeaveOut = on_stderr, since: float | None = None
) -> list[tuple[Run, Metrics]]:
    """Every run below `places` with its metrics, as `read_each` finds them.

    Args:
        places: folders.
        leave_out: is told of those that cannot be read.
        since: seconds since 1970; metrics that were written later are this version's own, and not computed again.

    Raises:
        FolderError: a place holds no run.
    """
    runs = []
    for run in read_each(places, leave_out, since):
        with _left_out(leave_out):
            runs.append((run, _written(run.folder, since) or numbers_of(run).metrics))
    return runs


def _written(folder: Path, since: float | None) -> Metrics | None:
    return read_metrics(folder) if _is_since(folder, since) else None


def _is_since(folder: Path, since: float | None) -> bool:
    with contextlib.suppress(OSError):
        return since is not None and (folder / METRICS).stat().st_mtime > since
    return False


def compare_runs(runs: list[tuple[Run, Metrics]]) -> list[Comparison]:
    """Runs compared, with what would decide and with their headlines: one comparison of each workload that they had.

    Raises:
        ComparisonError: they cannot be compared.
    """
    return [told(comparison) for comparison in compare_questions(questions_of(runs))]


def told(comparison: Comparison) -> Comparison:
    """With what would decide, and with its headlines."""
    comparison = advise(comparison)
    for pairs in comparison.pairings:
        if (row := comparison.row(pairs.arm, comparison.primary)) is not None:
            row.sentence = headline(comparison, pairs)
            row.best = best(comparison) or None
    return comparison
