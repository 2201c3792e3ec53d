"""Draws the board of an evidence pack, from its folders: `python -m analysis.leaderboard DIR`.

Writes leaderboard.png, .md and .json, evidence.md, short enough for a pull request, and evidence.html, all of it in one
file, into DIR. `--against DIR` holds it against an earlier pack, `--series FILE` adds a line for tools that look for
change points. Exit status: 0 drawn; 1 drawn, but not held against the earlier pack, or without the line; 2 there is no
pack, or nothing to draw; 4 an arm got worse than it was.
"""

import argparse
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from analysis.comparison.arms import ComparisonError
from analysis.comparison.planned import plan_of
from analysis.standings import against, same, series, text, tuned, versions
from analysis.standings.against import Changes
from analysis.standings.board import Board
from analysis.standings.gathering import gather
from analysis.standings.judging import judge_board
from analysis.standings.markdown import markdown, short_markdown
from analysis.standings.protocol import read_protocol
from analysis.standings.same import Same
from record.files import FolderError, dump, write_text

FAILED, REFUSED, WORSE = 1, 2, 4
PICTURE, NUMBERS, TABLE = "leaderboard.png", "leaderboard.json", "leaderboard.md"
SHORT, PAGE = "evidence.md", "evidence.html"


@dataclass(frozen=True)
class Drawn:
    """A pack, judged."""

    pack: Path
    board: Board
    same: list[Same]
    tuned: list[str]
    began: datetime
    """When the first of its valid runs did; where there is none, now."""


def judged(pack: Path) -> Drawn:
    """A pack's board, from its folders.

    Raises:
        FolderError: it is none, or damaged.
        ComparisonError: its arms cannot be compared.
    """
    protocol = read_protocol(pack)
    cells = gather(pack, protocol)
    first = next((one for cell in cells.values() for one in cell.by_seed.values()), None)
    against_itself: list[Same] = []
    if first is not None:
        smallest = plan_of(first.run.manifest["config"]).smallest
        against_itself = same.assess(protocol, cells, same.twins(pack, protocol), smallest)
    excused = [each.arm for each in against_itself if each.has_failed]
    board = judge_board(pack, protocol, cells, excused, versions.mixed(versions.read_versions(pack)))
    starts = [one.run.manifest["started_at"] for cell in cells.values() for one in cell.by_seed.values()]
    began = min(map(datetime.fromisoformat, starts), default=datetime.now(UTC))
    return Drawn(pack, board, against_itself, tuned.sentences(pack), began)


def write(drawn: Drawn, changes: Changes | None = None) -> list[Path]:
    """All files of a board; those that were written.

    Raises:
        OSError: they cannot be.
    """
    from analysis.pages import leaderboard_page
    from analysis.pages.html import document, of_evidence

    pack, board = drawn.pack, drawn.board
    content = {
        "verdict": board.sentence(),
        **board.as_dict(),
        "same": [{**vars(each), "interval": each.interval, "has_failed": each.has_failed} for each in drawn.same],
        "tuning": drawn.tuned,
        "against": None if changes is None else changes.told(),
    }
    write_text(pack / NUMBERS, dump(content))
    write_text(pack / TABLE, markdown(board, pack, drawn.same, drawn.tuned, changes))
    write_text(pack / SHORT, short_markdown(board, pack, drawn.same, drawn.tuned, changes))
    leaderboard_page.draw(board, drawn.same, pack / PICTURE)
    written = [pack / name for name in (PICTURE, TABLE, NUMBERS, SHORT)]
    try:
        document.write(of_evidence.describe(pack, board, drawn.same, drawn.tuned, changes), pack / PAGE)
    except document.ReportError as error:
        print(f"note: no {PAGE}: {error}", file=sys.stderr)
        return written
    return [*written, pack / PAGE]


def finish(pack: Path, earlier: Path | None, lines: Path | None) -> int:
    """Judge, write, print; return the exit status.

    Args:
        pack: the folder.
        earlier: a pack to be held against.
        lines: a CSV file that gets a line.

    Raises:
        FolderError, ComparisonError, OSError: there is nothing to draw.
    """
    drawn, changes, status = judged(pack), None, 0
    if earlier is not None:
        try:
            changes = _changes(drawn, earlier)
            status = WORSE if changes.worse else 0
        except (FolderError, ComparisonError) as error:
            print(f"--against: {error}", file=sys.stderr)
            status = FAILED
    written = write(drawn, changes)
    print(drawn.board.sentence())
    told = [*text.mixed_told(drawn.board), *(text.same_told(drawn.same) if drawn.same else [])]
    for line in [*told, *text.left_out(drawn.board, drawn.same)]:
        print(f"note: {line}")
    if changes is not None:
        for line in changes.sentences():
            print(f"against {earlier}: {line}")
    if lines is not None:
        try:
            series.append(drawn.board, lines, drawn.began)
            written.append(lines)
        except (FolderError, OSError) as error:
            print(f"--series: {error}", file=sys.stderr)
            status = status or FAILED
    print(f"written: {', '.join(map(str, written))}")
    return status


def _changes(drawn: Drawn, earlier: Path) -> Changes:
    then = judged(earlier)
    excused = {*then.board.excused, *drawn.board.excused}
    return against.changes((earlier, then.board.protocol), (drawn.pack, drawn.board.protocol), excused)


def main(arguments: list[str] | None = None) -> int:
    """Draw what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.leaderboard", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("pack", type=Path, metavar="DIR", help="of `aegis evidence`; also one that is not whole yet")
    add = parser.add_argument
    add("--against", type=Path, metavar="DIR", help="an earlier pack; exit status 4 where an arm got worse")
    add("--series", type=Path, metavar="CSV", help="add a line a pack, for tools that look for change points (Otava)")
    chosen = parser.parse_args(arguments)
    try:
        return finish(chosen.pack, chosen.against, chosen.series)
    except (FolderError, ComparisonError, OSError) as error:
        print(error, file=sys.stderr)
        return REFUSED


if __name__ == "__main__":
    sys.exit(main())
