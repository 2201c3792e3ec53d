"""The end of a sweep: arms compared and held against `expect`, runs on one page, the parent run in MLflow ended.

What goes wrong here is a warning and costs the sweep its exit status only where something was expected of it.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.expectations.grammar import parse_all
from experiments.plan.installed import missing
from experiments.runner.exit_status import ExitStatus
from experiments.tracking.companion import finish_sweep
from experiments.tracking.values import SWEEP_FILES
from record.files import FolderError, find, one_line, read_manifest

if TYPE_CHECKING:  # a wrong configuration must answer at once
    from rich.console import Console

    from analysis.comparison.comparison import Comparison
    from analysis.pages.html.of_runs import Reported
    from record.metrics import Metrics
    from record.reading import Run

MAP_SCENARIO = "retry_storm_map"
"""Ends in a map instead of a comparison: each of its many arms is a point of it."""


def finish(folder: Path, status: int, *, is_whole: bool) -> int:
    """Compare, hold against what is expected, draw, log and say so; return the sweep's exit status.

    Args:
        folder: the sweep's.
        status: exit status of its jobs.
        is_whole: whether every job has ended; an interrupted sweep is not compared.
    """
    expected = _expected(folder)
    is_met = True
    try:
        for name in SWEEP_FILES:  # of an earlier sweep into the same folder
            (folder / name).unlink(missing_ok=True)
        if is_whole:
            is_met = _report(folder, expected)
    except (Exception, KeyboardInterrupt) as error:
        later = f"python -m analysis.compare {folder}"
        print(f"warning: the sweep is not compared ({one_line(error)}); later: {later}", file=sys.stderr)
        is_met = not expected  # a gate that was not looked at does not stand open
    if is_whole and not is_met:
        status = ExitStatus.of_all([status, ExitStatus.UNMET])
    finish_sweep(folder, status)
    return status


def _expected(folder: Path) -> list[str]:
    """What is expected of its arms, of which each run's manifest says the same."""
    try:
        return list(read_manifest(find([folder])[0])["config"].get("expect") or [])
    except FolderError:
        return []


def _report(folder: Path, expected: list[str]) -> bool:
    """Comparison, table of what was expected, and page of the runs; whether all is met. One arm is not compared."""
    from rich.console import Console

    from analysis.compare import TABLE_WIDTH
    from analysis.comparison.gathering import on_stderr, read_runs

    console = Console(width=max(Console().width, TABLE_WIDTH))
    if read_manifest(find([folder])[0])["scenario"] == MAP_SCENARIO:
        from analysis.comparison.gathering import read_each
        from analysis.storm_map import NAME, draw

        draw(list(read_each([folder])), folder / NAME)
        print(f"map: {folder / NAME}", flush=True)
        return not expected or _is_met(folder, expected, read_runs([folder]), None, console)
    from analysis.pages.html.of_runs import Reported
    from analysis.pages.joint_page import draw_many
    from analysis.pages.rows import arrange

    unread: list[str] = []

    def leave_out(reason: str) -> None:
        on_stderr(reason)
        unread.append(reason)

    runs = read_runs([folder], leave_out)
    comparison, why_not = _compare(folder, runs, console)
    is_met = not expected or _is_met(folder, expected, runs, comparison, console)
    draw_many(arrange(runs), folder / "summary.png")
    print(f"all runs on one page: {folder / 'summary.png'}", flush=True)
    _write_page(Reported(runs, comparison, why_not, unread), folder)
    return is_met


def _compare(folder: Path, runs: "list[tuple[Run, Metrics]]", console: "Console") -> "tuple[Comparison | None, str]":
    """The comparison, or why there is none."""
    from analysis.compare import show, write
    from analysis.comparison.arms import ComparisonError
    from analysis.comparison.gathering import compare_runs

    try:
        comparison = compare_runs(runs)
    except ComparisonError as error:
        print(f"not compared: {error}")
        return None, str(error)
    write(comparison, folder)
    show(comparison, console)
    print(f"comparison: {folder / 'comparison.png'}; again: python -m analysis.compare {folder}")
    return comparison, ""


def _write_page(reported: "Reported", folder: Path) -> None:
    """The same as one HTML file, where what it is made with is there; where it fails, only that is missing."""
    if (reason := missing("report")) is not None:
        print(f"no HTML report: {reason}", flush=True)
        return
    from analysis.report import NAME, write_runs

    try:
        write_runs(reported, folder / NAME, [folder])
    except Exception as error:
        later = f"python -m analysis.report {folder}"
        print(f"warning: the report is not written ({one_line(error)}); later: {later}", file=sys.stderr)
        return
    print(f"report: {folder / NAME}", flush=True)


def _is_met(
    folder: Path,
    expected: list[str],
    runs: "list[tuple[Run, Metrics]]",
    comparison: "Comparison | None",
    console: "Console",
) -> bool:
    from analysis.comparison.arms import arms_of
    from analysis.expectations.judging import hold
    from analysis.expectations.report import show, write

    outcomes = hold(parse_all(expected), arms_of(runs), comparison)
    show(outcomes, console)
    write(outcomes, [run.manifest for run, _ in runs], folder)
    return all(outcome.is_met for outcome in outcomes)
