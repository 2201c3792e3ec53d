"""`comparison.png` of several workloads: the arms' ranks, and of each workload the front and the primary metric.

All else that a comparison shows is a picture of its own for each of them (`comparison_page`).
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from analysis.comparison.arms import by_values
from analysis.comparison.compared import BY_KEY
from analysis.comparison.comparison import Comparison
from analysis.comparison.front import front_of
from analysis.comparison.notes import notes
from analysis.comparison.over_workloads import Cell, Overview, in_words, overview_of
from analysis.comparison.text import best, headline
from analysis.pages import front_panel
from analysis.pages.comparison_page import ROW_PX, TOP_PX, WIDTH_PX, WRAP, forest, runs_of, shortened
from analysis.pages.style import BLUE, HEADER_LINE_PX, INK, MUTED, dress, figure, header, save
from analysis.tables.lists import in_cell, overview_list

MARGIN_PX = 130
"""Of a panel's title and axis."""


def draw_workloads(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draw the page, a row of panels a workload; written whole or not at all."""
    overview = overview_of(comparisons)
    assert overview is not None  # there are several
    names = by_values(overview.cells) or shortened(overview.cells)
    lines = [line for text in _said(comparisons, overview, names) for line in textwrap.wrap(text, WRAP)]
    arms_px = MARGIN_PX + ROW_PX * len(overview.cells)
    heights = [arms_px, *(max(TOP_PX, arms_px) for _ in comparisons)]
    head_px = 12 + HEADER_LINE_PX * len(lines)
    fig = figure(WIDTH_PX, head_px + 20 + sum(heights), head_px)
    grid = fig.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=[1.2, 1])
    _ranks(fig.add_subplot(grid[0, :]), overview, names)
    for number, comparison in enumerate(comparisons, 1):
        left, right = fig.add_subplot(grid[number, 0]), fig.add_subplot(grid[number, 1])
        front = front_of(comparison.arms)
        if front is None:
            runs_of(left, comparison, names)
        else:
            front_panel.draw_front(left, front)
        left.set_title(f"{comparison.workload}: {left.get_title(loc='left')}", loc="left", fontsize=12,
                       fontweight="bold", color=INK)  # fmt: skip
        rows = [row for row in comparison.rows if row.is_primary]
        reference = names[comparison.pairings[0].reference]
        title = f"{BY_KEY[comparison.primary].label.capitalize()}, each arm over {reference}"
        forest(right, rows, comparison, title, [names[row.arm] for row in rows])
    for number, line in enumerate(lines):
        header(fig, number, line, fontsize=13, color=INK)
    save(fig, path)


def _said(comparisons: Sequence[Comparison], overview: Overview, names: Mapping[str, str]) -> list[str]:
    texts = []
    for comparison in comparisons:
        said = [best(comparison)] if comparison.best else [headline(comparison, each) for each in comparison.pairings]
        texts += [f"{comparison.workload}: {text}" for text in said]
    common = [note for note in notes(comparisons[0]) if all(note in notes(each) for each in comparisons)]
    texts += [*in_words(overview), *(f"Note: {note}" for note in common)]
    is_letters = set(names.values()) != set(by_values(names).values())
    return texts + [f"{short}: {label}" for label, short in names.items() if short != label and is_letters]


def _ranks(axes: Axes, overview: Overview, names: Mapping[str, str]) -> None:
    """A cell an arm and workload, the darker the better its rank; a frame round those that are among the best."""
    dress(axes, overview_list(overview).title, "", "")
    called = by_values(overview.workloads)
    count, columns = len(overview.cells), [*(called.get(name, name) for name in overview.workloads), "mean rank"]
    for down, (arm, cells) in enumerate(overview.cells.items()):
        for across, cell in enumerate(cells):
            _cell(axes, across, down, cell, overview.primary, count)
        mean = overview.mean_rank(arm)
        axes.text(len(cells), down, "-" if mean is None else f"{mean:.1f}", ha="center", va="center", color=INK)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(count), [names[arm] for arm in overview.cells])
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(count - 0.5, -0.5)
    axes.grid(visible=False)


def _cell(axes: Axes, across: int, down: int, cell: Cell | None, primary: str, count: int) -> None:
    if cell is None:
        axes.text(across, down, in_cell(cell, primary), ha="center", va="center", fontsize=9, color=MUTED)
        return
    at = (across - 0.5, down - 0.5)
    axes.add_patch(Rectangle(at, 1, 1, facecolor=BLUE, alpha=0.6 * (1 - (cell.rank - 1) / count), linewidth=0))
    if cell.is_best:
        inner = (at[0] + 0.02, at[1] + 0.06)
        axes.add_patch(Rectangle(inner, 0.96, 0.88, fill=False, edgecolor=INK, linewidth=1.8))
    axes.text(across, down, in_cell(cell, primary), ha="center", va="center", fontsize=10, color=INK)
