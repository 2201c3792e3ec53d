"""The page of an evidence pack: question, verdict, board, each cell's picture on a click, and how it was measured."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.pages import cell_picture
from analysis.pages.html.document import Document, Link, Picture, Section
from analysis.pages.html.provenance import versions
from analysis.standings.board import Board, Cell, Row, counted, counted_arms
from analysis.standings.same import Same
from analysis.standings.text import (
    best_told,
    cell_told,
    commands,
    how_to_read,
    left_out,
    protocol_told,
    row_label,
    same_told,
    standings_sheet,
)
from analysis.tables.export import Sheet
from record.files import FolderError, read_metrics
from record.reading import Run, read
from record.schema import REQUESTS

PICTURE = "leaderboard.png"
ABOUT_CELLS = (
    "Every request of one run of each cell (its first valid seed): when it was due, and how long it took; red crosses "
    "were not served, bands are faults and warm-up. The pictures of a pathology have one scale."
)
LEAST_MS, MOST_MS = 10.0, 1000.0
"""Of the pictures of a pathology whose runs do not say."""


def describe(pack: Path, board: Board, same: Sequence[Same], tuned: Sequence[str], against: Sequence[str]) -> Document:
    """What the page says.

    Args:
        pack: its folder, in which the board's picture is drawn already.
        board: judged.
        same: arms against themselves.
        tuned: what tuning chose, a line an arm.
        against: what changed against an earlier pack.
    """
    protocol = board.protocol
    shown = list(_shown(pack, board))
    sections = [
        Section("The question", [_question(board)], sheets=[_pathologies(board)]),
        Section("The board", how_to_read(board), sheets=[_linked(board, {anchor for anchor, *_ in shown})],
                pictures=[Picture("The board as a picture", (pack / PICTURE).read_bytes())]),
        Section("The arms", sheets=[standings_sheet(board)]),
        Section("Against an earlier pack", against),
        Section("An arm against itself", same_told(same)),
        Section("Tuning", tuned),
        Section("Each cell", [ABOUT_CELLS],
                pictures=[picture for _, picture, _ in shown], is_for_screens=True),
        Section("Comparisons", sheets=[], folded=[_comparisons(board)], is_for_screens=True),
        Section("What was left out", left_out(board, same) or ["Nothing but the requests of the warm-up."]),
        Section("Protocol and versions", protocol_told(board), sheets=_versions([run for *_, run in shown]),
                folded=_otherwise(board)),
        Section("To do it again", commands=commands(board, pack)),
    ]  # fmt: skip
    measured = sum(len(cell.seeds) for row in board.rows for cell in row.cells)
    return Document(
        title=board.title,
        subtitle=f"{counted(board.rows)}, {counted_arms(protocol)}, {measured:,} valid runs, "
        f"{'simulated' if protocol.is_virtual else 'live'}",
        verdicts=[board.sentence()],
        is_valid=any(row.best for row in board.rows),
        sections=sections,
    )


def _otherwise(board: Board) -> list[Sheet]:
    title = "What other programs do otherwise than Aegis' router with the same settings"
    return [Sheet(title, ("arm", "what"), board.otherwise)] if board.otherwise else []


def _versions(runs: Sequence[Run]) -> list[Sheet]:
    return [versions(runs)] if runs else []


def _question(board: Board) -> str:
    arms = ", ".join(_names(board))
    return f"Which of {arms} loses the least and stays nearest to what could be reached, under each of these?"


def _pathologies(board: Board) -> Sheet:
    rows = list(dict.fromkeys((row.plan.scenario, row.plan.about) for row in board.rows))
    return Sheet("What goes wrong", ("pathology", "what happens"), rows)


def anchor_of(row: Row, cell: Cell) -> str:
    """What a link within the page calls a cell's picture."""
    return re.sub(r"\W+", "-", f"cell-{row.plan.name}-{cell.arm}")


def _linked(board: Board, known: set[str]) -> Sheet:
    rows: list[list[object]] = []
    for row in board.rows:
        cells: list[object] = []
        for cell in row.cells:
            anchor, text = anchor_of(row, cell), cell_told(row, cell)
            cells.append(Link(text, anchor) if anchor in known else text)
        rows.append([row_label(row), row.label, *cells, best_told(row)])
    return Sheet("A click on a cell shows its run", ["pathology", "compared by", *_names(board), "best"], rows)


def _names(board: Board) -> list[str]:
    return [arm.name for arm in board.protocol.arms]


def _shown(pack: Path, board: Board) -> Iterator[tuple[str, Picture, Run]]:
    """A picture a cell: of its first run that has all its files."""
    for row in board.rows:
        found = [(cell, folder) for cell in row.cells if (folder := _whole(pack, cell)) is not None]
        scale = _scale([folder for _, folder in found])
        for cell, folder in found:
            try:
                run = read(folder)
                drawn = cell_picture.draw(folder, "", *scale)
            except FolderError:
                continue
            title = f"{row_label(row)}, {cell.arm}: {cell_told(row, cell)}"
            anchor = anchor_of(row, cell)
            yield anchor, Picture(title, drawn, anchor, folder.relative_to(pack).as_posix(), is_folded=True), run


def _whole(pack: Path, cell: Cell) -> Path | None:
    return next((pack / f for f in cell.folders if (pack / f / REQUESTS).exists()), None)


def _scale(folders: Sequence[Path]) -> tuple[float, float]:
    """Of latency, for all pictures of a pathology, ms."""
    known = [read_metrics(folder) for folder in folders]
    least = [m["latency_served_p50_ms"] for m in known if m["latency_served_p50_ms"]]
    most = [m["latency_served_max_ms"] for m in known if m["latency_served_max_ms"]]
    return (min(least) / 10 if least else LEAST_MS), (max(most) if most else MOST_MS)


def _comparisons(board: Board) -> Sheet:
    """All pairs of arms."""
    columns = ("pathology", "reference", "arm", "metric", "effect", "low", "high", "pairs", "level", "verdict")
    rows = [
        (row_label(row), j.reference, j.arm, j.metric, _short(j.effect), _short(j.low), _short(j.high), j.n,
         f"{100 * (1 - j.level):.3g} %", j.verdict)
        for row in board.rows
        for j in row.judgements
    ]  # fmt: skip
    return Sheet("All pairs of arms", columns, rows)


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
