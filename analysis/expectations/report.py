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


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """A line each, with what was measured; the reasons below, and how many are met."""
    arms = list(dict.fromkeys(outcome.arm for outcome in outcomes))
    table = Table(box=None, pad_edge=False)
    for name in ("", "expected", *(["of"] if len(arms) > 1 else []), "measured"):
        table.add_column(name)
    for outcome in outcomes:
        of = [outcome.arm] if len(arms) > 1 else []
        table.add_row(*map(escape, (outcome.outcome, outcome.expectation, *of, measured(outcome) or "-")))
    console.print(table)
    for outcome in outcomes:
        if outcome.reason:
            whose = f" ({outcome.arm})" if len(arms) > 1 else ""
            line = f"{outcome.outcome}: {outcome.expectation}{whose}: {outcome.reason}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(summed_up(outcomes), highlight=False, markup=False, soft_wrap=True)


def summed_up(outcomes: Sequence[Outcome]) -> str:
    """How many are met, and of the others how many are not and how many cannot be said."""
    counts = {word: sum(outcome.outcome == word for outcome in outcomes) for word in ("not met", "cannot be said")}
    rest = [f"{count} {word}" for word, count in counts.items() if count]
    met = len(outcomes) - sum(counts.values())
    return f"EXPECTED: {met} of {len(outcomes)} met{''.join(f', {each}' for each in rest)}."
