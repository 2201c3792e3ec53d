"""Several runs on one page: a row a scenario, with intervals; invalid runs greyed out and their reasons given."""

import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.metrics import timeline
from analysis.metrics.verdict import NOTHING_HARMED, latency, percent, quantity
from analysis.pages import interval_lines
from analysis.pages.interval_lines import MARKS
from analysis.pages.rows import Entry, Row
from analysis.pages.style import (
    BLUE,
    GREEN,
    GREY,
    HEADER_LINE_PX,
    INK,
    MUTED,
    RED,
    TIME,
    dress,
    exceedance,
    figure,
    header,
    log_latency,
    nothing,
    save,
    shade_faults,
    share_axis,
)
from record.metrics import value_of

WIDTH_PX = 1600
ROW_PX = 330
LABELLED = 12
"""Runs of a row that are labelled one by one; of more, every second, third, ..."""
LONGEST_LABEL = 28
"""Characters of a run's label beside the axis."""
SECTIONS = re.compile(r"(^|, )(?:\w+\.)+(?=\w+=)")
"""Of a key, what stands before its last part."""
NEXT = re.compile(r", (?=[\w.]+=)")
"""Between two overrides; a list's values have commas, too."""
SHORTEST_KEY = 3
"""Characters that are left of a key at least."""
LEGEND_RUNS = 6
"""Runs of a row whose curves a legend names."""
LINES = ("-", "--", "-.", ":")
COLOURS = sns.color_palette("colorblind", 7).as_hex()
"""Of runs side by side; the palette's eighth is grey, which is for invalid ones."""


def draw_many(rows: list[Row], path: Path) -> None:
    """Draw the page.

    Args:
        rows: of `rows.arrange`.
        path: where to; written whole or not at all.
    """
    reasons = [_reasons(entries) for _, entries in rows]
    heights = [
        ROW_PX + 17 * len(lines) + 14 * max(0, min(len(entries), 2 * LABELLED) - 4)
        for (_, entries), lines in zip(rows, reasons, strict=True)
    ]
    has_intervals = any(interval_lines.are_below(entries) for _, entries in rows)
    head_px = 12 + HEADER_LINE_PX * (2 if has_intervals else 1)
    fig = figure(WIDTH_PX, head_px + 20 + sum(heights), head_px)
    axes = fig.subplots(
        len(rows), 4, squeeze=False, gridspec_kw={"width_ratios": [1, 0.62, 1, 1.35], "height_ratios": heights}
    )
    low, high = _latency_range(rows)
    for panels, (title, entries), lines in zip(axes, rows, reasons, strict=True):
        _quantiles(panels[0], title, entries, low, high)
        if lines:
            # The label keeps the room; the text itself runs across all panels.
            panels[0].set_xlabel(panels[0].get_xlabel() + "\n" * len(lines))
            note = panels[0].annotate(
                "\n".join(lines),
                (0, 0),
                xycoords="axes fraction",
                xytext=(0, -37),
                textcoords="offset points",
                fontsize=10,
                va="top",
                color=RED,
                linespacing=1.25,
            )
            note.set_in_layout(False)
        _errors(panels[1], entries)
        _distribution(panels[2], entries, low, high)
        _course(panels[3], next((entry for entry in entries if entry.is_valid), entries[0]))
    valid = [entry.is_valid for _, entries in rows for entry in entries]
    invalid = f", {valid.count(False)} invalid (grey crosses)" if False in valid else ""
    header(
        fig,
        0,
        f"{len(valid)} run{'s' if len(valid) > 1 else ''}, {valid.count(True)} valid{invalid}",
        fontsize=15,
        fontweight="bold",
        color=INK,
    )
    _legend(fig)
    if has_intervals:
        header(fig, 1, interval_lines.MEANING, fontsize=11, color=MUTED)
    save(fig, path)


def _legend(fig: Figure) -> None:
    """The marks of all rows, in the header."""
    handles = [Line2D([], [], color=colour, marker=mark, linestyle="none", label=name) for name, colour, mark in MARKS]
    fig.legend(handles=handles, loc="upper right", fontsize=11, ncols=2, frameon=False, handletextpad=0.2)


def _reasons(entries: list[Entry]) -> list[str]:
    invalid = [entry for entry in entries if not entry.is_valid]
    text = [f"{entry.label} invalid: {'; '.join(entry.metrics['invalid_reasons'])}" for entry in invalid]
    lines = [line for reason in text for line in textwrap.wrap(reason, 205, max_lines=2, placeholder=" ...")]
    return lines if len(lines) <= 6 else [*lines[:5], f"... and more; see metrics.json of these {len(text)} runs"]


def _latency_range(rows: list[Row]) -> tuple[float, float]:
    """One range for all rows, so that they can be compared by eye."""
    values = [
        value
        for _, entries in rows
        for entry in entries
        for value in (entry.metrics["latency_served_p50_ms"], entry.metrics["latency_served_max_ms"])
        if value is not None
    ]
    return (min(values) / 8, max(values) * 1.4) if values else (1.0, 1000.0)


def _run_axis(axes: Axes, entries: list[Entry]) -> None:
    """The runs from top to bottom, and below them what they say together."""
    step = -(-len(entries) // LABELLED)
    ticks = {float(at): _short(entries[at].label) for at in range(0, len(entries), step)}
    lines, end = interval_lines.ticks(entries)
    if lines:
        axes.axhline(len(entries) - 0.5, color=GREY, linewidth=0.8)
    ticks |= lines
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.set_ylim(end, -0.9)


def _short(label: str) -> str:
    """A label that fits, of which the values are kept: they tell runs apart, and keys can be guessed.

    First without the keys' sections (`rate_rps=50` for `workload.rate_rps=50`), then with the longest keys cut.
    """
    if len(label) <= LONGEST_LABEL:
        return label
    parts = [part.partition("=") for part in NEXT.split(SECTIONS.sub(r"\1", label))]
    widths = [len(key) for key, _, _ in parts]
    room = LONGEST_LABEL - sum(len(sign + value) for _, sign, value in parts) - 2 * (len(parts) - 1)
    while sum(widths) > room and max(widths) > SHORTEST_KEY:
        widths[widths.index(max(widths))] -= 1
    told = ", ".join(
        f"{key if len(key) <= width else f'{key[: width - 1]}…'}{sign}{value}"
        for (key, sign, value), width in zip(parts, widths, strict=True)
    )
    return told if len(told) <= LONGEST_LABEL else f"{told[: LONGEST_LABEL // 2]}…{told[1 - LONGEST_LABEL // 2 :]}"


def _quantiles(axes: Axes, title: str, entries: list[Entry], low: float, high: float) -> None:
    """p50 and p99 of every run; at the right edge where it lies among requests that were not served."""
    dress(axes, title, "latency (ms)", "run")
    log_latency(axes, "x", low, high)
    edge = axes.get_xlim()[1]
    spans: list[tuple[int, float, float]] = []
    marks: dict[tuple[str, str], list[tuple[float, int]]] = {}
    """By colour and shape: many runs are drawn at once, since each plot costs as much as some hundred points."""
    for position, entry in enumerate(entries):
        if not entry.metrics["offered_requests"] or not len(entry.run.latencies):
            continue
        values = [value_of(entry.metrics, f"latency_{name}_ms") for name, _, _ in MARKS]
        ends = [edge if value is None else value for value in values]
        spans.append((position, ends[0], ends[1]))
        for value, end, (name, colour, marker) in zip(values, ends, MARKS, strict=True):
            is_beyond = value is None
            shade, shape = (colour, ">" if is_beyond else marker) if entry.is_valid else (GREY, "X")
            marks.setdefault((shade, shape), []).append((end, position))
            is_apart = name == "p99" or ends[1] > 1.6 * ends[0]
            if len(entries) <= LABELLED and is_apart:
                axes.annotate(
                    latency(entry.metrics, name).removesuffix(" ms"),
                    (end, position),
                    xytext=(0, 7),
                    textcoords="offset points",
                    fontsize=8.5,
                    ha="right" if is_beyond else "center",
                    color=INK if entry.is_valid else MUTED,
                )
    if spans:
        axes.hlines(*zip(*spans, strict=True), color="#cccccc", linewidth=2, zorder=1)
    for (shade, shape), places in marks.items():
        axes.plot(
            *zip(*places, strict=True),
            color=shade,
            marker=shape,
            markersize=9,
            linestyle="none",
            zorder=2,
            clip_on=False,
        )
    _run_axis(axes, entries)
    interval_lines.draw_latencies(axes, entries)


def _errors(axes: Axes, entries: list[Entry]) -> None:
    """Share of failed requests of every run."""
    dress(axes, "Failed", "share of requests", "run")
    shares = [entry.metrics["error_rate"] for entry in entries]
    together = interval_lines.failed(entries)
    top = max([0.001, *(share for share in (*shares, together.high) if share is not None)])
    for position, (entry, share) in enumerate(zip(entries, shares, strict=True)):
        if share:
            axes.barh(position, share, height=0.5, color=RED if entry.is_valid else GREY, alpha=0.85)
        if len(entries) <= LABELLED:
            text = percent(share) if share is not None else "no data"
            axes.annotate(
                text,
                (share or 0.0, position),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                color=INK if entry.is_valid else MUTED,
            )
    axes.set_xlim(0, top * 1.6)
    interval_lines.draw_failed(axes, entries)
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:g} %"))
    axes.grid(False, axis="y")
    _run_axis(axes, entries)
    axes.set_ylabel("")
    axes.tick_params(labelleft=False)


def _distribution(axes: Axes, entries: list[Entry], low: float, high: float) -> None:
    """The share of requests that took longer, a curve a run; those that were not served took longer than anything."""
    dress(axes, "Requests that took longer than ...", "latency (ms)", "share of requests")
    least = 1.0
    for number, entry in enumerate(entries):
        values = entry.run.latencies
        if not np.isfinite(values).any():
            continue
        least = min(least, 1 / len(values))
        colour = COLOURS[number % len(COLOURS)] if entry.is_valid else GREY
        label = _short(entry.label) if len(entries) <= LEGEND_RUNS else None
        exceedance(
            axes,
            values,
            color=colour,
            linestyle=LINES[number % 4],
            linewidth=1.8 if len(entries) <= LEGEND_RUNS else 1.2,
            label=label,
        )
    log_latency(axes, "x", low, high)
    share_axis(axes, least)
    if not axes.lines:
        nothing(axes, "no request was served")
    elif len(entries) <= LEGEND_RUNS:
        axes.legend(loc="lower left", fontsize=9, frameon=False, title="run", title_fontsize=9, alignment="left")


def _course(axes: Axes, entry: Entry) -> None:
    """One run's rates over time, with its faults and replicas."""
    run = entry.run
    is_unharmed = entry.metrics["fault_harm"] is False
    facts = [
        f"{name} {quantity(seconds, 's')}"
        for name, seconds in (
            ("detected in", entry.metrics["detection_s"]),
            ("recovered in", None if is_unharmed else entry.metrics["recovery_s"]),
        )
        if seconds is not None
    ]
    facts += ["not recovered"] if entry.metrics["recovered"] is False else []
    facts += [NOTHING_HARMED] if is_unharmed else []
    time = "; ".join((TIME, *([", ".join(facts)] if facts else [])))
    dress(axes, f"Run {_short(entry.label)}", time, "requests per second")
    seconds = timeline.build(run)
    middle = seconds["second"] + 0.5
    shade_faults(axes, run)
    axes.plot(middle, seconds["offered_rps"], color=GREY, linewidth=3.5, alpha=0.75, label="offered")
    axes.plot(middle, seconds["goodput_rps"], color=BLUE, linewidth=1.6, label="goodput")
    axes.plot(middle, seconds["errors"], color=RED, linewidth=1.6, linestyle="--", label="failed")
    axes.set_xlim(0, max(1.0, run.end_s))
    axes.set_ylim(0, 1.3 * _top(seconds["offered_rps"]))
    right = axes.twinx()
    right.step(
        seconds["second"] + 1,  # sampled at its end
        seconds["replicas_ready"],
        where="post",
        color=GREEN,
        linewidth=1.8,
        label="replicas (right)",
    )
    right.set_ylim(0, 1.3 * _top(seconds["replicas_ready"]))
    right.set_ylabel("replicas ready", fontsize=10, color=MUTED)
    right.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    right.tick_params(labelsize=9, colors=MUTED)
    for side in ("top", "left", "bottom"):
        right.spines[side].set_visible(False)
    handles = [*axes.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    axes.legend(
        handles=handles,
        loc="upper left",
        fontsize=9,
        ncols=4,
        frameon=False,
        borderaxespad=0.1,
        columnspacing=0.8,
        handlelength=1.3,
    )


def _top(values: Any) -> float:  # noqa: ANN401
    top = values.max()
    return 1.0 if np.isnan(top) else max(1.0, float(top))
