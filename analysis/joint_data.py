"""The numbers of several runs in one file each: for `dvc metrics show` and `dvc plots show`."""

import csv
import io
from typing import Any

from analysis.metrics import QUANTILES
from analysis.rows import Row


def metrics_table(rows: list[Row]) -> dict[str, Any]:
    """The metrics by scenario (and policy) and run, sorted; lists left out, as DVC compares numbers."""
    return {
        title: {
            entry.label: {key: value for key, value in sorted(entry.metrics.items()) if not isinstance(value, list)}
            for entry in sorted(entries, key=lambda entry: entry.label)
        }
        for title, entries in sorted(rows)
    }


def quantile_table(rows: list[Row]) -> str:
    """CSV `scenario, run, valid, quantile, latency_ms`: a line a run and defined quantile (0.5 to 0.999)."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("scenario", "run", "valid", "quantile", "latency_ms"))
    for title, entries in rows:
        for entry in entries:
            for name, share in QUANTILES.items():
                value = entry.metrics[f"latency_{name}_ms"]
                if value is not None:
                    lines.writerow((title, entry.label, str(entry.is_valid).lower(), share, value))
    return text.getvalue()
