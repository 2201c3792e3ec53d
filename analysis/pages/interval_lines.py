"""The lines below a row's runs: what its valid runs say together, as means with intervals."""

import numpy as np
from matplotlib.axes import Axes

from analysis.comparison.statistics import Interval
from analysis.comparison.text import TOO_WIDE, says_nothing
from analysis.metrics.verdict import percent
from analysis.pages import intervals
from analysis.pages.rows import Entry
from analysis.pages.style import BLUE, INK, ORANGE, RED

MEANING = (
    "Below a row's runs: the mean of its n valid runs (of latencies the geometric one) with its 95 % interval "
    "(Student's t; few runs give a wide one). An arrow: the interval goes on."
)
MARKS = (("p50", BLUE, "o"), ("p99", ORANGE, "^"))
"""Quantiles that are drawn, of runs and of their means."""
RUNS_A_LINE = 12
"""With more runs, whose own lines are thinner, a mean takes the room of several."""


def are_below(entries: list[Entry]) -> bool:
    """Whether a row has them: where several runs were meant, also to say that too few are valid."""
    return len(entries) > 1


def ticks(entries: list[Entry]) -> tuple[dict[float, str], float]:
    """Name by position on the axis of runs, and where that axis ends."""
    if not are_below(entries):
        return {}, len(entries) - 0.4
    together, positions = intervals.of_runs(entries), _positions(entries)
    names = (f"{name} of n = {together[f'latency_{name}_ms'].n}" for name, _, _ in MARKS)
    return dict(zip(positions, names, strict=True)), positions[-1] + 0.5 * _line(entries)


def draw_latencies(axes: Axes, entries: list[Entry]) -> None:
    """p50 and p99, each in a line of its own, so that wide intervals do not cover each other."""
    if not are_below(entries):
        return
    together = intervals.of_runs(entries)
    left, right = axes.get_xlim()
    for position, (name, colour, marker) in zip(_positions(entries), MARKS, strict=True):
        interval = together[f"latency_{name}_ms"]
        _bar(axes, interval, position, colour, marker)
        if interval.mean is None:
            _above(axes, _without_mean(interval, entries), 0.5, position, "center")
            continue
        bounds = "(no interval)" if interval.low is None else f"[{interval.low:,.0f}, {interval.high:,.0f}]"
        if says_nothing(interval.mean, interval.low, interval.high):
            bounds = f"[{TOO_WIDE}]"
        where = float(np.log(interval.mean / left) / np.log(right / left))
        _above(axes, f"{interval.mean:,.0f} {bounds}", min(0.78, max(0.22, where)), position, "center")


def failed(entries: list[Entry]) -> Interval:
    """The share of failed requests."""
    return intervals.of_runs(entries)["error_rate"]


def draw_failed(axes: Axes, entries: list[Entry]) -> None:
    """The share of failed requests, in the middle of the lines."""
    if not are_below(entries):
        return
    interval, middle = failed(entries), sum(_positions(entries)) / len(MARKS)
    _bar(axes, interval, middle, RED, "D")
    bounds = "(no interval)" if interval.low is None else f"[{percent(interval.low)}, {percent(interval.high)}]"
    text = _without_mean(interval, entries) if interval.mean is None else f"{percent(interval.mean)} {bounds}"
    _above(axes, text, 0.03, middle, "left")


def _without_mean(interval: Interval, entries: list[Entry]) -> str:
    valid = sum(entry.is_valid for entry in entries)
    if not valid:
        return "no valid run"
    missing = valid - interval.n
    return f"no mean: undefined in {missing} of {valid} runs" if missing > 0 else "no mean: the runs differ"


def _line(entries: list[Entry]) -> float:
    """Height of a line, in those of runs."""
    return max(1.0, len(entries) / RUNS_A_LINE)


def _positions(entries: list[Entry]) -> list[float]:
    return [len(entries) - 0.5 + _line(entries) * (number + 0.9) for number in range(len(MARKS))]


def _bar(axes: Axes, interval: Interval, position: float, colour: str, marker: str) -> None:
    """A bar with ends, and the mean on it; an arrow where it leaves the panel."""
    if interval.mean is None:
        return
    left, right = axes.get_xlim()
    if interval.low is not None and interval.high is not None:
        ends = (max(interval.low, left), min(interval.high, right))
        axes.plot(ends, [position] * 2, color=colour, linewidth=2.2, solid_capstyle="butt")
        for end, is_cut, arrow in ((ends[0], interval.low < left, "<"), (ends[1], interval.high > right, ">")):
            shape = arrow if is_cut else "|"
            axes.plot(end, position, shape, color=colour, markersize=9, markeredgewidth=1.8, clip_on=False)
    axes.plot(interval.mean, position, marker, color=colour, markersize=5, clip_on=False)


def _above(axes: Axes, text: str, x: float, position: float, align: str) -> None:
    """Text above a bar; `x` is a share of the panel's width."""
    axes.annotate(
        text,
        (x, position),
        xycoords=("axes fraction", "data"),
        xytext=(0, 7),
        textcoords="offset points",
        fontsize=8.5,
        ha=align,
        color=INK,
    )
