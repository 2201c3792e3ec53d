"""`comparison.png`: the arms over each other, and every effect with the interval that its verdict was given by."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec, SubplotSpec
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.comparison.arms import Measured
from analysis.comparison.compared import BY_KEY, FAILED
from analysis.comparison.comparison import Comparison, Row
from analysis.comparison.front import front_of
from analysis.comparison.notes import left_out, notes
from analysis.comparison.text import best, effect, headline, verdict_words
from analysis.pages import front_panel
from analysis.pages.style import (
    BLUE,
    GREEN,
    GREY,
    HEADER_LINE_PX,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    RED,
    dress,
    exceedance,
    figure,
    goes_on,
    header,
    log_latency,
    nothing,
    save,
    share_axis,
)
from record.metrics import value_of

WIDTH_PX = 1800
ROW_PX = 44
TOP_PX = 420
MANY = 4
"""From so many arms on an overview comes first: each against the reference, in what counts and in latency."""
PANELS = 4
"""Of one line of it."""
OVERVIEW_PX, AGAINST_PX = 130, 300
LATENCIES = ("latency_p99_ms", "latency_p50_ms")
WRAP = 172
"""Characters of a line of the header."""
MOST = 16.0
"""Ratios are drawn between 1 / MOST and MOST at the widest; an arrow stands for what lies beyond."""
COLOURS = {"better": GREEN, "worse": RED, "equivalent": BLUE, "inconclusive": GREY, "not identified": PURPLE}
MARKERS = {"better": "^", "worse": "v", "equivalent": "s", "inconclusive": "o", "not identified": "x"}
LINES = ("-", "--", "-.", ":")
ARMS = (BLUE, ORANGE, GREEN, PURPLE, RED, INK, GREY)


MOST_CHARACTERS = 60
"""Of all arms' names together; where they are longer, letters stand for them in the panels."""


def draw_comparison(comparison: Comparison, path: Path) -> None:
    """Draw the page, a row of panels an arm; written whole or not at all."""
    texts = [f"Under {comparison.workload}:"] if comparison.workload else []
    texts += [text for pairs in comparison.pairings for text in (headline(comparison, pairs), left_out(pairs))]
    texts += [best(comparison), *(f"Note: {note}" for note in notes(comparison))]
    names = names_of(comparison)
    texts += [f"{short}: {label}" for label, short in names.items() if short != label]
    lines = [line for text in texts if text for line in textwrap.wrap(text, WRAP)]
    per_arm = [[row for row in comparison.rows if row.arm == pairs.arm] for pairs in comparison.pairings]
    arms = comparison.arms
    is_many = len(arms) >= MANY
    lines_of_arms = -(-(len(arms) - 1) // PANELS)
    extra = [OVERVIEW_PX + ROW_PX * len(arms), AGAINST_PX * lines_of_arms] if is_many else []
    front = front_of(arms)
    before = 1 if front is None else 2
    heights = [TOP_PX, *([] if front is None else [front_panel.HEIGHT_PX]), *extra]
    heights += [130 + ROW_PX * max(4, sum(has_ratio(row) for row in rows)) for rows in per_arm]
    head_px = 12 + HEADER_LINE_PX * len(lines)
    fig = figure(WIDTH_PX, head_px + 20 + sum(heights), head_px)
    grid = fig.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=[1.2, 1])
    _latencies(fig.add_subplot(grid[0, 0]), arms, names)
    runs_of(fig.add_subplot(grid[0, 1]), comparison, names)
    if front is not None:
        front_panel.draw_front(fig.add_subplot(grid[1, :]), front)
    if is_many:
        _overview(fig, grid[before, :], comparison, names)
        _against(fig, grid[before + 1, :].subgridspec(lines_of_arms, PANELS), arms, names)
    for number, rows in enumerate(per_arm, before + len(extra)):
        for column, is_ratio in enumerate((True, False)):
            of_kind = [row for row in rows if has_ratio(row) == is_ratio]
            title = f"{names[rows[0].arm]} over {names[rows[0].reference]}" if rows and is_ratio else "Differences"
            labels = [BY_KEY[row.metric].label + (" *" if row.is_primary else "") for row in of_kind]
            forest(fig.add_subplot(grid[number, column]), of_kind, comparison, title, labels)
    for number, line in enumerate(lines):
        header(fig, number, line, fontsize=13, color=INK)
    save(fig, path)


def names_of(comparison: Comparison) -> dict[str, str]:
    """What each arm is called in the panels: by its name, or where names are long by a letter."""
    return shortened(dict.fromkeys(label for pairs in comparison.pairings for label in (pairs.reference, pairs.arm)))


def shortened(arms: Iterable[str]) -> dict[str, str]:
    """Likewise, of the names of arms."""
    labels = list(arms)
    if sum(map(len, labels)) <= MOST_CHARACTERS:
        return {label: label for label in labels}
    letters = [chr(ord("A") + place) if place < 26 else f"arm {place + 1}" for place in range(len(labels))]
    return dict(zip(labels, letters, strict=True))


def has_ratio(row: Row) -> bool:
    """Whether its effect is a ratio, rather than a difference."""
    return BY_KEY[row.metric].by == "ratio"


def _latencies(axes: Axes, arms: dict[str, list[Measured]], names: dict[str, str]) -> None:
    """All requests of each arm: the share that took longer; those that were not served took longer than any."""
    dress(axes, "Requests that took longer than ..., or were not served", "latency (ms)", "share of requests")
    served: list[float] = []
    for number, (label, runs) in enumerate(arms.items()):
        values = np.concatenate([one.run.latencies for one in runs]) if runs else np.zeros(0)
        if not np.isfinite(values).any():
            continue
        finite = values[np.isfinite(values)]
        served += [float(np.quantile(finite, 0.005)), float(finite.max()), 1 / len(values)]
        style = {"color": ARMS[number % len(ARMS)], "linestyle": LINES[number % len(LINES)], "linewidth": 2}
        exceedance(axes, values, label=names[label], **style)
    if not served:
        nothing(axes, "no pair of valid runs, or no request was served")
        return
    log_latency(axes, "x", min(served[::3]) / 1.3, max(served[1::3]) * 1.3)
    share_axis(axes, min(served[2::3]))
    axes.legend(loc="lower left", fontsize=9.5, frameon=False)


def runs_of(axes: Axes, comparison: Comparison, names: dict[str, str]) -> None:
    """The primary metric of every run; a line joins the runs of one seed."""
    compared = BY_KEY[comparison.primary]
    scale, unit = (100.0, "%") if compared.is_percent else (1.0, compared.unit)
    table = pd.DataFrame(
        [
            (names[label], pair.seed, value_of(one.metrics, comparison.primary))
            for pairs in comparison.pairings
            for pair in pairs.kept
            for label, one in ((pairs.reference, pair.ours), (pairs.arm, pair.theirs))
        ],
        columns=["arm", "seed", "value"],
    ).drop_duplicates(["arm", "seed"])
    labels = list(dict.fromkeys(table["arm"]))
    table["value"] = table["value"].astype("float64") * scale
    without = table[table["value"].isna()].groupby("arm").size()
    table = table.dropna()
    dress(axes, f"{compared.label.capitalize()} of every run", "", f"{compared.label} ({unit})")
    if table.empty:
        nothing(axes, "no run has a number")
        return
    places = {label: place for place, label in enumerate(labels)}
    for _, runs in table.groupby("seed"):
        axes.plot(runs["arm"].map(places), runs["value"], color=GREY, alpha=0.6, linewidth=1)
    import seaborn as sns  # a second, where SciPy is installed: not for what draws no runs

    sns.stripplot(table, x="arm", y="value", order=labels, color=BLUE, jitter=False, size=7, ax=axes)
    axes.set_xlabel("")
    axes.set_xlim(-0.6, len(labels) - 0.4)
    if compared.is_share:  # there is nothing above all requests, nor below none
        low, high = axes.get_ylim()
        room = 0.05 * (high - low)
        axes.set_ylim(max(low, -room), min(high, 100 + room))
    else:
        low, high = min(0.0, 1.1 * table["value"].min()), max(0.0, 1.1 * table["value"].max())
        axes.set_ylim(low, high if high > low else low + 1)
    width = max(10, 60 // len(labels))
    axes.set_xticks(range(len(labels)), ["\n".join(textwrap.wrap(label, width)) for label in labels])
    for label, count in without.items():
        text = f"not identified\nin {count} run{'s' if count > 1 else ''}"
        across = axes.get_xaxis_transform()
        axes.text(places[str(label)], 0.97, text, transform=across, ha="center", va="top", fontsize=9, color=PURPLE)


def _overview(fig: Figure, place: SubplotSpec, comparison: Comparison, names: dict[str, str]) -> None:
    """Every arm against the reference, a panel a metric: what the verdict is about, lost requests, latency."""
    shown = [metric for metric in dict.fromkeys((comparison.primary, FAILED, *LATENCIES)) if _rows(comparison, metric)]
    grid = place.subgridspec(1, 2)
    for column, metric in enumerate(shown[:2]):
        rows = _rows(comparison, metric)
        title = f"{BY_KEY[metric].label.capitalize()}, each arm over {names[rows[0].reference]}"
        forest(fig.add_subplot(grid[0, column]), rows, comparison, title, [names[row.arm] for row in rows])


def _rows(comparison: Comparison, metric: str) -> list[Row]:
    return [row for row in comparison.rows if row.metric == metric]


def _against(
    fig: Figure, grid: GridSpecFromSubplotSpec, arms: dict[str, list[Measured]], names: dict[str, str]
) -> None:
    """The latencies of each arm against those of the reference, a panel an arm."""
    reference, *others = arms
    for number, arm in enumerate(others):
        axes = fig.add_subplot(grid[divmod(number, PANELS)])
        _latencies(axes, {reference: arms[reference], arm: arms[arm]}, names)
        title = f"{names[arm]} against {names[reference]}"
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)


def forest(axes: Axes, rows: list[Row], comparison: Comparison, title: str, labels: list[str]) -> None:
    """A line an effect, called by its label; the band is what does not matter, an arrow an interval that goes on."""
    is_ratio = not rows or has_ratio(rows[0])
    what = "ratio" if is_ratio else "difference, in smallest effects of interest"
    dress(axes, title, f"{what}; band: too small to matter; * primary metric", "")
    if not rows:
        nothing(axes, "no pair of valid runs")
        return
    rescaled = [scaled(row, comparison) for row in rows]
    middle, edge = (1.0, 1 + comparison.smallest.effect) if is_ratio else (0.0, 1.0)
    axes.axvspan(1 / edge if is_ratio else -edge, edge, color=BLUE, alpha=0.12, linewidth=0)
    axes.axvline(middle, color=MUTED, linewidth=0.8)
    start, stop = reach(rescaled, is_ratio=is_ratio)
    if is_ratio:
        axes.set_xscale("log")
        axes.set_xticks(ratio_ticks(start, stop))
    axes.set_xlim(start, stop)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    for position, (row, (low, value, high)) in enumerate(zip(rows, rescaled, strict=True)):
        _line(axes, position, row, low, value, high)
        words = verdict_words(row, comparison)
        text = words if row.verdict == "not identified" else f"{effect(row)}\n{words}"
        axes.annotate(
            text,
            (1.01, position),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color=INK,
            annotation_clip=False,
        )
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(max(3.5, len(rows) - 0.5), -0.5)


Ends = tuple[float | None, float | None, float | None]
"""Low end, effect and high end; None = without bound."""


def reach(effects: Sequence[Ends], *, is_ratio: bool) -> tuple[float, float]:
    """From where to where effects are drawn, as `scaled` gives them; what lies beyond is an arrow."""
    ends = [end for effect in effects for end in effect if end is not None]
    if is_ratio:
        return max(1 / MOST, min(0.8, *ends, 0.8)) / 1.1, min(MOST, max(1.25, *ends, 1.25)) * 1.1
    stop = min(MOST, max(2.0, *(abs(end) for end in ends), 2.0)) * 1.1
    return -stop, stop


def ratio_ticks(start: float, stop: float) -> list[float]:
    """Where a logarithmic axis of ratios has its numbers."""
    steps = (1, 2, 5) if stop / start > 4 else (1, 1.1, 1.2, 1.5, 2, 5, 7, 8, 9)
    marks = (step * 10.0**power for power in (-2, -1, 0, 1) for step in steps)
    return [round(mark, 9) for mark in marks if start < mark < stop]


def scaled(row: Row, comparison: Comparison) -> Ends:
    """Low end, effect and high end as drawn: ratios, and differences over the smallest one of interest."""
    if has_ratio(row):
        return row.low, row.ratio, row.high
    unit = comparison.smallest.margin(BY_KEY[row.metric])
    low, value, high = (None if end is None else end / unit for end in (row.low, row.difference, row.high))
    return low, value, high


def _line(axes: Axes, position: int, row: Row, low: float | None, value: float | None, high: float | None) -> None:
    """An interval with its middle; what lies beyond the axis is an arrow whose tip is at its edge."""
    start, stop = axes.get_xlim()
    colour = COLOURS[row.verdict]
    if value is None:
        return
    for end, is_cut, arrow in (
        (start, start > (value if low is None else low), "<"),
        (stop, stop < (value if high is None else high), ">"),
    ):
        if is_cut:
            goes_on(axes, end, position, arrow, colour)
    if low is not None and high is not None:
        cut = (max(start, min(low, stop)), max(start, min(high, stop)))
        axes.plot(cut, [position] * 2, color=colour, linewidth=2.5, solid_capstyle="butt")
    if start <= value <= stop:
        axes.plot(value, position, MARKERS[row.verdict], color=colour, markersize=9, markeredgecolor="white")
