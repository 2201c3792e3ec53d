"""The tables that commands print and pages show: of a run, of several runs, of a comparison."""

from collections.abc import Sequence

from analysis.comparison.arms import by_values
from analysis.comparison.compared import BY_KEY
from analysis.comparison.comparison import Comparison
from analysis.comparison.notes import left_out, notes_of_all
from analysis.comparison.over_workloads import Cell, Overview, in_words, overview_of
from analysis.comparison.text import best, cells, headline
from analysis.comparison.values import told
from analysis.metrics.verdict import latency, percent, quantity, table_rows
from analysis.tables.export import Sheet
from analysis.tables.units import unit_of
from record.metrics import Metrics
from record.reading import Run
from record.shapes import Manifest

IDENTITY = ("folder", "scenario", "arm", "seed", "valid")
"""The first columns of a table of runs."""
NUMBERS = (
    "reference_value",
    "arm_value",
    "ratio",
    "difference",
    "low",
    "high",
    "n",
    "verdict",
    "is_certain",
    "is_primary",
    "estimand",
    "level",
    "p",
    "smallest_detectable",
    "pairs_needed",
)
"""Of a comparison's rows, what goes into CSV beside metric and arms; all of it stands in comparison.json."""
LABELS = {"seed", "valid", "invalid_reasons", "warnings"}
"""Metrics that a table of runs has in columns of its own, or in words."""


def short_list(manifest: Manifest, metrics: Metrics) -> Sheet:
    """A run in the numbers that tell most, as the command line shows them."""
    return Sheet("The run in numbers, outside warm-up", ("what", "value"), table_rows(manifest, metrics))


def metrics_list(metrics: Metrics) -> Sheet:
    """All of `metrics.json`, a row a key, with its unit."""
    rows = [(key, value, unit_of(key)) for key, value in metrics.items()]
    return Sheet("All metrics", ("metric", "value", "unit"), rows)


def runs_list(runs: Sequence[tuple[Run, Metrics]], labels: Sequence[str], what: str = "run") -> Sheet:
    """Several runs, a row each, in words; one that is not valid says why.

    Args:
        runs: with their metrics.
        labels: what each is called, of equal length.
        what: what the labels are.
    """
    columns = (what, "seed", "valid", "p50", "p99", "failed", "in the objective", "goodput", "replica-seconds")
    rows = [
        (
            label,
            run.manifest.get("seed"),
            "yes" if metrics["valid"] else f"no: {'; '.join(metrics['invalid_reasons'])}",
            latency(metrics, "p50"),
            latency(metrics, "p99"),
            percent(metrics["error_rate"]),
            percent(metrics["served_share"]),
            quantity(metrics["goodput_rps"], "requests/s"),
            quantity(metrics["replica_seconds"], "s", 0),
        )
        for label, (run, metrics) in zip(labels, runs, strict=True)
    ]
    return Sheet("Runs", columns, rows)


def numbers_list(runs: Sequence[tuple[Run, Metrics]], arms: Sequence[str]) -> Sheet:
    """Several runs, a row each, with every metric that is a number or true or false.

    Args:
        runs: with their metrics.
        arms: the arm of each, of equal length.
    """
    keys = dict.fromkeys(key for _, metrics in runs for key, value in metrics.items() if not isinstance(value, list))
    names = [key for key in keys if key not in LABELS and key != "schema_version"]
    rows = [
        (
            str(run.folder),
            run.manifest.get("scenario"),
            arm,
            run.manifest.get("seed"),
            metrics["valid"],
            *(metrics.get(key) for key in names),
        )
        for arm, (run, metrics) in zip(arms, runs, strict=True)
    ]
    return Sheet("Runs", (*IDENTITY, *names), rows)


def effects_list(comparison: Comparison, arm: str) -> Sheet:
    """The metrics of an arm against the reference, in words; where there are several workloads, under which."""
    pairs = next(pairs for pairs in comparison.pairings if pairs.arm == arm)
    columns = ("metric", "about", pairs.reference, pairs.arm, "effect [interval]", "verdict")
    return Sheet(
        titled(comparison, f"{pairs.arm} against {pairs.reference}"),
        columns,
        [cells(row, comparison) for row in comparison.rows if row.arm == arm],
    )


def titled(comparison: Comparison, title: str) -> str:
    """A title, behind the workload where there are several."""
    return f"{comparison.workload}: {title}" if comparison.workload else title


def effect_numbers_list(comparisons: Sequence[Comparison]) -> Sheet:
    """Every metric of every arm against the reference, in numbers; where there are several workloads, a column says
    which."""
    is_several = len(comparisons) > 1
    rows = [
        (
            *((row.workload,) if is_several else ()),
            row.metric, unit_of(row.metric), row.reference, row.arm, *(getattr(row, name) for name in NUMBERS),
        )
        for comparison in comparisons
        for row in comparison.rows
    ]  # fmt: skip
    columns = ("metric", "unit", "reference", "arm", *NUMBERS)
    return Sheet("Effects", ("workload", *columns) if is_several else columns, rows)


def overview_list(overview: Overview) -> Sheet:
    """Arms under workloads: what each came to, its rank, whether it is among the best; then the mean of the ranks."""
    names = by_values(overview.cells)
    key = next(iter(overview.cells)).partition("=")[0] if names else "arm"
    workloads = by_values(overview.workloads)
    columns = [key, *(workloads.get(name, name) for name in overview.workloads), "mean rank", "among best"]
    has_fronts = any(overview.times_on_front(arm) is not None for arm in overview.cells)
    columns += ["on front"] if has_fronts else []
    count = len(overview.workloads)
    rows = []
    for arm, under in overview.cells.items():
        mean = overview.mean_rank(arm)
        row = [names.get(arm, arm), *(in_cell(cell, overview.primary) for cell in under)]
        row += ["-" if mean is None else f"{mean:.1f}", f"{overview.times_best(arm)} of {count}"]
        if has_fronts:
            times = overview.times_on_front(arm)
            row.append("-" if times is None else f"{times} of {count}")
        rows.append(row)
    label = BY_KEY[overview.primary].label
    which = overview.workloads[0].partition("=")[0] if workloads else "workload"
    return Sheet(f"{label.capitalize()} under each {which} (rank; * among the best)", columns, rows)


def in_cell(cell: Cell | None, primary: str) -> str:
    """What an arm came to under a workload, its rank, and whether it is among the best."""
    if cell is None:
        return "not compared"
    value = "not identified" if cell.value is None else told(BY_KEY[primary], cell.value)
    return f"{value} ({cell.rank:g}){' *' if cell.is_best else ''}"


def sentences(comparisons: Sequence[Comparison]) -> list[str]:
    """What is said: what was left out, the headline of each arm, which are best, for each workload where there are
    several; then the arms over these, and the notes."""
    texts = []
    for comparison in comparisons:
        said = [text for pairs in comparison.pairings for text in (left_out(pairs), headline(comparison, pairs))]
        texts += [titled(comparison, text) for text in (*said, best(comparison)) if text]
    overview = overview_of(comparisons)
    texts += [] if overview is None else in_words(overview)
    return [*texts, *(f"note: {note}" for note in notes_of_all(comparisons))]
