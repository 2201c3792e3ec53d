"""`leaderboard.png`: arms over pathologies, each cell with its numbers and what it is."""

import textwrap
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from analysis.pages.style import BLUE, GREEN, GREY, HEADER_LINE_PX, INK, MUTED, ORANGE, RED, figure, header, save
from analysis.standings.board import Board, Cell, Row, State
from analysis.standings.same import Same
from analysis.standings.text import lost_told, mixed_told, row_label, sign, signs, value_told

CELL_PX, ROW_PX, LABEL_PX = 124, 58, 146
LEAST_ARMS = 5
"""That there is room for: the header and the legend need it. Six arms are 890 px, as wide as GitHub shows a README
(github-markdown-css: 980 px with 45 px of padding on each side)."""
LABEL_CHARACTERS, NAME_CHARACTERS = 18, 16
"""In a line, of a pathology's name and of an arm's."""
CELL_CHARACTERS = 16
"""In a line of a cell."""
CHARACTER_PX = 7.3
LEGEND_PX = 40
FILLS: dict[State, tuple[str, float, str]] = {
    "best": (GREEN, 0.55, ""),
    "equivalent": (GREEN, 0.28, ""),
    "undecided": (BLUE, 0.12, "///"),
    "not compared": (BLUE, 0.06, ""),
    "worse": (ORANGE, 0.28, ""),
    "loses more": (RED, 0.45, "xx"),
    "not asked": (GREY, 0.12, ""),
    "not measured": (GREY, 0.2, ""),
    "no verdict": (GREY, 0.3, ""),
}
"""Colour, how strong, and a hatching: told apart without colours, too."""
LABEL = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.75, "linewidth": 0}


def draw(board: Board, same: list[Same], path: Path) -> None:
    """Draw it; written whole or not at all.

    Raises:
        OSError: the place cannot be written to.
    """
    arms = [arm.name for arm in board.protocol.arms]
    width_px = LABEL_PX + CELL_PX * max(LEAST_ARMS, len(arms))
    verdict, rest = _about(board, same, width_px)
    lines = [*verdict, *rest]
    header_px = 20 + HEADER_LINE_PX * (len(lines) + 1)
    canvas = figure(width_px, header_px + LEGEND_PX + 70 + ROW_PX * len(board.rows), header_px)
    header(canvas, 0, board.title, fontsize=15, fontweight="bold", color=INK)
    for number, line in enumerate(lines, 1):
        header(canvas, number, line, fontsize=10, color=INK if number <= len(verdict) else MUTED)
    axes = canvas.subplots()
    for y, row in enumerate(board.rows):
        for x, cell in enumerate(row.cells):
            _cell(axes, x, y, row, cell)
    axes.set_xlim(-0.5, len(arms) - 0.5)
    axes.set_ylim(len(board.rows) - 0.5, -0.5)
    axes.set_xticks(range(len(arms)), [textwrap.fill(name, NAME_CHARACTERS) for name in arms], fontsize=10, color=INK)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(board.rows)), [_named(row) for row in board.rows], fontsize=9.5, color=INK)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    handles = [
        Patch(facecolor=colour, alpha=strong, hatch=hatch, edgecolor=GREY, label=" or ".join(called))
        for state, (colour, strong, hatch) in FILLS.items()
        if (called := signs(board, state))
    ]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=len(handles), frameon=False,
                fontsize=9.5)  # fmt: skip
    save(canvas, path)


def _about(board: Board, same: list[Same], width_px: int) -> tuple[list[str], list[str]]:
    """Lines of the verdict, and of what goes with it."""
    protocol = board.protocol
    how = "simulated" if protocol.is_virtual else "live"
    family = "board" if protocol.family == "board" else "row"
    texts = [
        f"{how}, {len(protocol.seeds)} seeds; each cell: p99 while the fault lasts over the floor's (or what the row "
        f"says) with intervals that hold together over the {family}, and what was lost beyond the floor's",
    ]
    texts += mixed_told(board)
    if same:
        trials, false = sum(each.trials for each in same), sum(each.false for each in same)
        texts.append(f"arms against themselves: {false} of {trials} trials found a difference (target: at most 5 %)")
    room = int((width_px - 30) / CHARACTER_PX)
    return textwrap.wrap(board.sentence(), room), [line for text in texts for line in textwrap.wrap(text, room)]


def _named(row: Row) -> str:
    about = "" if row.label.startswith("p99 over the floor's") else f"({row.label})"
    parts = [*row_label(row).split(", "), about]
    return "\n".join(textwrap.fill(text, LABEL_CHARACTERS) for text in parts if text)


def _cell(axes: Axes, x: int, y: int, row: Row, cell: Cell) -> None:
    colour, strong, hatch = FILLS[cell.state]
    at = (x - 0.48, y - 0.46)
    axes.add_patch(Rectangle(at, 0.96, 0.92, facecolor=colour, alpha=strong, linewidth=0))
    if hatch:
        axes.add_patch(Rectangle(at, 0.96, 0.92, fill=False, hatch=hatch, edgecolor=GREY, linewidth=0, alpha=0.5))
    if not cell.seeds:
        axes.text(x, y, sign(cell), ha="center", va="center", fontsize=8.5, color=MUTED)
        return
    lines = [value_told(row, cell, spanned=False), _span_alone(row, cell), lost_told(row, cell, spanned=False)]
    lines = [textwrap.fill(line, CELL_CHARACTERS) for line in lines if line]
    weight = "bold" if cell.state in ("best", "equivalent") else "normal"
    box = LABEL if hatch else None
    axes.text(x, y, "\n".join(lines), ha="center", va="center", fontsize=9, color=INK, fontweight=weight, bbox=box,
              linespacing=1.25)  # fmt: skip


def _span_alone(row: Row, cell: Cell) -> str:
    told, alone = value_told(row, cell), value_told(row, cell, spanned=False)
    return told.removeprefix(alone).strip()
