"""What all pictures share: colours that colour-blind readers can tell apart, sizes, and the canvas."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import offset_copy

from record.files import whole
from record.latency import Floats
from record.reading import Run

rcParams["text.parse_math"] = False  # a name may hold a dollar sign

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#949494"
"""Of seaborn's palette `colorblind`, after Wong, Points of view: Color blindness, Nature Methods 8, 441 (2011)."""
INK, MUTED = "#222222", "#5a5a5a"
PHASE_STYLES = {"steady": (BLUE, "-"), "fault": (RED, "--"), "recovery": (GREEN, "-.")}
"""Colour and line of each phase: told apart without colours, too."""
DPI = 100
HEADER_LINE_PX = 25
LEAST_MS = 0.1
"""Lower end of logarithmic latency axes."""
FAR_MS = 1e12
"""Beyond any axis."""
ARROW_PT = 10.0
"""Length of an arrow, points."""
INWARDS = {"<": (0.5, 0.0), ">": (-0.5, 0.0), "v": (0.0, 0.5), "^": (0.0, -0.5)}
"""From an arrow's tip to its middle, in its length."""
CURVE_POINTS = 600
"""Points that a distribution curve is drawn with; for drawing only."""
TIME = "seconds from the run's start"


def figure(width_px: int, height_px: int, header_px: int) -> Figure:
    """A figure of that size in pixels, outside pyplot's global state; nothing is laid out in the header on top."""
    new = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI)
    layout = ConstrainedLayoutEngine(
        w_pad=0.08, h_pad=0.07, wspace=0.02, hspace=0.02, rect=(0, 0, 1, 1 - header_px / height_px)
    )
    new.set_layout_engine(layout)
    FigureCanvasAgg(new)
    return new


def header(fig: Figure, line: int, text: str, **style: Any) -> None:  # noqa: ANN401
    """Write a line of the header (0 = top); each takes `HEADER_LINE_PX`."""
    y = 1 - (14 + line * HEADER_LINE_PX) / (fig.get_figheight() * DPI)
    fig.text(0.012, y, text, ha="left", va="top", **style)


def save(fig: Figure, path: Path) -> None:
    """Write the picture whole or not at all; equal content gives equal bytes under one version of Matplotlib.

    Raises:
        OSError: the place cannot be written to.
    """
    with whole(path) as partial, rc_context({"font.family": "DejaVu Sans"}):
        fig.savefig(partial, format="png", metadata={"Software": None})


def dress(axes: Axes, title: str, x: str, y: str) -> None:
    """Title, labels with units, light grid, no box."""
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK)
    axes.set_xlabel(x, fontsize=10, color=MUTED)
    axes.set_ylabel(y, fontsize=10, color=MUTED)
    axes.tick_params(labelsize=9, colors=MUTED)
    axes.grid(True, which="major", linewidth=0.5, alpha=0.4)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color("#999999")


def log_latency(axes: Axes, which: str, low: float, high: float) -> None:
    """A logarithmic x or y axis of milliseconds in plain numbers, from `low` to `high`, a decade at least."""
    widen = max(1.0, 10 * low / high) ** 0.5
    low, high = max(LEAST_MS, low / widen), high * widen
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    room = 1.0 if which == "x" else 0.1
    span = room * high / low
    steps = (1, 2, 5) if span < 50 else (1, 3) if span < 2000 else (1,)
    marks = [step * 10.0**power for power in range(-2, 8) for step in steps]
    axis.set_ticks([mark for mark in marks if low <= mark <= high])
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.1f}" if value < 1 else f"{value:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


def exceedance(axes: Axes, latencies: Floats, **style: Any) -> None:  # noqa: ANN401
    """Draw the share of requests that took longer than x, as steps that reach down to the slowest request.

    Where some were not served (+inf) they reach down to their share, and go on at it to the right edge.
    """
    if len(latencies):
        axes.step(*exceedance_steps(latencies), where="pre", **style)


def exceedance_steps(latencies: Floats, points: int = CURVE_POINTS) -> tuple[Floats, Floats]:
    """Milliseconds, and the share of requests that took at least as long, down to the milliseconds before.

    Args:
        latencies: of one request at least, +inf where not served; shape (n,).
        points: at most so many, and one more.
    """
    values = np.sort(latencies)
    n = len(values)
    # Even in log(share), so that the rare slow ones keep their points.
    even = np.round(n - np.geomspace(n, 1, min(n, points))).astype(int)
    ranks = np.unique([*even, min(int(np.isfinite(values).sum()), n - 1)])
    return np.clip(values[ranks], LEAST_MS, FAR_MS), (n - ranks) / n


def goes_on(axes: Axes, x: float, y: float, shape: str, colour: str) -> None:
    """An arrow whose tip is at the panel's edge, where an interval leaves it; `shape` is a key of `INWARDS`."""
    right, up = (ARROW_PT * share for share in INWARDS[shape])
    place = offset_copy(axes.transData, axes.get_figure(root=True), x=right, y=up, units="points")
    axes.plot(x, y, shape, color=colour, markersize=ARROW_PT, clip_on=False, transform=place)


def shade_faults(axes: Axes, run: Run) -> None:
    """A band wherever any fault lasted, of one shade however many did; a line where one was over at once."""
    for start, end in fault_spans(run):
        if end <= start:
            axes.axvline(start, color=RED, linewidth=1, alpha=0.6)
        else:
            axes.axvspan(start, end, color=RED, alpha=0.1, linewidth=0)


def fault_spans(run: Run) -> list[tuple[float, float]]:
    """Start and end, in seconds, of each span in which any fault lasted; equal for one that was over at once."""
    at_once: list[tuple[float, float]] = []
    spans: list[tuple[float, float]] = []
    for fault in run.faults:
        start, end = fault.landed_s, fault.ends_s(run.end_s)
        if end <= start:
            at_once.append((start, start))
        elif spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return at_once + spans


def over_time(axes: Axes, run: Run) -> None:
    """An x axis over the whole run, in seconds, with its warm-up and faults as bands."""
    if run.warmup_s:
        axes.axvspan(0, min(run.warmup_s, run.end_s), color=GREY, alpha=0.13, linewidth=0)
    shade_faults(axes, run)
    axes.set_xlim(0, max(run.end_s, 1.0))


def room_for_legend(axes: Axes, top: float, columns: int, least: float = 1.0) -> None:
    """A y axis from 0 to beyond `top`, `least` at the least (NaN = nothing drawn), and a legend above what is drawn."""
    axes.set_ylim(0, 1.28 * max(least, 0.0 if np.isnan(top) else float(top)))
    axes.legend(loc="upper right", fontsize=9.5, ncols=columns, frameon=False, borderaxespad=0.1, columnspacing=1.2)


def share_axis(axes: Axes, least: float) -> None:
    """A logarithmic y axis of shares from `least` to 1, labelled as percentages."""
    axes.set_yscale("log")
    axes.set_ylim(max(1e-6, min(least, 0.5)) * 0.7, 1.3)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:g} %"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def nothing(axes: Axes, text: str) -> None:
    """Say in an empty panel why it is empty."""
    axes.set_yticks([])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=11, color=MUTED)
