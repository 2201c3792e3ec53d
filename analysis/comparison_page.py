"""`comparison.png`: every metric's ratio with its interval, and the runs behind the primary one."""

import textwrap
from pathlib import Path

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.comparison import Comparison, Row
from analysis.comparison_metrics import COMPARED
from analysis.comparison_text import LABELS, headline, left_out
from analysis.style import BLUE, GREEN, GREY, HEADER_LINE_PX, INK, MUTED, RED, dress, figure, header, nothing, save

WIDTH_PX = 1600
ROW_PX = 44
MOST = 16.0
"""Ratios are drawn between 1 / MOST and MOST at the widest."""
COLOURS = {"better": GREEN, "worse": RED, "equivalent": BLUE, "inconclusive": GREY}
MARKERS = {"better": "^", "worse": "v", "equivalent": "s", "inconclusive": "o"}


def draw_comparison(comparison: Comparison, path: Path) -> None:
    """Draw the page, a row of panels an arm; written whole or not at all."""
    lines = [
        line
        for pairs in comparison.pairings
        for text in (headline(comparison, pairs), left_out(pairs))
        for line in (textwrap.wrap(text, 170) if text else [])
    ]
    per_arm = [[row for row in comparison.rows if row.arm == pairs.arm] for pairs in comparison.pairings]
    heights = [150 + ROW_PX * max(4, len(rows)) for rows in per_arm]
    head_px = 12 + HEADER_LINE_PX * len(lines)
    fig = figure(WIDTH_PX, head_px + 20 + sum(heights), head_px)
    axes = fig.subplots(
        len(per_arm), 2, squeeze=False, gridspec_kw={"width_ratios": [1.75, 1], "height_ratios": heights}
    )
    for panels, rows, pairs in zip(axes, per_arm, comparison.pairings, strict=True):
        _ratios(panels[0], rows, comparison)
        table = pd.DataFrame(
            [
                (label, seed, metrics.get(comparison.primary))
                for seed, ours, theirs in pairs.kept
                for label, metrics in ((pairs.reference, ours), (pairs.arm, theirs))
            ],
            columns=["arm", "seed", "value"],
        ).dropna()
        _runs(panels[1], table, comparison.primary)
    for number, line in enumerate(lines):
        header(fig, number, line, fontsize=13, color=INK)
    save(fig, path)


def _ratios(axes: Axes, rows: list[Row], comparison: Comparison) -> None:
    """A line a ratio; the band is what does not matter."""
    ratios = [row for row in rows if row.ratio is not None]
    title = f"{rows[0].arm} over {rows[0].reference}" if rows else "nothing to compare"
    dress(axes, title, "ratio (95 % interval); in the band: too small to matter; * primary metric", "")
    if not ratios:
        nothing(axes, "no pair of valid runs")
        return
    effect = 1 + comparison.smallest_effect
    axes.axvspan(1 / effect, effect, color=BLUE, alpha=0.12, linewidth=0)
    axes.axvline(1, color=MUTED, linewidth=0.8)
    ends = [min(MOST, max(1 / MOST, e)) for row in ratios for e in (row.low, row.ratio, row.high) if e is not None]
    start, end = min(0.8, *ends) / 1.1, max(1.25, *ends) * 1.1
    axes.set_xscale("log")
    axes.set_xlim(start, end)
    for position, row in enumerate(ratios):
        assert row.ratio is not None
        colour = COLOURS[row.verdict]
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [position] * 2, color=colour, linewidth=2.5, solid_capstyle="butt")
        axes.plot(row.ratio, position, MARKERS[row.verdict], color=colour, markersize=9, markeredgecolor="white")
        axes.annotate(
            row.verdict,
            (1.01, position),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=10,
            color=INK,
            annotation_clip=False,
        )
    axes.set_yticks(range(len(ratios)), [LABELS[row.metric] + (" *" if row.is_primary else "") for row in ratios])
    axes.set_ylim(len(ratios) - 0.5, -0.5)
    steps = (1, 2, 5) if end / start > 4 else (1, 1.1, 1.2, 1.5, 2, 5, 7, 8, 9)
    axes.set_xticks([m for power in (-2, -1, 0, 1) for step in steps if start < (m := step * 10.0**power) < end])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _runs(axes: Axes, table: pd.DataFrame, primary: str) -> None:
    """The primary metric of every run; a line joins a pair."""
    unit = next(compared.unit for compared in COMPARED if compared.key == primary)
    dress(axes, f"{LABELS[primary].capitalize()} of every run", "", f"{LABELS[primary]} ({unit})")
    if table.empty:
        nothing(axes, "no pair of valid runs")
        return
    sns.lineplot(
        table,
        x="arm",
        y="value",
        units="seed",
        estimator=None,
        color=GREY,
        alpha=0.6,
        linewidth=1,
        ax=axes,
        legend=False,
    )
    sns.stripplot(table, x="arm", y="value", color=BLUE, jitter=False, size=7, ax=axes)
    axes.set_xlabel("")
    axes.set_ylim(0, 1.1 * table["value"].max())
    labels = list(dict.fromkeys(table["arm"]))
    axes.set_xticks(range(len(labels)), ["\n".join(textwrap.wrap(label, 28)) for label in labels])
    axes.margins(x=0.35)
