"""The picture of a Grafana board: its panels three a row, in the boards' order."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.pages.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    RED,
    dress,
    figure,
    header,
    nothing,
    save,
)

COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, GREY, INK, "#56b4e9", "#ca9161", "#fbafe4")
BAND_COLOURS = (RED, ORANGE, PURPLE, BLUE)
STATE_COLOURS = {"green": GREEN, "red": RED, "yellow": ORANGE, "blue": BLUE}
"""Grafana's names of the colours that the boards give to states."""
UNITS = {"percentunit": "share", "reqps": "per second", "s": "seconds", "short": "", "none": ""}
"""Of Grafana's units those that the boards use."""
COLUMNS, WIDTH_PX, HEIGHT_PX = 3, 520, 300
HEADER_PX, LEGEND_PX = 60, 30
HEADROOM = 1.35
"""The axes' upper end over the highest value, for the legend."""

Series = tuple[str, list[tuple[float, float]]]
"""A legend; times in seconds since the epoch, and values."""
Band = tuple[str, list[tuple[float, float]]]
"""An annotation's name; from when to when it held, seconds since the epoch."""
Span = tuple[float, float, float]
"""Start and end in seconds since the epoch, and seconds between two points."""


def _gridded(series: Series, span: Span) -> tuple[np.ndarray, np.ndarray]:
    """Times and values on the span's grid, NaN where there is no value."""
    start, end, step_s = span
    times = np.arange(start, end + step_s / 2, step_s)
    values = np.full(len(times), np.nan)
    points = np.array(series[1])
    values[np.clip(np.rint((points[:, 0] - start) / step_s).astype(int), 0, len(times) - 1)] = points[:, 1]
    return times, values


def _lines(axes: Axes, series: list[Series], span: Span, *, log: bool, from_zero: bool) -> None:
    top = 0.0
    for index, each in enumerate(series):
        times, values = _gridded(each, span)
        style = "-" if index < len(COLOURS) else "--"
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(times, values, style, color=colour, linewidth=1.3, drawstyle="steps-post", label=each[0])
        top = max(top, float(np.nanmax(np.where(np.isfinite(values), values, np.nan))))
    if log:
        axes.set_yscale("log")
        axes.set_ylim(top=3 * top)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif from_zero:
        axes.set_ylim(0, HEADROOM * top or 1)
    axes.legend(fontsize=7, ncols=4, frameon=False, loc="upper left", columnspacing=1)


def _states(axes: Axes, series: list[Series], span: Span, options: dict[str, Any]) -> None:
    """A row a series, a colour a state."""
    for row, each in enumerate(series):
        for moment, value in each[1]:
            colour = STATE_COLOURS[options[f"{value:g}"]["color"]]
            axes.barh(row, span[2], left=moment, height=0.7, color=colour, alpha=0.6, linewidth=0)
    axes.set_yticks(range(len(series)), [legend for legend, _ in series])
    axes.set_ylim(len(series), -0.7)  # the lowest row is the legend's
    handles = [Patch(color=STATE_COLOURS[o["color"]], alpha=0.6, label=o["text"]) for o in options.values()]
    axes.legend(handles=handles, fontsize=7, ncols=4, frameon=False, loc="lower left")


def _heat(axes: Axes, series: list[Series], span: Span) -> None:
    """Cumulative buckets as a map of counts; the colour grows with the root, so that rare ones are seen."""
    bounds = sorted(series, key=lambda each: float(each[0]))
    times = _gridded(bounds[0], span)[0]
    cumulative = np.nan_to_num([_gridded(each, span)[1] for each in bounds])
    counts = np.maximum(np.diff(cumulative, axis=0, prepend=0), 0)
    axes.pcolormesh(times, np.arange(len(bounds)), np.sqrt(counts), cmap="Oranges", shading="nearest")
    axes.set_yticks(range(0, len(bounds), 4), [f"{float(bound):.3g} s" for bound, _ in bounds[::4]])


def _panel(axes: Axes, panel: dict[str, Any], series: list[Series], span: Span) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    dress(axes, panel["title"], "", UNITS[defaults["unit"]])
    series = [each for each in series if any(math.isfinite(value) for _, value in each[1])]
    if not series:
        nothing(axes, "no data")
    elif panel["type"] == "heatmap":
        _heat(axes, series, span)
    elif panel["type"] == "state-timeline":
        _states(axes, series, span, defaults["mappings"][0]["options"])
    else:
        log = defaults.get("custom", {}).get("scaleDistribution", {}).get("type") == "log"
        _lines(axes, series, span, log=log, from_zero="min" in defaults)
    axes.set_xlim(span[0], span[1])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{datetime.fromtimestamp(value, UTC):%H:%M:%S}"))
    axes.locator_params(axis="x", nbins=5)


def draw(board: dict[str, Any], data: list[list[Series]], bands: list[Band], span: Span, path: Path) -> None:
    """Draw the board.

    Args:
        board: as Grafana reads it.
        data: the series of each of its panels.
        bands: its annotations; they are drawn across every panel.
        span: what is shown.
        path: the PNG to write.

    Raises:
        OSError: the picture cannot be written.
    """
    rows = math.ceil(len(data) / COLUMNS)
    header_px = HEADER_PX + (LEGEND_PX if bands else 0)
    height_px = rows * HEIGHT_PX + header_px
    canvas = figure(COLUMNS * WIDTH_PX, height_px, header_px)
    header(canvas, 0, board["title"], fontsize=15, fontweight="bold", color=INK)
    about = f"{board['description']} Time of day in UTC, a point every {span[2]:g} s."
    header(canvas, 1, about, fontsize=10, color=MUTED)
    if bands:
        handles = [Patch(color=c, alpha=0.25, label=name) for (name, _), c in zip(bands, BAND_COLOURS, strict=True)]
        at = (0.008, 1 - (HEADER_PX - 6) / height_px)
        canvas.legend(handles=handles, fontsize=10, ncols=4, frameon=False, loc="upper left", bbox_to_anchor=at)
    for index, (panel, series) in enumerate(zip(board["panels"], data, strict=True)):
        axes = canvas.add_subplot(rows, COLUMNS, index + 1)
        _panel(axes, panel, series, span)
        for (_, spans), colour in zip(bands, BAND_COLOURS, strict=False):
            for start, end in spans:
                axes.axvspan(start, end, color=colour, alpha=0.13, linewidth=0, zorder=0)
    save(canvas, path)
