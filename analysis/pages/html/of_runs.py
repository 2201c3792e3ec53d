"""The page of several runs: a comparison of their arms, where they can be compared, and every run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.comparison import over_workloads
from analysis.comparison.compared import BY_KEY, FAILED
from analysis.comparison.comparison import Comparison
from analysis.comparison.front import front_of
from analysis.comparison.notes import left_out, notes_of_all
from analysis.comparison.over_workloads import overview_of
from analysis.comparison.text import best, effect, headline, verdict_words
from analysis.pages.comparison_page import names_of
from analysis.pages.html import distributions, effects, fronts, timelines
from analysis.pages.html.document import Document, Section
from analysis.pages.html.provenance import commands, methods, protocol, settings, versions
from analysis.pages.rows import Row, arrange
from analysis.tables.export import Sheet
from analysis.tables.fronts import front_list, in_words
from analysis.tables.lists import effects_list, overview_list, runs_list, titled
from analysis.tables.loading import arms_of as arms_by_run
from record.metrics import Metrics
from record.reading import Run

MOST_CURVES = 12
"""Runs of a scenario whose curves are drawn, where there are no arms."""
MOST_ARMS = 10
"""Arms that are drawn over each other; tables have them all."""
UNFOLDED_ARMS = 3
"""Of more, each arm's tables are behind a line that opens them."""

Runs = list[tuple[Run, Metrics]]


@dataclass(frozen=True)
class Reported:
    """What the page is about."""

    runs: Runs
    """With their metrics, in order."""
    comparisons: Sequence[Comparison]
    """Of their arms, one of each workload; empty = they cannot be compared."""
    why_not: str
    """Then, why, a few words."""
    unread: Sequence[str]
    """A line for each folder that cannot be read."""
    expected: Section | None = None
    """What was expected of them, and what became of it."""


def describe(reported: Reported, places: list[Path]) -> Document:
    """What the page says.

    Args:
        reported: what it is about.
        places: as typed, for the commands.
    """
    runs, comparisons = reported.runs, reported.comparisons
    only = [run for run, _ in runs]
    rows = arrange(runs)
    verdicts = _verdicts(comparisons) if comparisons else [f"Not compared: {reported.why_not}."]
    sections = [] if reported.expected is None else [reported.expected]
    sections += _over_workloads(comparisons)
    sections += [section for comparison in comparisons for section in _of_arms(comparison)]
    sections += [] if comparisons else _of_rows(rows)
    sections += [
        Section("Every run", sheets=_every_run(runs, rows, comparisons), is_for_screens=True),
        Section("What was left out", paragraphs=_left_out(runs, comparisons, reported.unread)),
        Section("Protocol and versions", sheets=[protocol(only), versions(only)], folded=[settings(only)]),
        Section("Methods", paragraphs=methods(only, comparisons)),
        Section("To do it again", commands=commands(only, places, is_compared=bool(comparisons))),
    ]
    valid = sum(bool(metrics["valid"]) for _, metrics in runs)
    names = " and ".join(dict.fromkeys(str(run.manifest.get("scenario")) for run in only))
    starts = [str(run.manifest.get("started_at") or "")[:16].replace("T", " ") for run in only]
    counted = f"{len(runs)} runs, {valid} valid"
    return Document(
        title=f"{names}: {'comparison' if comparisons else 'runs'}",
        subtitle=" · ".join(part for part in (counted, f"{min(starts)} UTC" if min(starts) else "") if part),
        verdicts=verdicts,
        is_valid=valid > 0,
        sections=sections,
        notes=notes_of_all(comparisons) if comparisons else [],
    )


def _verdicts(comparisons: Sequence[Comparison]) -> list[str]:
    """Which arms are best, of three and more, and the headline of each; of many the headlines stand further down."""
    texts = []
    for comparison in comparisons:
        headlines = [headline(comparison, pairs) for pairs in comparison.pairings]
        said = [best(comparison), *(headlines if len(headlines) <= UNFOLDED_ARMS else [])]
        texts += [titled(comparison, text) for text in said if text]
    return texts


def _over_workloads(comparisons: Sequence[Comparison]) -> list[Section]:
    """The arms under each of several workloads, first of all."""
    overview = overview_of(comparisons)
    if overview is None:
        return []
    return [Section("Over all workloads", over_workloads.in_words(overview), sheets=[overview_list(overview)])]


def _of_arms(comparison: Comparison) -> list[Section]:
    names, arms = names_of(comparison), comparison.arms
    shown = {label: runs for label, runs in list(arms.items())[:MOST_ARMS] if runs}
    told = []
    if len(arms) > MOST_ARMS:
        told.append(f"Drawn over each other are the first {MOST_ARMS} of {len(arms)} arms; the tables have all.")
    latencies = {
        names[label]: np.concatenate([one.run.latencies for one in runs]) for label, runs in shown.items()
    }
    overview = effects.of_primary(comparison, names) if len(comparison.pairings) > 1 else []
    front = front_of(arms)
    sections = [] if front is None else [
        Section(
            titled(comparison, "Cost and broken promises"),
            in_words(front), [fronts.of_front(front)], [front_list(front)],
        )
    ]
    sections += [
        Section(titled(comparison, "Arms over each other"), told, [
            *overview, *effects.of_runs(comparison, names), *distributions.of_many(latencies),
        ], [_arms(comparison, names)]),
        Section(titled(comparison, "Over time"), charts=timelines.of_arms(shown, names)),
    ]  # fmt: skip
    for pairs in comparison.pairings:
        sheet = effects_list(comparison, pairs.arm)
        sections.append(
            Section(
                sheet.title,
                [headline(comparison, pairs)] if len(comparison.pairings) > UNFOLDED_ARMS else [],
                charts=effects.of_metrics(comparison, pairs.arm),
                sheets=[sheet],
                is_folded=len(comparison.pairings) > UNFOLDED_ARMS,
            )
        )
    return sections


def _arms(comparison: Comparison, names: dict[str, str]) -> Sheet:
    """Each arm with its effect on the primary metric and on lost requests."""
    keys = list(dict.fromkeys((comparison.primary, FAILED)))
    is_short = any(name != arm for arm, name in names.items())
    columns = ["in charts", "arm"] if is_short else ["arm"]
    columns += [text for key in keys for text in (f"{BY_KEY[key].label} [interval]", "verdict")]
    reference = comparison.pairings[0].reference
    rows = [[*([names[reference]] if is_short else []), reference, *("reference", "") * len(keys)]]
    for pairs in comparison.pairings:
        cells = [*([names[pairs.arm]] if is_short else []), pairs.arm]
        for key in keys:
            row = comparison.row(pairs.arm, key)
            cells += ["no pair", ""] if row is None else [effect(row), verdict_words(row, comparison)]
        rows.append(cells)
    return Sheet("Arms", columns, rows)


def _of_rows(rows: list[Row]) -> list[Section]:
    sections = []
    for title, entries in rows:
        drawn = {entry.label: entry.run.latencies for entry in entries[:MOST_CURVES]}
        about = [f"Drawn are the first {MOST_CURVES} of {len(entries)} runs."] if len(entries) > MOST_CURVES else []
        sections.append(Section(title, about, distributions.of_many(drawn)))
    return sections


def _every_run(runs: Runs, rows: list[Row], comparisons: Sequence[Comparison]) -> list[Sheet]:
    """A table of all with their arms; where there are none, a table a scenario."""
    if comparisons:
        return [runs_list(runs, arms_by_run(runs), "arm")]
    sheets = []
    for title, entries in rows:
        sheet = runs_list([(entry.run, entry.metrics) for entry in entries], [entry.label for entry in entries])
        sheets.append(Sheet(title, sheet.columns, sheet.rows))
    return sheets


def _left_out(runs: Runs, comparisons: Sequence[Comparison], unread: Sequence[str]) -> list[str]:
    texts = [f"Cannot be read: {text}" for text in unread]
    for comparison in comparisons:
        said = ((pairs, left_out(pairs)) for pairs in comparison.pairings)
        about = ((f"{pairs.arm} against {pairs.reference}", text) for pairs, text in said if text)
        texts += [f"{titled(comparison, which)}: {text}" for which, text in about]
    texts += [
        f"Invalid: {run.folder} ({'; '.join(metrics['invalid_reasons'])})"
        for run, metrics in runs
        if not metrics["valid"]
    ]
    return texts or ["Nothing but the requests of the warm-up, which are in no number."]
