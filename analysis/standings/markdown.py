"""A board in Markdown: `leaderboard.md`, all of it, and `evidence.md`, as much as a pull request has room for.

What a folder says, be it an arm's name, a path or an error, is escaped: no text of it is markup.
"""

from collections.abc import Sequence
from pathlib import Path

from analysis.standings.against import Changes
from analysis.standings.board import Board, Cell, Row
from analysis.standings.same import Same
from analysis.standings.text import (
    BOLD,
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
    table,
)
from analysis.tables.export import escaped


def markdown(
    board: Board, pack: Path, same: Sequence[Same], tuned: Sequence[str], changes: Changes | None = None
) -> str:
    """`leaderboard.md`: all of it.

    Args:
        board: judged.
        pack: its folder, as the command that draws it again names it.
        same: arms against themselves.
        tuned: what tuning chose, a line an arm.
        changes: against an earlier pack; None = it was held against none.
    """
    parts = [f"# {escaped(board.title)}", *_verdicts(board, changes), escaped(question(board))]
    parts += [_listed(how_to_read(board)), _board(board), standings_sheet(board).as_markdown().rstrip()]
    if changes is not None:
        parts += ["### Against an earlier pack", _listed(changes.told())]
    parts += ["### An arm against itself", _listed(same_told(same)), "### Tuning", _listed(tuned)]
    if said := left_out(board, same):
        parts += ["### Left out", _listed(said)]
    return _joined([*parts, "### Protocol", _listed(protocol_told(board)), _again(board, pack, changes)])


def short_markdown(
    board: Board, pack: Path, same: Sequence[Same], tuned: Sequence[str], changes: Changes | None = None
) -> str:
    """`evidence.md`: as much as a pull request has room for; arguments as of `markdown`."""
    rows = table(board, spanned=False).as_markdown().splitlines()[2:]
    parts = [f"### {escaped(board.title)}", *(f"**{text}**" for text in _verdicts(board, changes))]
    parts += [escaped(question(board)), "\n".join(rows)]
    if changes is not None and (told := changes.details()):
        parts.append(_listed(told))
    parts.append(_listed([*how_to_read(board, spanned=False), *protocol_told(board)]))
    more = [("An arm against itself", same_told(same)), ("Tuning", tuned), ("Left out", left_out(board, same))]
    parts += [f"<details><summary>{title}</summary>\n\n{_listed(told)}\n\n</details>" for title, told in more if told]
    return _joined([*parts, _again(board, pack, changes)])


def _verdicts(board: Board, changes: Changes | None) -> list[str]:
    """What got worse stands first: the exit status goes by it."""
    return [*([] if changes is None else [escaped(changes.sentence())]), escaped(board.sentence())]


def _board(board: Board) -> str:
    """The table, in which each cell leads to its runs."""
    names = [escaped(arm.name) for arm in board.protocol.arms]
    lines = [f"| pathology | compared by | {' | '.join(names)} | best |", "|" + "---|" * (len(names) + 3)]
    for row in board.rows:
        cells = " | ".join(_linked(row, cell) for cell in row.cells)
        lines.append(f"| {escaped(row_label(row))} | {row.label} | {cells} | {escaped(best_told(row))} |")
    return "\n".join(lines)


def _linked(row: Row, cell: Cell) -> str:
    text = escaped(cell_told(row, cell))
    mark = "**" if cell.state in BOLD else ""
    if not cell.folders:
        return text
    links = " ".join(f"[{seed}](<{folder}>)" for seed, folder in zip(cell.seeds, cell.folders, strict=True))
    return f"{mark}{text}{mark} (seeds {links})"


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)


def _again(board: Board, pack: Path, changes: Changes | None) -> str:
    """The commands, within a fence that none of them ends."""
    typed = "\n".join(commands(board, pack, None if changes is None else changes.then))
    fence = "```"
    while fence in typed:
        fence += "`"
    return f"{fence}sh\n{typed}\n{fence}"


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"
