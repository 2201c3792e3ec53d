"""Locust's history (`--csv NAME` writes `NAME_stats_history.csv`): rates, and quantiles of the whole run; no requests.

`Total Request Count` of the rows called Aggregated grows from row to row. Of durations the median of the whole run is
taken; the percentiles beside it are those of ten seconds with `--csv-full-history`:
https://docs.locust.io/en/stable/retrieving-stats.html
"""

import csv
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from experiments.importing.curve import Curve
from experiments.importing.errors import UnusableLog
from experiments.importing.source import Head, Source

COUNT, FAILURES = "Total Request Count", "Total Failure Count"
ALL = "Aggregated"
MEDIAN = "Total Median Response Time"
NEEDED = ("Timestamp", "Name", COUNT, FAILURES)


class Locust:
    """A row a second."""

    name: ClassVar[str] = "locust"
    about: ClassVar[str] = "stats_history.csv: rates, no requests"

    def sniff(self, head: Head) -> float:
        """Whether the first line names its columns."""
        first = head.text.split(b"\n", 1)[0]
        return float(all(name.encode() in first for name in NEEDED))

    def read(self, source: Source) -> Iterator[Curve]:
        """One curve."""
        header: list[str] = []
        entries = broken = 0
        times: list[float] = []
        counts: list[tuple[float, float, float]] = []
        for lines in source.blocks():
            for text in lines.text.to_pylist():
                try:
                    row = next(csv.reader([text.decode("utf-8", "replace").strip("\r\n")]), [])
                except csv.Error:
                    broken += 1
                    continue
                if not row or row == header:
                    continue
                if not header:
                    header = row
                    continue
                entries += 1
                told = dict(zip(header, row, strict=False))
                if told.get("Name") != ALL:
                    broken += "Name" not in told
                    continue
                try:
                    moment = float(told["Timestamp"])
                    count, failures = float(told[COUNT]), float(told[FAILURES])
                    median = told.get(MEDIAN, "")
                    counts.append((count, failures, float(median) / 1e3 if median not in ("", "N/A") else np.nan))
                except (KeyError, ValueError):
                    broken += 1
                    continue
                times.append(moment)
        yield _curve(np.array(times), np.array(counts), entries, broken)


def _curve(times: np.ndarray, counts: np.ndarray, entries: int, broken: int) -> Curve:
    moments, last = np.unique(times[::-1], return_index=True) if len(times) else (times, np.empty(0, int))
    if len(moments) < 2:
        raise UnusableLog(f"fewer than two moments of rows called {ALL}: no rate; run Locust for longer with --csv")
    table = counts[len(times) - 1 - last]
    increases = np.diff(table[:, 0])
    increases = np.where(increases < 0, table[1:, 0], increases)  # its statistics were reset
    total, failures, median = table[-1]
    return Curve(
        moments[1:],
        increases / np.diff(moments),
        {"p50": float(median)} if np.isfinite(median) else {},
        float(failures / total) if total > 0 else None,
        entries,
        broken,
        ["durations are Locust's own, in whole milliseconds and of the whole run; p90 and p99 are in NAME_stats.csv"],
    )
