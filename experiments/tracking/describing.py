"""What a sweep was, from its folder, as MLflow shows it of the parent run. Knows nothing of MLflow."""

from dataclasses import dataclass
from pathlib import Path

from analysis.comparison.comparison import Row
from analysis.tables.export import Sheet, text_of
from experiments.tracking.naming import arm
from experiments.tracking.values import REPORT, parameters
from record.files import FolderError, find, read_manifest, read_metrics

APART = ("seed", "tracking", "summary")
"""Sections in which runs of one arm may differ: no parameters of a sweep, which may go on with more seeds."""
MOST_REASONS = 5


@dataclass(frozen=True)
class About:
    """What is known of a sweep's runs."""

    folder: Path
    params: dict[str, str]
    """The configuration that its runs share; where they differ, each value once."""
    tags: dict[str, str]
    """The columns of the list of runs: arm, seed, valid."""
    runs: int
    valid: int
    invalid: list[str]
    """Reasons, a line a run."""
    status: str
    """MLflow's: the worst of how its runs ended; an invalid run is none that failed."""


def about(sweep_dir: Path) -> About:
    """What the folders of its runs say; of those that can be read."""
    arms: dict[str, None] = {}
    seeds: dict[str, None] = {}
    values: dict[str, dict[str, None]] = {}
    reasons: list[str] = []
    ends: list[str] = []
    valid = 0
    for folder in _folders(sweep_dir):
        try:
            manifest, metrics = read_manifest(folder), read_metrics(folder)
        except FolderError:
            continue
        name, seed = arm(manifest), str(manifest["seed"])
        arms[name] = seeds[seed] = None
        ends.append(manifest["exit_reason"])
        for key, text in parameters(manifest["config"]).items():
            if key.split(".")[0] not in APART:
                values.setdefault(key, {})[text] = None
        valid += metrics.get("valid") is True
        if metrics.get("valid") is False:
            reasons.append(f"{name}, seed={seed}: {'; '.join(metrics['invalid_reasons'])}")
    tags = {"arm": " | ".join(arms), "seed": ", ".join(seeds), "valid": f"{valid} of {len(ends)}"}
    status = "FAILED" if "failed" in ends else "KILLED" if set(ends) - {"complete"} else "FINISHED"
    params = {key: " | ".join(texts) for key, texts in values.items()}
    return About(sweep_dir, params, tags if ends else {}, len(ends), valid, reasons, status)


def _folders(sweep_dir: Path) -> list[Path]:
    try:
        return find([sweep_dir])
    except FolderError:
        return []


def describe(known: About, rows: list[Row] | None, verdict: str | None) -> str:
    """The verdict, the comparison as a table an arm, and what was left out, in Markdown."""
    blocks = [f"**{verdict}**"] if verdict else ["Not compared."]
    told = [f"{known.valid} of {known.runs} runs are valid; seeds {known.tags.get('seed', 'unknown')}."]
    told += [f"Invalid: {reason}" for reason in known.invalid[:MOST_REASONS]]
    if len(known.invalid) > MOST_REASONS:
        told.append(f"and {len(known.invalid) - MOST_REASONS} more that are invalid")
    arms = dict.fromkeys((row.workload, row.arm) for row in rows or [])
    blocks.append(text_of([_sheet(*each, rows or []) for each in arms], "md", told))
    if (known.folder / REPORT).is_file():
        blocks.append(f"Report, also among the artifacts: `{known.folder / REPORT}`")
    blocks.append(f"Again: `python -m analysis.compare {known.folder}`")
    return "\n\n".join(blocks)


def _sheet(workload: str | None, arm: str, rows: list[Row]) -> Sheet:
    """An arm's metrics, the primary one first."""
    own = [row for row in rows if (row.workload, row.arm) == (workload, arm)]
    own.sort(key=lambda row: not row.is_primary)
    reference = own[0].reference
    cells = [
        (
            f"{row.metric}{' (primary)' if row.is_primary else ''}",
            _number(row.reference_value),
            _number(row.arm_value),
            _effect(row),
            row.verdict,
        )
        for row in own
    ]
    title = f"{arm} against {reference}" if workload is None else f"{workload}: {arm} against {reference}"
    return Sheet(title, ("metric", reference, arm, "effect [interval]", "verdict"), cells)


def _effect(row: Row) -> str | None:
    value = row.difference if row.ratio is None else row.ratio
    if value is None:
        return None
    sign = "x " if row.difference is None else ""
    return f"{sign}{_number(value)} [{_number(row.low)}, {_number(row.high)}]"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.4g}"
