"""The numbers of several runs in one file each: for `dvc metrics show` and `dvc plots show`."""

import csv
import io
from dataclasses import asdict
from typing import Any

from analysis.metrics.table import DIGITS
from analysis.pages import intervals
from analysis.pages.rows import Entry, Row
from record.latency import QUANTILES
from record.metrics import value_of


def metrics_table(rows: list[Row]) -> dict[str, Any]:
    """The metrics by scenario (and policy) and run, sorted; lists left out, as DVC compares numbers.

    Beside the runs of a scenario stand `intervals`, what its valid runs say together.
    """
    return {
        title: {
            entry.name: {key: value for key, value in sorted(entry.metrics.items()) if not isinstance(value, list)}
            for entry in sorted(entries, key=lambda entry: entry.name)
        }
        | {"intervals": _intervals(entries)}
        for title, entries in sorted(rows, key=lambda row: row[0])
    }


def _intervals(entries: list[Entry]) -> dict[str, dict[str, float | None]]:
    return {
        key: {name: value if value is None else round(value, DIGITS) for name, value in asdict(interval).items()}
        for key, interval in intervals.of_runs(entries).items()
    }


def quantile_table(rows: list[Row]) -> str:
    """CSV `scenario, run, valid, quantile, latency_ms`: a line a run and defined quantile (0.5 to 0.999)."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("scenario", "run", "valid", "quantile", "latency_ms"))
    for title, entries in rows:
        for entry in entries:
            for name, share in QUANTILES.items():
                value = value_of(entry.metrics, f"latency_{name}_ms")
                if value is not None:
                    lines.writerow((title, entry.name, str(entry.is_valid).lower(), share, value))
    return text.getvalue()
