"""Writes a run, a sweep or a comparison as one HTML file: `python -m analysis.report results/...`.

The file needs no network and nothing beside it: it can be mailed, archived and printed. Exit status: 0 it was written;
2 there is nothing to report on, or what it is made with is not installed.
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis.comparison.arms import ComparisonError
from analysis.comparison.comparison import Comparison
from analysis.comparison.gathering import compare_runs, on_stderr, read_each, read_runs
from analysis.comparison.maps import MAPS
from analysis.comparison.questions import questions_of
from analysis.expectations.grammar import ExpectationError, parse_all
from analysis.expectations.judging import Outcome, hold, hold_runs
from analysis.expectations.report import outcomes_list, reasons
from analysis.metrics.measured import InNumbers, in_numbers
from analysis.metrics.storm import MapError
from analysis.pages.html import document, of_map, of_run, of_runs
from analysis.pages.html.document import Section
from analysis.pages.html.of_runs import Reported, Runs
from record.files import FolderError, find, read_manifest, told_of
from record.reading import Run

REFUSED = 2
NAME = "report.html"


def reported(runs: Runs, comparisons: Sequence[Comparison], why_not: str, unread: list[str]) -> Reported:
    """What a page of several runs is about, with what became of what they all expected.

    Args:
        runs: with their metrics.
        comparisons: of their arms, one of each workload; empty = there is none.
        why_not: then, why.
        unread: a line for each folder that cannot be read.
    """
    return Reported(runs, comparisons, why_not, unread, _of_all(runs, comparisons, len(unread)))


def _of_all(runs: Runs, comparisons: Sequence[Comparison], unread: int) -> Section | None:
    asked = {tuple(run.manifest["config"].get("expect") or ()) for run, _ in runs}
    if len(asked) != 1:
        return _section([], "The runs do not all expect the same: see the `expectations.json` of each.")
    try:
        return _section(hold(parse_all(list(asked.pop())), questions_of(runs), comparisons, unread))
    except (ComparisonError, ExpectationError) as error:
        return _section([], f"What was expected cannot be judged: {error}.")


def _of_one(measured: InNumbers) -> Section | None:
    """None of a sweep's run: its arm is judged as a whole."""
    manifest = measured.run.manifest
    if manifest.get("sweep_dir"):
        return None
    try:
        expected = parse_all(manifest["config"].get("expect") or [])
    except ExpectationError as error:
        return _section([], f"What was expected cannot be judged: {error}.")
    return _section(hold_runs(expected, str(manifest.get("scenario")), [measured.metrics]))


def _section(outcomes: list[Outcome], instead: str = "") -> Section | None:
    if not outcomes and not instead:
        return None
    if not outcomes:
        return Section("What was expected", [instead])
    *whys, summed_up = reasons(outcomes)
    sheet = replace(outcomes_list(outcomes), title="Each of them")
    return Section("What was expected", [summed_up, *whys], sheets=[sheet])


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


def write_map(runs: list[Run], path: Path, places: list[Path], unread: list[str]) -> None:
    """Write the page of a map.

    Args:
        runs: its points.
        path: the file.
        places: the folders, as the page's commands name them.
        unread: a line for each folder that cannot be read.

    Raises:
        MapError: the runs make no map.
        ReportError: what the page is made with is not installed.
        OSError: the file cannot be written.
    """
    document.write(of_map.describe(runs, places, unread), path)


def report(places: list[Path], path: Path) -> None:
    """Write the page of all runs below the places: of one run, or of several and their comparison.

    Raises:
        FolderError: there is no run, or the only one is damaged.
        MapError: what should be a map is none.
        ReportError: what the page is made with is not installed.
        OSError: the file cannot be written.
    """
    if reason := document.missing():
        raise document.ReportError(reason)
    if len(folders := find(places)) == 1:
        measured = in_numbers(folders[0])
        with told_of(folders[0]):
            described = of_run.describe(measured, places, _of_one(measured))
        document.write(described, path)
        return
    unread: list[str] = []

    def leave_out(reason: str) -> None:
        on_stderr(reason)
        unread.append(reason)

    if _first(folders) in MAPS:
        write_map(list(read_each(places, leave_out)), path, places, unread)
        return
    if not (runs := read_runs(places, leave_out)):
        raise FolderError(f"{places[0]}: no run below it can be read")
    comparisons: list[Comparison] = []
    why_not = ""
    try:
        comparisons = compare_runs(runs)
    except ComparisonError as error:
        why_not = str(error)
    write_runs(reported(runs, comparisons, why_not, unread), path, places)


def _first(folders: list[Path]) -> str | None:
    """The scenario of the first run that can be read."""
    for folder in folders:
        with contextlib.suppress(FolderError):
            return read_manifest(folder).get("scenario")
    return None


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
    except (FolderError, MapError, OSError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    print(f"report: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
