"""The page of an evidence pack: question, verdict, board, each cell's picture on a click, and how it was measured."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from analysis.comparison.text import level_told
from analysis.pages import cell_picture
from analysis.pages.html.document import Document, Link, Picture, Section
from analysis.pages.html.provenance import versions
from analysis.standings.against import Changes
from analysis.standings.board import Board, Cell, Judgement, Row, counted, counted_arms
from analysis.standings.gathering import within
from analysis.standings.measures import BY_METRIC
from analysis.standings.same import Same
from analysis.standings.text import (
    best_told,
    cell_told,
    commands,
    how_to_read,
    left_out,
    protocol_told,
    question,
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
Anchors = Mapping[tuple[str, str], str]
"""What a link within the page calls a cell's picture, by row and arm."""


def describe(
    pack: Path, board: Board, same: Sequence[Same], tuned: Sequence[str], changes: Changes | None = None
) -> Document:
    """What the page says.

    Args:
        pack: its folder, in which the board's picture is drawn already.
        board: judged.
        same: arms against themselves.
        tuned: what tuning chose, a line an arm.
        changes: against an earlier pack; None = it was held against none.
    """
    protocol = board.protocol
    anchors, undrawn = anchors_of(board), list[str]()
    shown = list(_shown(pack, board, anchors, undrawn.append))
    drawn = {picture.anchor for picture, _ in shown}
    against = [] if changes is None else changes.told()
    again = commands(board, pack, None if changes is None else changes.then)
    sections = [
        Section("The question", [question(board)], sheets=[_pathologies(board)]),
        Section("The board", how_to_read(board), sheets=[_linked(board, anchors, drawn)],
                pictures=[Picture("The board as a picture", (pack / PICTURE).read_bytes())]),
        Section("The arms", sheets=[standings_sheet(board)]),
        Section("Against an earlier pack", against),
        Section("An arm against itself", same_told(same)),
        Section("Tuning", tuned),
        Section("Each cell", [ABOUT_CELLS, *undrawn],
                pictures=[picture for picture, _ in shown], is_for_screens=True),
        Section("Comparisons", sheets=[], folded=[_comparisons(board)], is_for_screens=True),
        Section("What was left out", left_out(board, same) or ["Nothing but the requests of the warm-up."]),
        Section("Protocol and versions", protocol_told(board), sheets=_versions([run for _, run in shown]),
                folded=_otherwise(board)),
        Section("To do it again", commands=again),
    ]  # fmt: skip
    measured = sum(len(cell.seeds) for row in board.rows for cell in row.cells)
    return Document(
        title=board.title,
        subtitle=f"{counted(board.rows)}, {counted_arms(protocol)}, {measured:,} valid runs, "
        f"{'simulated' if protocol.is_virtual else 'live'}",
        verdicts=[*against[:1], board.sentence()],
        is_valid=len(protocol.arms) == 1 or any(row.best for row in board.rows),
        sections=sections,
    )


def _otherwise(board: Board) -> list[Sheet]:
    title = "What other programs do otherwise than Aegis' router with the same settings"
    return [Sheet(title, ("arm", "what"), board.otherwise)] if board.otherwise else []


def _versions(runs: Sequence[Run]) -> list[Sheet]:
    return [versions(runs)] if runs else []


def _pathologies(board: Board) -> Sheet:
    rows = list(dict.fromkeys((row.plan.scenario, row.plan.about) for row in board.rows))
    return Sheet("What goes wrong", ("pathology", "what happens"), rows)


def anchors_of(board: Board) -> dict[tuple[str, str], str]:
    """Of every cell; numbered, since an anchor does not keep what `decay_s=1e-3` and `decay_s=1e+3` differ by."""
    cells = [(row.plan.name, cell.arm) for row in board.rows for cell in row.cells]
    return {cell: re.sub(r"\W+", "-", f"cell-{number}-{'-'.join(cell)}") for number, cell in enumerate(cells, 1)}


def _linked(board: Board, anchors: Anchors, known: set[str]) -> Sheet:
    rows: list[list[object]] = []
    for row in board.rows:
        cells: list[object] = []
        for cell in row.cells:
            anchor, text = anchors[row.plan.name, cell.arm], cell_told(row, cell)
            cells.append(Link(text, anchor) if anchor in known else text)
        rows.append([row_label(row), row.label, *cells, best_told(row)])
    names = [arm.name for arm in board.protocol.arms]
    return Sheet("A click on a cell shows its run", ["pathology", "compared by", *names, "best"], rows)


def _shown(
    pack: Path, board: Board, anchors: Anchors, leave_out: Callable[[str], None]
) -> Iterator[tuple[Picture, Run]]:
    """A picture a cell, of its first run that has all its files; why there is none is given to `leave_out`."""
    for row in board.rows:
        found = []
        for cell in row.cells:
            if (whole := _whole(pack, cell)) is not None:
                found.append((cell, whole))
            elif cell.seeds:
                leave_out(f"{_undrawn(row, cell)}: {_why_thin(board, cell)}.")
        scale = _scale([folder for _, folder in found])
        for cell, folder in found:
            try:
                run = read(folder)
                drawn = cell_picture.draw(folder, "", *scale)
            except FolderError as error:
                leave_out(f"{_undrawn(row, cell)}: {within(pack, str(error))}.")
                continue
            title = f"{row_label(row)}, {cell.arm}: {cell_told(row, cell)}"
            anchor = anchors[row.plan.name, cell.arm]
            yield Picture(title, drawn, anchor, folder.relative_to(pack).as_posix(), is_folded=True), run


def _whole(pack: Path, cell: Cell) -> Path | None:
    return next((pack / f for f in cell.folders if (pack / f / REQUESTS).exists()), None)


def _undrawn(row: Row, cell: Cell) -> str:
    return f"No picture of {row_label(row)}, {cell.arm}"


def _why_thin(board: Board, cell: Cell) -> str:
    """Why none of a cell's valid runs has its requests."""
    seeds, first = ", ".join(map(str, cell.seeds)), board.protocol.seeds[0]
    if board.protocol.is_virtual and first not in cell.seeds:
        return f"of simulated runs that of seed {first} alone keeps its requests, and valid are those of {seeds}"
    return f"{REQUESTS} is missing from its valid runs ({seeds})"


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
        (row_label(row), j.reference, j.arm, j.metric, *(effect_told(j, each) for each in (j.effect, j.low, j.high)),
         j.n, level_told(j.level), j.verdict)
        for row in board.rows
        for j in row.judgements
    ]  # fmt: skip
    return Sheet("All pairs of arms (x: times the reference's; points: percentage points of requests)", columns, rows)


def effect_told(judgement: Judgement, value: float | None) -> str | None:
    """An effect, or an end of its interval, with its unit: a ratio's, or that of a difference of shares."""
    if value is None:
        return None
    if BY_METRIC[judgement.metric].by == "ratio":
        return f"x {value:.4g}"
    return f"{100 * value:+.4g} points"
