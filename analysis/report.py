"""Writes a run, a sweep or a comparison as one HTML file: `python -m analysis.report results/...`.

The file needs no network and nothing beside it: it can be mailed, archived and printed. Exit status: 0 it was written;
2 there is nothing to report on, or what it is made with is not installed.
"""

import argparse
import sys
from pathlib import Path

from analysis.comparison.arms import ComparisonError
from analysis.comparison.gathering import compare_runs, on_stderr, read_runs
from analysis.metrics.measured import in_numbers
from analysis.pages.html import document, of_run, of_runs
from analysis.pages.html.of_runs import Reported
from record.files import FolderError, find, told_of

REFUSED = 2
NAME = "report.html"


def write_runs(reported: Reported, path: Path, places: list[Path]) -> None:
    """Write the page of several runs.

    Args:
        reported: they, and their comparison.
        path: the file.
        places: the folders, as the page's commands name them.

    Raises:
        ReportError: what the page is made with is not installed.
        OSError: the file cannot be written.
    """
    document.write(of_runs.describe(reported, places), path)


def report(places: list[Path], path: Path) -> None:
    """Write the page of all runs below the places: of one run, or of several and their comparison.

    Raises:
        FolderError: there is no run, or the only one is damaged.
        ReportError: what the page is made with is not installed.
        OSError: the file cannot be written.
    """
    if reason := document.missing():
        raise document.ReportError(reason)
    if len(folders := find(places)) == 1:
        measured = in_numbers(folders[0])
        with told_of(folders[0]):
            described = of_run.describe(measured, places)
        document.write(described, path)
        return
    unread: list[str] = []

    def leave_out(reason: str) -> None:
        on_stderr(reason)
        unread.append(reason)

    if not (runs := read_runs(places, leave_out)):
        raise FolderError(f"{places[0]}: no run below it can be read")
    comparison, why_not = None, ""
    try:
        comparison = compare_runs(runs)
    except ComparisonError as error:
        why_not = str(error)
    write_runs(Reported(runs, comparison, why_not, unread), path, places)


def main(arguments: list[str] | None = None) -> int:
    """Report on what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("places", nargs="+", type=Path, metavar="DIR", help="a run's folder, a sweep's, or several")
    parser.add_argument("--output", type=Path, metavar="HTML", help=f"the file (default: {NAME} in the first DIR)")
    chosen = parser.parse_args(arguments)
    path = chosen.output or chosen.places[0] / NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        report(chosen.places, path)
    except document.ReportError as error:
        print(f"analysis.report {error}", file=sys.stderr)
        return REFUSED
    except (FolderError, OSError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    print(f"report: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
