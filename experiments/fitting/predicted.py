"""Ratios of p99 that a what-if has predicted, beside those of live runs: how often an interval holds, and a ranking."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.distributions.shares import clopper_pearson
from analysis.fitting.inversion import Floats
from experiments.fitting.reading import of_run
from experiments.fitting.supposing import METRICS, Span
from record.latency import quantile
from record.parquet import read_frame
from record.schema import REQUESTS

P99 = list(METRICS).index("p99")
"""The column of `supposing.played`."""


@dataclass(frozen=True)
class Predicted:
    """One pair."""

    what: str
    live: float
    """p99 over p99 of two live runs that were asked the same."""
    span: Span
    """Where it would lie."""

    @property
    def holds(self) -> bool:
        """Whether the interval holds the live ratio."""
        return self.span.low <= self.live <= self.span.high

    @property
    def is_decided(self) -> bool:
        """Whether it says which of the two is better."""
        return not self.span.low <= 1 <= self.span.high

    @property
    def is_right(self) -> bool:
        """Whether it says so, and so it was."""
        return self.is_decided and (self.live < 1) == (self.span.value < 1)


def live_p99_ms(folder: Path) -> float:
    """The p99 of a run's requests as its clients saw them, from sending on, ms; those that failed rank last.

    Raises:
        OSError, ValueError: there are none.
    """
    requests = of_run(read_frame(folder / REQUESTS))
    lasted_ms: Floats = np.where(requests["status"] < 400, requests["taken_s"] * 1e3, np.inf)
    return quantile(lasted_ms, METRICS["p99"])


def said(span: Span, digits: int) -> str:
    """A value with its interval."""
    return f"{span.value:.{digits}f} ({span.low:.{digits}f} to {span.high:.{digits}f})"


def table(pairs: Sequence[Predicted]) -> list[str]:
    """Markdown: a pair a row, then how many were right."""
    lines = ["| pair | p99 over p99, live | predicted | holds | decided |", "|---|---|---|---|---|"]
    for each in pairs:
        decided = ("right" if each.is_right else "wrong") if each.is_decided else "-"
        holds = "yes" if each.holds else "no"
        lines.append(f"| {each.what} | {each.live:.2f} | {said(each.span, 2)} | {holds} | {decided} |")
    held, right = sum(each.holds for each in pairs), sum(each.is_right for each in pairs)
    ranked = sum(each.is_decided for each in pairs)
    return [
        *lines,
        "",
        f"The interval holds the live ratio for {held} of {len(pairs)} pairs{_share(held, len(pairs))}; "
        f"{right} of {ranked} decided rankings are right{_share(right, ranked)}.",
    ]


def _share(count: int, of: int) -> str:
    low, high = clopper_pearson(count, of)
    return f" (95 % interval of the share {low:.2f} to {high:.2f})" if of else ""
