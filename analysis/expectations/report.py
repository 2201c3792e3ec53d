"""What was met: printed as a table, written as `expectations.json` and `junit.xml`."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.expectations.judging import Outcome
from analysis.expectations.junit import junit
from analysis.expectations.words import measured
from analysis.tables.export import Sheet
from record.files import write_json, write_text
from record.schema import EXPECTATIONS, JUNIT
from record.shapes import Manifest


def write(outcomes: Sequence[Outcome], manifests: Iterable[Manifest], folder: Path) -> None:
    """Both files into `folder`.

    Args:
        outcomes: of one command.
        manifests: of the runs that were judged; at least one.
        folder: the run's or the sweep's.
    """
    known = list(manifests)
    ends = [datetime.fromisoformat(end).astimezone(UTC) for manifest in known if (end := manifest.get("ended_at"))]
    write_json(folder / EXPECTATIONS, [asdict(outcome) for outcome in outcomes])
    write_text(folder / JUNIT, junit(outcomes, str(known[0].get("scenario")), max(ends, default=None)))


def outcomes_list(outcomes: Sequence[Outcome]) -> Sheet:
    """What was met, a row each; whose it is only where there are several arms."""
    has_arms = len({outcome.arm for outcome in outcomes}) > 1
    columns = ("outcome", "expected", *(["of"] if has_arms else []), "measured")
    rows = [
        (outcome.outcome, outcome.expectation, *([outcome.arm] if has_arms else []), measured(outcome) or "-")
        for outcome in outcomes
    ]
    return Sheet("What was expected", columns, rows)


def reasons(outcomes: Sequence[Outcome]) -> list[str]:
    """Why what is not met is not, and what a value leaves out; last, how many are met."""
    has_arms = len({outcome.arm for outcome in outcomes}) > 1
    alike: dict[tuple[str, str, str], list[str]] = {}
    for outcome in outcomes:
        if outcome.reason:
            alike.setdefault((outcome.outcome, outcome.arm, outcome.reason), []).append(outcome.expectation)
    told = [
        f"{word}: {', '.join(expectations)}{f' ({arm})' if has_arms else ''}: {reason}"
        for (word, arm, reason), expectations in alike.items()
    ]
    return [*told, summed_up(outcomes)]


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """A line each, with what was measured; the reasons below, and how many are met."""
    table, sheet = Table(box=None, pad_edge=False), outcomes_list(outcomes)
    for name in sheet.columns:
        table.add_column(escape(name))
    for row in sheet.rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console.print(table)
    for line in reasons(outcomes):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def summed_up(outcomes: Sequence[Outcome]) -> str:
    """How many are met, and of the others how many are not and how many cannot be said."""
    counts = {word: sum(outcome.outcome == word for outcome in outcomes) for word in ("not met", "cannot be said")}
    rest = [f"{count} {word}" for word, count in counts.items() if count]
    met = len(outcomes) - sum(counts.values())
    return f"EXPECTED: {met} of {len(outcomes)} met{''.join(f', {each}' for each in rest)}."
