"""The end of a sweep: arms compared and held against `expect`, runs on one page, the parent run in MLflow ended.

First it is judged, then drawn. What goes wrong in judging is a warning, and costs the sweep its exit status where
something was expected of it; a picture or page that fails is a warning and nothing more.
"""

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.comparison.maps import MAPS
from analysis.expectations.grammar import parse_all
from experiments.plan.installed import missing
from experiments.runner.exit_status import ExitStatus
from experiments.runner.supervision import Interrupted, status_of
from experiments.tracking.companion import finish_sweep
from experiments.tracking.values import sweep_files
from record.files import FolderError, find, one_line, read_manifest

if TYPE_CHECKING:  # a wrong configuration must answer at once
    from rich.console import Console

    from analysis.comparison.comparison import Comparison
    from record.metrics import Metrics
    from record.reading import Run
    from record.shapes import Manifest


def finish(folder: Path, status: int, *, is_whole: bool, since: float | None = None) -> int:
    """Compare, hold against what is expected, draw, log and say so; return the sweep's exit status.

    Args:
        folder: the sweep's.
        status: exit status of its jobs.
        is_whole: whether every job has ended; an interrupted sweep is not compared.
        since: when its first job was begun, seconds since 1970; runs that have ended since then have their metrics.
    """
    try:
        for path in sweep_files(folder):  # of an earlier sweep into the same folder
            path.unlink(missing_ok=True)
        if is_whole:
            status = _finish(folder, status, since)
    except (KeyboardInterrupt, Interrupted) as error:
        print(f"interrupted: not all of the sweep's end is there; later: {_later(folder)}", file=sys.stderr)
        status = status_of(error)
    try:
        finish_sweep(folder, status)
    except (KeyboardInterrupt, Interrupted) as error:
        later = f"python -m experiments.tracking {folder}"
        print(f"interrupted: not all of the sweep is logged; later: {later}", file=sys.stderr)
        status = status_of(error)
    return status


def _finish(folder: Path, status: int, since: float | None) -> int:
    """Judge, then draw; the sweep's exit status."""
    first = _first_manifest(folder)
    expected = list(first["config"].get("expect") or []) if first is not None else []
    judged: _Judged | None = None
    try:
        judged = _judge(folder, first, expected, since)
        is_met = judged.is_met
    except Exception as error:
        print(f"warning: the sweep is not compared ({one_line(error)}); later: {_later(folder)}", file=sys.stderr)
        is_met = not expected  # a gate that was not looked at does not stand open
    if judged is not None:
        try:
            _draw(folder, judged, since)
        except Exception as error:
            print(f"warning: not all is drawn ({one_line(error)}); later: {_later(folder)}", file=sys.stderr)
    return status if is_met else ExitStatus.of_all([status, ExitStatus.UNMET])


def _later(folder: Path) -> str:
    return f"python -m analysis.compare {folder}"


def _first_manifest(folder: Path) -> "Manifest | None":
    """The first one that can be read. What is expected, and of which scenario, each run's says the same of."""
    with contextlib.suppress(FolderError):
        for one in find([folder]):
            with contextlib.suppress(FolderError):
                return read_manifest(one)
    return None


@dataclass(frozen=True)
class _Judged:
    """What is known of a sweep before anything is drawn."""

    runs: "list[tuple[Run, Metrics]]"
    comparisons: "list[Comparison]"
    """One of each workload."""
    why_not: str
    """Why there is none."""
    unread: list[str]
    """Why a folder cannot be read, a line each."""
    is_met: bool
    """Whether all that is expected is met."""
    is_map: bool


def _judge(folder: Path, first: "Manifest | None", expected: list[str], since: float | None) -> _Judged:
    """Comparison, and table of what was expected. One arm is not compared, nor are the points of a map."""
    unread: list[str] = []
    is_map = first is not None and first["scenario"] in MAPS
    if is_map and not expected:  # of its many runs nothing else is computed, and nothing imported for it
        return _Judged([], [], "", unread, True, is_map)
    from analysis.compare import for_tables
    from analysis.comparison.gathering import on_stderr, read_runs

    def leave_out(reason: str) -> None:
        on_stderr(reason)
        unread.append(reason)

    console = for_tables()
    runs = read_runs([folder], leave_out, since)
    comparisons, why_not = ([], "") if is_map else _compare(folder, runs, console)
    is_met = not expected or _is_met(folder, expected, runs, comparisons, len(unread), console)
    return _Judged(runs, comparisons, why_not, unread, is_met, is_map)


def _draw(folder: Path, judged: _Judged, since: float | None) -> None:
    """Picture of the comparison, page of the runs, and report; or the map."""
    if judged.is_map:
        from analysis.comparison.gathering import read_each
        from analysis.report import write_map
        from analysis.storm_map import NAME, draw

        runs = list(read_each([folder], since=since))
        draw(runs, folder / NAME)
        print(f"map: {folder / NAME}", flush=True)
        _write_page(folder, lambda path: write_map(runs, path, [folder], []))
        return
    from analysis.compare import draw as draw_comparison
    from analysis.pages.joint_page import draw_many
    from analysis.pages.rows import arrange
    from analysis.report import reported, write_runs

    if judged.comparisons:
        names = draw_comparison(judged.comparisons, folder)
        print(f"comparison: {', '.join(str(folder / name) for name in names)}; again: {_later(folder)}")
    draw_many(arrange(judged.runs), folder / "summary.png")
    print(f"all runs on one page: {folder / 'summary.png'}", flush=True)
    of_all = reported(judged.runs, judged.comparisons, judged.why_not, judged.unread)
    _write_page(folder, lambda path: write_runs(of_all, path, [folder]))


def _compare(folder: Path, runs: "list[tuple[Run, Metrics]]", console: "Console") -> "tuple[list[Comparison], str]":
    """The comparison of each workload, or why there is none."""
    from analysis.compare import show, write
    from analysis.comparison.arms import ComparisonError
    from analysis.comparison.gathering import compare_runs

    try:
        comparisons = compare_runs(runs)
    except ComparisonError as error:
        print(f"not compared: {error}")
        return [], str(error)
    write(comparisons, folder)
    show(comparisons, console)
    return comparisons, ""


def _write_page(folder: Path, write: Callable[[Path], None]) -> None:
    """The same as one HTML file; where it fails, only that is missing."""
    from analysis.report import NAME

    if (reason := missing("report")) is not None:
        print(f"no HTML report: {reason}", flush=True)
        return
    try:
        write(folder / NAME)
    except Exception as error:
        later = f"python -m analysis.report {folder}"
        print(f"warning: the report is not written ({one_line(error)}); later: {later}", file=sys.stderr)
        return
    print(f"report: {folder / NAME}", flush=True)


def _is_met(
    folder: Path,
    expected: list[str],
    runs: "list[tuple[Run, Metrics]]",
    comparisons: "list[Comparison]",
    unread: int,
    console: "Console",
) -> bool:
    from analysis.comparison.questions import questions_of
    from analysis.expectations.judging import hold
    from analysis.expectations.report import show, write

    outcomes = hold(parse_all(expected), questions_of(runs), comparisons, unread)
    show(outcomes, console)
    write(outcomes, [run.manifest for run, _ in runs], folder)
    return all(outcome.is_met for outcome in outcomes)
