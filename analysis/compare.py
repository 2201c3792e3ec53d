"""Compares arms: `python -m analysis.compare results/sweeps/<time>`.

Runs are sorted into arms by their configurations and paired by seed; the arm named first is the reference, or with
--baseline each arm's counterpart there. Arms that were asked something else, as those of another workload, are another
comparison. Writes comparison.json and comparison.png beside the runs, of several workloads also a picture of each. Exit
status: 0 an answer was given; 2 the runs cannot be compared; 4 what was expected of them is not met.
"""

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.baselines.against import against
from analysis.baselines.keeping import PLACE, BaselineError, load
from analysis.comparison import over_workloads
from analysis.comparison.arms import ComparisonError
from analysis.comparison.comparison import Comparison
from analysis.comparison.front import front_of
from analysis.comparison.gathering import LeaveOut, compare_runs, on_stderr, read_runs, told
from analysis.comparison.notes import left_out, notes_of_all
from analysis.comparison.over_workloads import overview_of
from analysis.comparison.questions import Question, questions_of
from analysis.comparison.text import best, headline
from analysis.expectations.grammar import ExpectationError, parse_all
from analysis.expectations.judging import Outcome, hold
from analysis.expectations.report import outcomes_list, reasons
from analysis.expectations.report import show as show_outcomes
from analysis.expectations.report import write as write_outcomes
from analysis.tables.export import FORMATS, Format, Sheet, text_of
from analysis.tables.fronts import front_list, in_words
from analysis.tables.lists import effect_numbers_list, effects_list, overview_list, sentences, titled
from record.files import FolderError, write_text
from record.metrics import Metrics
from record.reading import Run
from record.schema import EXPECTATIONS, JUNIT, MANIFEST

REFUSED, UNMET = 2, 4
NUMBERS, DRAWN, DRAWN_EACH = "comparison.json", "comparison.png", "comparison-{}.png"
LONGEST_NAME = 80
"""Characters of a workload's name in that of a file."""
OF_A_RUN = "expected"
"""In a run's folder, for what becomes of --expect: beside it lies what became of what the run itself expected."""
TABLE_WIDTH, NARROWEST = 100, 80
"""Columns of the tables where the output is no terminal, and that a terminal is taken to have at least."""
LABEL_WIDTH, VERDICT_WIDTH = 17, 14
"""Columns of a metric's name and of a verdict, which are folded beyond."""
SHORT = {" percentage points": " pp", " requests/s": "/s", "these runs": "runs"}
"""What is said in fewer letters where it has to fit a terminal."""


def write(comparisons: Sequence[Comparison], folder: Path) -> None:
    """`comparison.json` into `folder`."""
    rows = [row.as_dict() for comparison in comparisons for row in comparison.rows]
    write_text(folder / NUMBERS, json.dumps(rows, indent=2, allow_nan=False) + "\n")


def draw(comparisons: Sequence[Comparison], folder: Path) -> list[str]:
    """`comparison.png` into `folder`, of several workloads what they have in common, and a picture of each beside it;
    the files' names.
    """
    from analysis.pages.comparison_page import draw_comparison

    if len(comparisons) == 1:
        draw_comparison(comparisons[0], folder / DRAWN)
        return [DRAWN]
    from analysis.pages.workloads_page import draw_workloads

    draw_workloads(comparisons, folder / DRAWN)
    names = files_of([comparison.workload for comparison in comparisons])
    for comparison, name in zip(comparisons, names, strict=True):
        draw_comparison(comparison, folder / name)
    return [DRAWN, *names]


def files_of(workloads: Sequence[str]) -> list[str]:
    """The name of the picture of each of several workloads."""
    names: list[str] = []
    for workload in workloads:
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", workload.removeprefix("workload="))[:LONGEST_NAME].strip("-.")
        name = DRAWN_EACH.format(slug or "workload")
        names.append(DRAWN_EACH.format(f"{slug}-{len(names) + 1}") if name in names else name)
    return names


def for_tables() -> Console:
    """A console as wide as the terminal, in which cells are folded, not cut."""
    terminal = Console()
    return Console(width=max(terminal.width, NARROWEST if terminal.is_terminal else TABLE_WIDTH))


def _table(sheet: Sheet, width: int) -> Table:
    """Effects in fewer letters, so that a line of the table is a line of the terminal."""
    table = Table(box=None, pad_edge=False, collapse_padding=width < TABLE_WIDTH)
    metric, about, *arms, effect, verdict = sheet.columns
    rows = [[_short(str(cell)) for cell in row] for row in sheet.rows]
    if any(" pp" in cell for row in rows for cell in row):
        effect += "\npp: percentage points"
    for name in (metric, about, *(arm.replace("=", "=\n").replace(", ", ",\n") for arm in arms), effect, "", verdict):
        table.add_column(escape(name), overflow="fold")
    table.columns[0].min_width = max((len(word) for row in rows for word in row[0].split()), default=0)
    for label, about, *values, verdict_basis, verdict in rows:
        level = re.search(r" (\S+ %)$", verdict_basis)
        cells = [verdict_basis, ""] if level is None else [verdict_basis[: level.start()], level[1]]
        folded = textwrap.fill(label, LABEL_WIDTH), textwrap.fill(verdict, VERDICT_WIDTH)
        table.add_row(*map(escape, (folded[0], about, *values, *cells, folded[1])))
    return table


def _plain(sheet: Sheet) -> Table:
    """A table whose cells are folded where they have to be."""
    table = Table(box=None, pad_edge=False)
    for name in sheet.columns:
        table.add_column(escape(name), overflow="fold")
    for row in sheet.rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    return table


def _short(text: str) -> str:
    for words, short in SHORT.items():
        text = text.replace(words, short)
    return text


def show(comparisons: Sequence[Comparison], console: Console) -> None:
    """Print a table an arm, the verdict on each and which arms are best, workload by workload where there are several;
    then the arms over these, and what a reader must know.
    """
    for comparison in comparisons:
        if comparison.workload:
            console.print(f"\n[bold]{escape(comparison.workload)}[/bold]\n", highlight=False)
        _show(comparison, console)
    overview = overview_of(comparisons)
    if overview is not None:
        sheet = overview_list(overview)
        console.print(f"\n[bold]{escape(sheet.title)}[/bold]\n", highlight=False)
        console.print(_plain(sheet))
    said = [] if overview is None else over_workloads.in_words(overview)
    _say((*said, *(f"note: {note}" for note in notes_of_all(comparisons))), console)


def _show(comparison: Comparison, console: Console) -> None:
    for pairs in comparison.pairings:
        console.print(_table(effects_list(comparison, pairs.arm), console.width))
        _say((left_out(pairs), headline(comparison, pairs)), console)
    front = front_of(comparison.arms)
    if front is not None:
        console.print(_plain(front_list(front)))
    _say((best(comparison), *([] if front is None else in_words(front))), console)


def _say(texts: Iterable[str], console: Console) -> None:
    for text in texts:
        if text:
            console.print(text, highlight=False, markup=False, soft_wrap=True)


def formatted(comparisons: Sequence[Comparison], outcomes: list[Outcome], form: Format) -> str:
    """All as text: in Markdown what is printed else; in CSV the numbers of the comparisons, a row a metric and arm, and
    of what was expected only where nothing is compared.
    """
    if form == "csv":
        return text_of([effect_numbers_list(comparisons) if comparisons else outcomes_list(outcomes)], form)
    sheets = [effects_list(comparison, pairs.arm) for comparison in comparisons for pairs in comparison.pairings]
    said = sentences(comparisons) if comparisons else []
    for comparison in comparisons:
        if (front := front_of(comparison.arms)) is not None:
            sheet = front_list(front)
            sheets.append(replace(sheet, title=titled(comparison, sheet.title)))
            said += [titled(comparison, text) for text in in_words(front)]
    if (overview := overview_of(comparisons)) is not None:
        sheets.append(overview_list(overview))
    if outcomes:
        sheets.append(outcomes_list(outcomes))
        said = [*said, *reasons(outcomes)]
    return text_of(sheets, form, said)


def _place(chosen: argparse.Namespace) -> Path:
    """Where to write: without what an earlier command left there, which would pass for the answer to this one.

    Raises:
        ComparisonError: there lies a run's own `expectations.json`.
        OSError: it cannot be taken away.
    """
    folder: Path = chosen.output or chosen.places[0]
    if chosen.output is None and chosen.baseline:
        folder = folder / f"baseline-{chosen.baseline}"
    elif chosen.expect and (folder / MANIFEST).exists():
        if chosen.output is not None:
            raise ComparisonError(f"--output={folder}: is a run's folder, which has its own {JUNIT}; choose another")
        folder = folder / OF_A_RUN
    stale = [NUMBERS, DRAWN, *(path.name for path in folder.glob(DRAWN_EACH.format("*")))]
    if not (folder / MANIFEST).exists() and (folder / EXPECTATIONS).exists():  # a JUnit file alone is another tool's
        stale += [JUNIT, EXPECTATIONS]
    for name in stale if folder.is_dir() else ():
        (folder / name).unlink(missing_ok=True)
    return folder


def _gathered(
    runs: list[tuple[Run, Metrics]], chosen: argparse.Namespace, leave_out: LeaveOut
) -> tuple[list[Question], list[Comparison]]:
    """The arms that something is expected of, and their comparisons; none where one arm is only held against that."""
    if chosen.baseline is None:
        questions = questions_of(runs)
        is_alone = all(len(question.arms) < 2 for question in questions)
        return questions, [] if is_alone and chosen.expect else compare_runs(runs)
    kept = load(chosen.baseline, chosen.baselines)
    held = against(kept.name, read_runs([kept.folder], leave_out), runs)
    for warning in held.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return [Question("", held.arms)], [told(held.comparison)]


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m analysis.compare", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("places", nargs="+", type=Path, metavar="DIR", help="a sweep's folder, or several runs")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where to write (default: the first DIR; with --expect in that of a run: DIR/expected/)",
    )
    parser.add_argument("--format", choices=FORMATS, help="print Markdown, or numbers as CSV (default: for a terminal)")
    parser.add_argument("--baseline", metavar="NAME", help="compare with what `python -m analysis.baseline save` kept")
    parser.add_argument("--baselines", type=Path, default=PLACE, metavar="DIR", help=f"where that is ({PLACE}/)")
    parser.add_argument(
        "--expect", action="append", default=[], metavar="LIST", help="'[latency_p99_ms < 300]': exit status 4 if not"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Compare what the command line names; return the exit status."""
    chosen = _arguments(arguments)
    unread: list[str] = []

    def leave_out(reason: str) -> None:
        on_stderr(reason)
        unread.append(reason)

    try:
        folder = _place(chosen)
        expected = parse_all(chosen.expect)
        runs = read_runs(chosen.places, leave_out)
        questions, comparisons = _gathered(runs, chosen, leave_out)
        folder.mkdir(parents=True, exist_ok=True)
        names: list[str] = []
        outcomes = hold(expected, questions, comparisons, len(unread))
        if outcomes:
            write_outcomes(outcomes, [run.manifest for run, _ in runs], folder)
            names += [EXPECTATIONS, JUNIT]
        if comparisons:
            write(comparisons, folder)
            names += [NUMBERS, *draw(comparisons, folder)]
    except (FolderError, ComparisonError, BaselineError, ExpectationError, OSError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    if chosen.format:
        print(formatted(comparisons, outcomes, chosen.format), end="")
    else:
        console = for_tables()
        if comparisons:
            show(comparisons, console)
        if outcomes:
            show_outcomes(outcomes, console)
    written = f"written: {', '.join(str(folder / name) for name in names)}"
    print(written, file=sys.stderr if chosen.format else sys.stdout)
    return 0 if all(outcome.is_met for outcome in outcomes) else UNMET


if __name__ == "__main__":
    sys.exit(main())
