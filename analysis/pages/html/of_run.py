"""A run's page."""

from pathlib import Path

from analysis.metrics.counterfactual import lines, rows, sides
from analysis.metrics.measured import InNumbers
from analysis.metrics.verdict import verdict
from analysis.pages.html import distributions, timelines
from analysis.pages.html.document import Document, Section
from analysis.pages.html.provenance import commands, methods, protocol, settings, versions
from analysis.pages.rows import policy, scenario
from analysis.tables.export import Sheet
from analysis.tables.lists import metrics_list, short_list
from record.counterfactual import read
from record.metrics import Metrics
from record.reading import Run

MOST_EVENTS = 400
"""Events that the page lists; events.jsonl has them all."""


def describe(measured: InNumbers, places: list[Path], expected: Section | None = None) -> Document:
    """What the page says.

    Args:
        measured: the run in numbers.
        places: as typed, for the commands.
        expected: what was expected of it, and what became of that.

    Raises:
        FolderError: what was simulated beside it is damaged.
    """
    run, timeline, metrics = measured
    manifest = run.manifest
    faults = _faults(run)
    sections = [] if expected is None else [expected]
    sections += [
        Section("The run over time", charts=timelines.of_run(run, timeline)),
        *_handling(run, metrics),
        Section("Distribution of latency", charts=distributions.of_run(run)),
        Section("In numbers", sheets=[short_list(manifest, metrics)], folded=[metrics_list(metrics)]),
        Section("Faults and events", sheets=[faults] if faults.rows else [], folded=[_events(run)]),
        Section("What was left out", paragraphs=_left_out(measured)),
        Section("Protocol and versions", sheets=[protocol([run]), versions([run])], folded=[settings([run])]),
        Section("Methods", paragraphs=methods([run], [])),
        Section("To do it again", commands=commands([run], places, is_compared=False)),
    ]
    start = str(manifest.get("started_at") or "")[:16].replace("T", " ")
    about = [f"seed {manifest.get('seed')}", policy(run), f"run {manifest.get('run_id')}"]
    about += [f"{start} UTC"] if start else []
    return Document(
        title=scenario(run),
        subtitle=" · ".join(about),
        verdicts=[verdict(manifest, metrics)],
        is_valid=bool(metrics["valid"]),
        sections=sections,
        notes=[f"{text[:1].upper()}{text[1:]}." for text in metrics["warnings"]],
    )


def _handling(run: Run, metrics: Metrics) -> list[Section]:
    """The same run without the router's failure handling, where it was simulated."""
    simulated = read(run.folder, run.manifest)
    if simulated is None:
        return []
    columns = ("what", *(side.name for side in sides(simulated, metrics)))
    told = [f"{text[:1].upper()}{text[1:]}." for text in lines(simulated, metrics)]
    side_by_side = Sheet("Side by side", columns, rows(simulated, metrics))
    return [Section("What the failure handling bought", told, sheets=[side_by_side])]


def _faults(run: Run) -> Sheet:
    rows = [
        (fault.action, fault.target, f"{fault.landed_s:.2f} s", f"{fault.ends_s(run.end_s):.2f} s")
        for fault in run.faults
    ]
    return Sheet("Faults that landed", ("action", "target", "from", "to"), rows)


def _events(run: Run) -> Sheet:
    rows = [
        (
            f"{event['t_s']:.3f}",
            event.get("source"),
            event.get("event"),
            ", ".join(f"{key} {value}" for key, value in event.items() if key not in ("t_s", "source", "event")),
        )
        for event in sorted(run.events, key=lambda event: event["t_s"])[:MOST_EVENTS]
    ]
    cut = len(run.events) - len(rows)
    title = f"Events ({len(rows):,} of {len(run.events):,}; events.jsonl has them all)" if cut else "Events"
    return Sheet(title, ("seconds", "source", "event", "about"), rows)


def _left_out(measured: InNumbers) -> list[str]:
    run, _, metrics = measured
    count = len(run.requests) - len(run.measured)
    texts = [f"{count:,} requests of the warm-up, the first {run.warmup_s:g} s, are in the charts and in no number."]
    if not metrics["valid"]:
        texts.append(f"The run is invalid and enters no comparison: {'; '.join(metrics['invalid_reasons'])}.")
    return texts if count or len(texts) > 1 else texts[1:] or ["Nothing."]
