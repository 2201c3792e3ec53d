"""For notebooks: a run, a sweep and a comparison as tables of pandas with units. `from analysis import load` is enough.

    run = load("results/runs/<time>-failover")
    run.requests, run.timeline, run.events, run.metrics
    runs = load_sweep("results/sweeps/<time>")
    compare("results/sweeps/<time>")

Every table has `attrs["units"]`, the unit of each column that has one. What columns mean: docs/results.md.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.comparison.arms import ComparisonError
from analysis.comparison.comparison import Comparison
from analysis.comparison.gathering import compare_runs, read_runs
from analysis.comparison.over_workloads import overview_of
from analysis.comparison.questions import questions_of
from analysis.metrics.measured import in_numbers
from analysis.metrics.verdict import verdict
from analysis.tables.export import text_of
from analysis.tables.lists import (
    effect_numbers_list,
    effects_list,
    metrics_list,
    numbers_list,
    overview_list,
    sentences,
)
from analysis.tables.units import units_of
from record.latency import latency_ms
from record.metrics import Metrics
from record.reading import Run
from record.shapes import Manifest

Place = str | Path


@dataclass(frozen=True)
class Loaded:
    """A run as tables. All times are seconds from the run's start; undefined is NaN or None, never 0."""

    folder: Path
    manifest: Manifest
    """Configuration, seed, code and machine."""
    verdict: str
    """The run in a sentence; of an invalid one why it shows nothing."""
    requests: pd.DataFrame
    """A row a request, warm-up included: `request_id, scheduled_s, sent_s, completed_s` (s), `status` (HTTP),
    `outcome` (ok, http_error, timeout, refused, reset, dropped), `replica, attempts, queue_s, service_s, router_s` (s),
    `phase` (warmup, steady, fault, recovery), and `latency_ms` = completed - scheduled (ms; of a request that was not
    served the time until that was clear: rank it behind all others)."""
    timeline: pd.DataFrame
    """A row a second: `second` (s), `offered_rps, achieved_rps, goodput_rps` (requests/s), `errors` (requests), 
    `p50_ms, p99_ms` (ms), `replicas_ready, replicas_desired, replicas_provisioned` (replicas), `router_in_flight`
    (requests), `cpu_*_cores` (cores)."""
    events: pd.DataFrame
    """A row an event: `t_s` (s), `source`, `event`, and what else it tells, a column each."""
    metrics: pd.DataFrame
    """All of `metrics.json`, by metric: `value` and `unit`."""

    def __repr__(self) -> str:
        """Folder and verdict."""
        return f"{self.folder}: {self.verdict}"


@dataclass(frozen=True)
class Compared:
    """A comparison as a table and in sentences."""

    table: pd.DataFrame
    """A row a metric and arm: `metric, unit, reference, arm, reference_value, arm_value` (in the metric's unit),
    `ratio` or `difference` with its interval `low, high`, `n` (pairs), `verdict`,
    `level` (the interval's error rate), ...; of several workloads `workload` before all of them."""
    sentences: list[str]
    """What was left out, the headline of each arm, which arms are best, and what a reader must know."""
    comparisons: list[Comparison]
    """All of it, one comparison of each workload."""

    def __repr__(self) -> str:
        """The sentences, a line each."""
        return "\n".join(self.sentences)

    def _repr_markdown_(self) -> str:
        """What a notebook shows: the tables as on the command line, and the sentences below."""
        sheets = [effects_list(each, pairs.arm) for each in self.comparisons for pairs in each.pairings]
        overview = overview_of(self.comparisons)
        sheets += [] if overview is None else [overview_list(overview)]
        return text_of(sheets, "md", self.sentences)


def load(folder: Place) -> Loaded:
    """A run's folder as tables, computed anew from its raw files.

    Args:
        folder: such as `results/runs/<time>-<scenario>`.

    Raises:
        FolderError: it is not a run's folder, or a file is damaged; one line.
    """
    run, timeline, metrics = in_numbers(Path(folder))
    requests = run.requests.assign(latency_ms=latency_ms(run.requests))
    events = pd.DataFrame(run.events) if run.events else pd.DataFrame(columns=["t_s", "source", "event"])
    sheet = metrics_list(metrics)
    numbers = pd.DataFrame(sheet.rows, columns=list(sheet.columns), dtype="object").set_index("metric")
    said = verdict(run.manifest, metrics)
    tables = (_with_units(requests), _with_units(timeline), _with_units(events), numbers)
    return Loaded(Path(folder), run.manifest, said, *tables)


def load_sweep(*folders: Place) -> pd.DataFrame:
    """The runs below the folders, a row each.

    Returns:
        Columns `folder, scenario, arm, seed, valid`, and every metric of docs/results.md that is a number (its unit in
        `attrs["units"]`). Invalid runs are there, too: `runs[runs.valid]`. One that cannot be read is left out, which
        is said on stderr.

    Raises:
        FolderError: a folder holds no run.
    """
    runs = read_runs([Path(folder) for folder in folders])
    sheet = numbers_list(runs, arms_of(runs))
    return _with_units(pd.DataFrame(sheet.rows, columns=list(sheet.columns)))


def compare(*folders: Place) -> Compared:
    """The arms of a sweep, or of several runs, compared as `python -m analysis.compare` does; nothing is written.

    Raises:
        FolderError: a folder holds no run.
        ComparisonError: the runs cannot be compared; one line.
    """
    comparisons = compare_runs(read_runs([Path(folder) for folder in folders]))
    sheet = effect_numbers_list(comparisons)
    return Compared(pd.DataFrame(sheet.rows, columns=list(sheet.columns)), sentences(comparisons), comparisons)


def arms_of(runs: list[tuple[Run, Metrics]]) -> list[str]:
    """The name of each run's arm; where they are no arms of a comparison, that of its scenario."""
    try:
        questions = questions_of(runs)
    except ComparisonError:
        return [str(run.manifest.get("scenario")) for run, _ in runs]
    names = {
        str(one.run.folder): f"{question.name}: {arm.label}" if question.name else arm.label
        for question in questions
        for arm in question.arms
        for members in arm.runs.values()
        for one in members
    }
    return [names[str(run.folder)] for run, _ in runs]


def _with_units(table: pd.DataFrame) -> pd.DataFrame:
    table.attrs["units"] = units_of([str(name) for name in table.columns])
    return table
