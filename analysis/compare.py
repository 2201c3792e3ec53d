"""Compares arms: `python -m analysis.compare results/sweeps/<time>`.

Runs are sorted into arms by their configurations and paired by seed; the arm named first is the reference. Writes
comparison.json and comparison.png beside the runs. Exit status: 0 an answer was given; 2 the runs cannot be compared.
"""

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.comparison.arms import ComparisonError
from analysis.comparison.comparison import Comparison
from analysis.comparison.gathering import compare_runs, read_runs
from analysis.comparison.notes import left_out, notes
from analysis.comparison.text import best, headline
from analysis.tables.export import FORMATS, Format, text_of
from analysis.tables.lists import effect_numbers_list, effects_list, sentences
from record.files import FolderError, write_text

REFUSED = 2
TABLE_WIDTH = 150
"""Columns that the table may take; a terminal that has fewer wraps its lines."""


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
        sheet = effects_list(comparison, pairs.arm)
        for name in sheet.columns:
            table.add_column(escape(name))
        for row in sheet.rows:
            table.add_row(*(escape(str(cell)) for cell in row))
        console.print(table)
        for text in (left_out(pairs), headline(comparison, pairs)):
            if text:
                console.print(text, highlight=False, markup=False, soft_wrap=True)
    for text in (best(comparison), *(f"note: {note}" for note in notes(comparison))):
        if text:
            console.print(text, highlight=False, markup=False, soft_wrap=True)


def formatted(comparison: Comparison, form: Format) -> str:
    """The comparison as text: in Markdown what `show` prints, in CSV its numbers, a row a metric and arm."""
    if form == "csv":
        return text_of([effect_numbers_list(comparison)], form)
    sheets = [effects_list(comparison, pairs.arm) for pairs in comparison.pairings]
    return text_of(sheets, form, sentences(comparison))


def main(arguments: list[str] | None = None) -> int:
    """Compare what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m analysis.compare", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("places", nargs="+", type=Path, metavar="DIR", help="a sweep's folder, or several runs")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write (default: the first DIR)")
    parser.add_argument("--format", choices=FORMATS, help="print Markdown, or numbers as CSV (default: for a terminal)")
    chosen = parser.parse_args(arguments)
    folder = chosen.output or chosen.places[0]
    try:
        comparison = compare_runs(read_runs(chosen.places))
        folder.mkdir(parents=True, exist_ok=True)
        write(comparison, folder)
    except (FolderError, ComparisonError, OSError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    if chosen.format:
        print(formatted(comparison, chosen.format), end="")
    else:
        show(comparison, Console(width=max(Console().width, TABLE_WIDTH)))
    written = f"written: {folder / 'comparison.json'}, {folder / 'comparison.png'}"
    print(written, file=sys.stderr if chosen.format else sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
