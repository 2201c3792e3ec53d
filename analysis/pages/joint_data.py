"""The numbers of several runs in files: all of them, and for `dvc metrics show` and `dvc plots show` a file a row."""

import csv
import io
import re
from dataclasses import asdict
from typing import Any

from analysis.metrics.table import DIGITS
from analysis.pages import intervals
from analysis.pages.rows import Entry, Row
from record.latency import QUANTILES
from record.metrics import value_of

MEANS = {
    "p50_ms": "latency_p50_ms",
    "p99_ms": "latency_p99_ms",
    "failed": "error_rate",
    "good_rps": "goodput_rps",
}
"""Short, so that all of them stand side by side in 80 columns."""


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


def means(entries: list[Entry]) -> dict[str, float | int | None]:
    """What `dvc metrics show` has room for: means over a row's valid runs, four digits; None where there is none."""
    together = intervals.of_runs(entries)
    shown = {key: _rounded(together[source].mean) for key, source in MEANS.items()}
    return {"valid": sum(entry.is_valid for entry in entries), **shown}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def quantile_table(entries: list[Entry]) -> str:
    """CSV `run, valid, quantile, latency_ms` of a row: a line a run and defined quantile (0.5 to 0.999)."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("run", "valid", "quantile", "latency_ms"))
    for entry in entries:
        for name, share in QUANTILES.items():
            value = value_of(entry.metrics, f"latency_{name}_ms")
            if value is not None:
                lines.writerow((entry.name, str(entry.is_valid).lower(), share, value))
    return text.getvalue()


def file_name(title: str) -> str:
    """The name of a row's file, without ending."""
    return re.sub(r"[^\w.-]+", "-", title)
