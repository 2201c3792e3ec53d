"""`summary.png`: one run on one page, made of the panels that there are."""

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.metrics.verdict import verdict
from analysis.pages.panels import COLUMNS, Panel, PanelError, Source, find
from analysis.pages.rows import policy
from analysis.pages.style import HEADER_LINE_PX, INK, RED, figure, header, save
from record.metrics import Metrics
from record.reading import Run

WIDTH_PX = 1600
HEIGHTS_PX = range(40, 1001)
"""What a panel may ask for: the picture must stay one that can be written."""
Wrong = dict[str, PanelError]
"""By the panel's name."""
Sized = tuple[Panel, int]
"""A panel with its height, pixels."""


def draw(run: Run, timeline: pd.DataFrame, metrics: Metrics, path: Path) -> None:
    """Draw the page, without the panels that cannot be drawn: of each the page and stderr say so in a line.

    Args:
        run: the run.
        timeline: its rows a second.
        metrics: its metrics.
        path: where to; written whole or not at all.

    Raises:
        OSError: the place cannot be written to.
    """
    source = Source(run, timeline, metrics)
    panels, notes = find()
    shown, wrong = _sized(panels, source)
    while True:
        notes += wrong.values()
        shown = [sized for sized in shown if sized[0].name not in wrong]
        fig, axes, wrong = _page(source, shown, notes)
        if wrong:
            continue  # once more, without them
        try:
            save(fig, path)
            break
        except Exception:
            wrong = _not_rendered(fig, axes)
            if not wrong:
                raise
    for note in notes:
        print(f"{path}: {note}", file=sys.stderr)


def _sized(panels: Sequence[Panel], source: Source) -> tuple[list[Sized], Wrong]:
    """The panels that have something to show, and what is wrong with others."""
    shown: list[Sized] = []
    wrong: Wrong = {}
    for panel in panels:
        try:
            height = panel.height_px(source)
            if height and height not in HEIGHTS_PX:
                raise ValueError(f"{height}: must be 0 or between {HEIGHTS_PX[0]} and {HEIGHTS_PX[-1]}")
        except Exception as error:
            wrong[panel.name] = PanelError(f"the panel {panel.name}", "its height_px cannot be had", error)
            continue
        if height:
            shown.append((panel, int(height)))
    return shown, wrong


def _lines(shown: Sequence[Sized]) -> list[list[Sized]]:
    """The page's lines from the top, each with its panels from the left."""
    lines: list[list[Sized]] = []
    row, columns = None, 0
    for panel, height in shown:
        columns += panel.columns
        if panel.place[0] != row or columns > COLUMNS:
            lines.append([])
            row, columns = panel.place[0], panel.columns
        lines[-1].append((panel, height))
    return lines


def _page(
    source: Source, shown: Sequence[Sized], notes: Sequence[PanelError]
) -> tuple[Figure, dict[str, list[Axes]], Wrong]:
    """The page, the axes of each panel, and the panels that could not be drawn."""
    sentence = textwrap.wrap(verdict(source.run.manifest, source.metrics), 175, max_lines=4, placeholder=" ...")
    marked = [f"Note [{number}]: {note}." for number, note in enumerate(source.metrics["warnings"], 1)]
    for text in (*marked, *(f"Note: {note}." for note in notes)):
        sentence += textwrap.wrap(text, 175, max_lines=2, placeholder=" ...")
    lines = _lines(shown)
    heights_px = [max(height for _, height in line) for line in lines]
    head_px = 12 + HEADER_LINE_PX * (1 + len(sentence))
    fig = figure(WIDTH_PX, head_px + 60 + sum(heights_px), head_px)
    axes: dict[str, list[Axes]] = {}
    wrong: Wrong = {}
    grid = fig.add_gridspec(max(1, len(lines)), COLUMNS, height_ratios=heights_px or None)
    for number, line in enumerate(lines):
        column = 0
        for panel, _ in line:
            before = len(fig.axes)
            own = fig.add_subplot(grid[number, column : column + panel.columns])
            column += panel.columns
            try:
                panel.draw(own, source)
            except Exception as error:
                wrong[panel.name] = PanelError(f"the panel {panel.name}", "it cannot be drawn", error)
            axes[panel.name] = fig.axes[before:]
    header(fig, 0, _title(source.run), fontsize=13, fontweight="bold", color=INK)
    for number, text in enumerate(sentence, 1):
        header(fig, number, text, fontsize=13, color=INK if source.metrics["valid"] else RED)
    return fig, axes, wrong


def _not_rendered(fig: Figure, axes: dict[str, list[Axes]]) -> Wrong:
    """The panels that were drawn, but in which something raises when it becomes pixels (a tick's text, say)."""
    wrong: Wrong = {}
    for name, own in axes.items():
        try:
            for each in own:
                fig.draw_artist(each)
        except Exception as error:
            wrong[name] = PanelError(f"the panel {name}", "it cannot be drawn", error)
    return wrong


def _title(run: Run) -> str:
    manifest = run.manifest
    start = str(manifest.get("started_at") or "")[:16].replace("T", " ")
    parts = [
        str(manifest.get("scenario")),
        f"seed {manifest.get('seed')}",
        policy(run),
        f"run {manifest.get('run_id')}",
        start,
    ]
    return "  ·  ".join(part for part in parts if part)
