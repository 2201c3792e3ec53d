"""Compares arms: `python -m analysis.compare results/sweeps/<time>`.

Runs are sorted into arms by their configurations and paired by seed; the arm named first is the reference, or with
--baseline each arm's counterpart there. Writes comparison.json and comparison.png beside the runs. Exit status: 0 an
answer was given; 2 the runs cannot be compared; 4 what was expected of them is not met.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.baselines.against import against
from analysis.baselines.keeping import PLACE, BaselineError, load
from analysis.comparison.advice import advise
from analysis.comparison.arms import ComparisonError, arms_of, sort_into_arms
from analysis.comparison.comparison import Comparison, compare
from analysis.comparison.notes import left_out, notes
from analysis.comparison.text import best, cells, headline
from analysis.expectations.grammar import ExpectationError, parse_all
from analysis.expectations.judging import hold
from analysis.expectations.report import show as show_outcomes
from analysis.expectations.report import write as write_outcomes
from analysis.metrics.measured import numbers_of
from record.files import FolderError, find, write_text
from record.metrics import Metrics
from record.reading import Run, read
from record.schema import EXPECTATIONS, JUNIT

REFUSED, UNMET = 2, 4
TABLE_WIDTH = 150
"""Columns that the table may take; a terminal that has fewer wraps its lines."""


def read_each(places: list[Path]) -> Iterator[Run]:
    """Every run below `places`, in order; one that cannot be read is said and left out.

    Raises:
        FolderError: a place holds no run.
    """
    for folder in find(places):
        with _left_out():
            run = read(folder)
            if run.manifest.get("mode") != "ui":
                yield run


@contextlib.contextmanager
def _left_out() -> Iterator[None]:
    try:
        yield
    except (FolderError, OSError) as error:
        print(f"left out: {error}", file=sys.stderr)


def read_runs(places: list[Path]) -> list[tuple[Run, Metrics]]:
    """Every run below `places` with its metrics, as `read_each` finds them.

    Raises:
        FolderError: a place holds no run.
    """
    runs = []
    for run in read_each(places):
        with _left_out():
            runs.append((run, numbers_of(run).metrics))
    return runs


def compare_runs(runs: list[tuple[Run, Metrics]]) -> Comparison:
    """Runs compared, with what would decide and with their headlines.

    Raises:
        ComparisonError: they cannot be compared.
    """
    return told(compare(sort_into_arms(runs)))


def told(comparison: Comparison) -> Comparison:
    """With what would decide, and with its headlines."""
    comparison = advise(comparison)
    for pairs in comparison.pairings:
        if (row := comparison.row(pairs.arm, comparison.primary)) is not None:
            row.sentence = headline(comparison, pairs)
    return comparison


def write(comparison: Comparison, folder: Path) -> None:
    """`comparison.json` and `comparison.png` into `folder`."""
    from analysis.pages.comparison_page import draw_comparison

    rows = [row.as_dict() for row in comparison.rows]
    write_text(folder / "comparison.json", json.dumps(rows, indent=2, allow_nan=False) + "\n")
    draw_comparison(comparison, folder / "comparison.png")


def show(comparison: Comparison, console: Console) -> None:
    """Print a table an arm, the verdict on each, which arms are best, and what a reader must know."""
    for pairs in comparison.pairings:
        table = Table(box=None, pad_edge=False)
        for name in ("metric", "about", pairs.reference, pairs.arm, "effect [interval]", "verdict"):
            table.add_column(name)
        for row in comparison.rows:
            if row.arm == pairs.arm:
                table.add_row(*(escape(cell) for cell in cells(row, comparison)))
        console.print(table)
        for text in (left_out(pairs), headline(comparison, pairs)):
            if text:
                console.print(text, highlight=False, markup=False, soft_wrap=True)
    for text in (best(comparison), *(f"note: {note}" for note in notes(comparison))):
        if text:
            console.print(text, highlight=False, markup=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> int:
    """Compare what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m analysis.compare", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("places", nargs="+", type=Path, metavar="DIR", help="a sweep's folder, or several runs")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write (default: the first DIR)")
    parser.add_argument(
        "--baseline", metavar="NAME", help="compare with runs kept by `python -m analysis.baseline save`"
    )
    parser.add_argument("--baselines", type=Path, default=PLACE, metavar="DIR", help=f"where those are ({PLACE}/)")
    parser.add_argument(
        "--expect", action="append", default=[], metavar="LIST", help="'[latency_p99_ms < 300]': exit status 4 if not"
    )
    chosen = parser.parse_args(arguments)
    folder = chosen.output or chosen.places[0] / (f"baseline-{chosen.baseline}" if chosen.baseline else "")
    console = Console(width=max(Console().width, TABLE_WIDTH))
    try:
        expected = parse_all(chosen.expect)
        runs = read_runs(chosen.places)
        if chosen.baseline is None:
            arms = arms_of(runs) if expected else sort_into_arms(runs)
            comparison = compare_runs(runs) if len(arms) > 1 else None
        else:
            kept = load(chosen.baseline, chosen.baselines)
            found = against(kept.name, read_runs([kept.folder]), runs)
            arms, comparison = found.arms, told(found.comparison)
            for warning in found.warnings:
                print(f"warning: {warning}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        if comparison is not None:
            write(comparison, folder)
        outcomes = hold(expected, arms, comparison) if expected else []
        if outcomes:
            write_outcomes(outcomes, [run.manifest for run, _ in runs], folder)
    except (FolderError, ComparisonError, BaselineError, ExpectationError, OSError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    written = [folder / name for name in (("comparison.json", "comparison.png") if comparison is not None else ())]
    if comparison is not None:
        show(comparison, console)
    if outcomes:
        show_outcomes(outcomes, console)
        written += [folder / name for name in (EXPECTATIONS, JUNIT)]
    print(f"written: {', '.join(map(str, written))}")
    return 0 if all(outcome.is_met for outcome in outcomes) else UNMET


if __name__ == "__main__":
    sys.exit(main())
