"""The end of a sweep: its arms compared, its runs on one page, its parent run in MLflow ended.

Nothing here costs the sweep its exit status: what goes wrong is a warning.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.plan.installed import missing
from experiments.tracking.companion import finish_sweep
from experiments.tracking.values import SWEEP_FILES
from record.files import find, one_line, read_manifest

if TYPE_CHECKING:
    from analysis.pages.html.of_runs import Reported

MAP_SCENARIO = "retry_storm_map"
"""Ends in a map instead of a comparison: each of its many arms is a point of it."""


def finish(folder: Path, status: int, *, is_whole: bool) -> None:
    """Compare, draw, log and say so.

    Args:
        folder: the sweep's.
        status: exit status of the sweep.
        is_whole: whether every job has ended; an interrupted sweep is not compared.
    """
    try:
        for name in SWEEP_FILES:  # of an earlier sweep into the same folder
            (folder / name).unlink(missing_ok=True)
        if is_whole:
            _report(folder)
    except (Exception, KeyboardInterrupt) as error:
        later = f"python -m analysis.compare {folder}"
        print(f"warning: the sweep is not compared ({one_line(error)}); later: {later}", file=sys.stderr)
    finish_sweep(folder, status)


def _report(folder: Path) -> None:
    """Comparison and page of the runs in `folder`; one arm alone is not compared."""
    if read_manifest(find([folder])[0])["scenario"] == MAP_SCENARIO:
        from analysis.comparison.gathering import read_each
        from analysis.storm_map import NAME, draw

        draw(list(read_each([folder])), folder / NAME)
        print(f"map: {folder / NAME}", flush=True)
        return
    from rich.console import Console

    from analysis.compare import TABLE_WIDTH, show, write
    from analysis.comparison.arms import ComparisonError
    from analysis.comparison.gathering import compare_runs, on_stderr, read_runs
    from analysis.pages.html.of_runs import Reported
    from analysis.pages.joint_page import draw_many
    from analysis.pages.rows import arrange

    unread: list[str] = []

    def leave_out(reason: str) -> None:
        on_stderr(reason)
        unread.append(reason)

    runs = read_runs([folder], leave_out)
    comparison, why_not = None, ""
    try:
        comparison = compare_runs(runs)
    except ComparisonError as error:
        why_not = str(error)
        print(f"not compared: {error}")
    else:
        write(comparison, folder)
        show(comparison, Console(width=max(Console().width, TABLE_WIDTH)))
        print(f"comparison: {folder / 'comparison.png'}; again: python -m analysis.compare {folder}")
    draw_many(arrange(runs), folder / "summary.png")
    print(f"all runs on one page: {folder / 'summary.png'}", flush=True)
    _write_page(Reported(runs, comparison, why_not, unread), folder)


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
