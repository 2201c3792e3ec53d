"""A board in words: its cells, its table, and what is said below it."""

import math
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from analysis.comparison.text import level_told, says_nothing
from analysis.standings.board import IN_WORDS, Board, Cell, Row, Spanned, State, goes_on
from analysis.standings.same import Same
from analysis.tables.export import Sheet
from record.provenance import DIRTY

BOLD: tuple[State, ...] = ("best", "equivalent")
SIGNS: dict[State, str] = {
    "best": "best", "equivalent": "best, as others", "undecided": "undecided",
    "not compared": "not compared", "worse": "worse",
    "loses more": "loses more", "not asked": "cannot be asked", "not measured": "no valid run",
    "no verdict": "no verdict (A/A)",
}  # fmt: skip
"""A cell's state in a word or two."""
LEAST_SHARE = 0.00005
"""That two digits of a percentage show; below it requests are counted."""
MOST_PERCENT = 99.99
"""Of a share that is not all."""
PLAIN: tuple[State, ...] = ("undecided", "not compared", "worse")
"""States of a cell that need no word where who is best, or among whom it is undecided, stands at the row's end."""
NOT_YET = "not yet"
"""Of a cell that was not come to."""
NOT_COME_TO = "its runs were not come to so far"


def value_told(row: Row, cell: Cell, *, spanned: bool = True) -> str:
    """A cell's number, with its interval where that says something; why there is none; empty where it has no run."""
    if not cell.seeds:
        return ""
    value = cell.value
    if value.value is None:
        return _why_not(cell)
    if row.is_in_time:
        tell, unit = _percent, " %"
    elif row.plan.measure.startswith("latency"):
        tell, unit = _ms, " ms"
    else:
        tell, unit = _plain, ""
    span = _interval(value, tell, is_ratio=not row.is_in_time) if spanned else ""
    return f"{tell(value.value)}{unit} {span}".strip()


def _why_not(cell: Cell) -> str:
    """Why a cell has no number, and in how many seeds it is so."""
    reasons = [
        ("" if cell.beyond_ms is None else f"beyond {cell.beyond_ms:,.0f} ms", cell.unserved - cell.without_any),
        ("nothing served", cell.without_any),
        ("nothing asked", cell.unknown),
        ("no floor", cell.floorless),
    ]
    return ", ".join(f"{why} {_in_seeds(count, cell)}" for why, count in reasons if count) or "-"


def _in_seeds(count: int, cell: Cell) -> str:
    return f"in {count} of {len(cell.seeds)} seeds"


def _plain(value: float) -> str:
    """A ratio, to three digits, and no more than two behind the point."""
    whole = math.floor(math.log10(value)) if value >= 1 else 0
    return f"{value:,.{max(0, 2 - whole)}f}"


def _ms(value: float) -> str:
    return f"{value:,.0f}"


def _percent(value: float) -> str:
    """Never 100 where something is lacking."""
    return f"{min(100 * value, MOST_PERCENT) if value < 1 else 100:.2f}"


def _finely(value: float) -> str:
    return f"{100 * value:.2f}"


def _interval(value: Spanned, tell: Callable[[float], str], *, is_ratio: bool) -> str:
    low, high = value.low, value.high
    if low is None or high is None or value.value is None or (is_ratio and says_nothing(value.value, low, high)):
        return ""
    return f"[{tell(low)}, {tell(high)}]"


def lost_told(row: Row, cell: Cell, *, spanned: bool = True) -> str:
    """What a cell lost beyond the floor; empty where nothing was, and where the measure holds it."""
    if row.is_in_time or not cell.seeds or cell.lost_requests <= 0 or cell.lost.value is None:
        return ""
    if cell.lost.value < LEAST_SHARE:
        return f"{cell.lost_requests:,} of {cell.requests:,} lost" if spanned else f"{cell.lost_requests:,} lost"
    span = _interval(cell.lost, _finely, is_ratio=False) if spanned else ""
    return f"lost {_finely(cell.lost.value)} % {span}".strip()


def sign(cell: Cell) -> str:
    """A cell's state in a word or two."""
    return NOT_YET if _is_open(cell) else SIGNS[cell.state]


def _is_open(cell: Cell) -> bool:
    """Whether nothing of it was tried."""
    return cell.state == "not measured" and not cell.invalid and not cell.failed


def cell_told(row: Row, cell: Cell, *, spanned: bool = True) -> str:
    """A cell in a line; without its intervals also without a word for a state that the row's last column tells."""
    if not cell.seeds:
        return sign(cell)
    parts = [value_told(row, cell, spanned=spanned), lost_told(row, cell, spanned=spanned)]
    words = [SIGNS[cell.state]] if spanned or cell.state not in PLAIN else []
    return "; ".join([*(part for part in parts if part), *words])


def row_label(row: Row) -> str:
    """A pathology's name, with the size of its fleet where that is not its own."""
    return row.plan.scenario if row.plan.replicas is None else f"{row.plan.scenario}, {row.plan.replicas} replicas"


def table(board: Board, *, spanned: bool = True) -> Sheet:
    """The board: a row a pathology, a column an arm."""
    names = [arm.name for arm in board.protocol.arms]
    rows = [
        [row_label(row), row.label, *(cell_told(row, cell, spanned=spanned) for cell in row.cells), best_told(row)]
        for row in board.rows
    ]
    return Sheet("The board", ["pathology", "compared by", *names, "best"], rows)


def best_told(row: Row) -> str:
    """Who is best, or among whom it is not decided, and of whom no p99 is known in some seed."""
    if not row.best:
        return "undecided" if row.judgements else "-"
    if row.is_decided:
        return ", ".join(row.best)
    unserved = [f"p99 of {cell.arm} not served {_in_seeds(cell.unserved, cell)}" for arm in row.best
                if (cell := row.cell(arm)).unserved]  # fmt: skip
    why = f" ({'; '.join(unserved)})" if unserved else ""
    if len(row.best) == 1:
        return f"{row.best[0]}, but not shown to be better than every other{why}"
    return f"undecided: {', '.join(row.best)}{why}"


def standings_sheet(board: Board) -> Sheet:
    """The arms over all pathologies."""
    columns = ("arm", "better than all", "as good as the best", "undecided", "worse", "loses more", "mean rank")
    rows = [
        (s.arm, s.alone, s.equivalent, s.undecided, s.worse, s.loses_more,
         "-" if s.mean_rank is None else f"{s.mean_rank:.2f}")
        for s in board.standings
    ]  # fmt: skip
    return Sheet("The arms", columns, rows)


def question(board: Board) -> str:
    """What the board answers."""
    names = [arm.name for arm in board.protocol.arms]
    reached = "to what could be reached, under each of these?"
    if len(names) == 1:
        return f"What does {names[0]} lose, and how near does it stay {reached}"
    return f"Which of {', '.join(names)} loses the least and stays nearest {reached}"


def signs(board: Board, state: State) -> list[str]:
    """What the board's cells of that state are called."""
    return list(dict.fromkeys(sign(cell) for row in board.rows for cell in row.cells if cell.state == state))


def how_to_read(board: Board, *, spanned: bool = True) -> list[str]:
    """What the board's words mean, those of its intervals where it is `spanned`."""
    family = "the whole board" if board.protocol.family == "board" else "each row"
    apart = [row.floors for row in board.rows if row.floors]
    floors = f" Multiples of different floors: {'; '.join(apart)}." if apart else ""
    meant = [f"{called}: {NOT_COME_TO if called == NOT_YET else words}"
             for state, words in IN_WORDS.items() for called in signs(board, state)]  # fmt: skip
    verdicts = "Verdicts"
    if spanned:
        verdicts = f"Intervals hold together with {level_told(board.level)} over {family} (Bonferroni); verdicts"
    return [
        "Each cell: the p99 of the requests that came while the fault lasted, as a multiple of the floor's (what a "
        "dispatcher who knows every slot, speed and fault would have reached on the same schedule), or what stands "
        "under 'compared by'; then the share of requests lost beyond those that the floor loses."
        f"{_remarks(board)}",
        "Verdicts are about the p99 itself, in which a floor that two arms have in common cancels: an arm whose own "
        f"replicas are slower, or come back later, gains nothing by its higher floor.{floors}",
        f"{verdicts} are those of all pairs of arms by paired runs, {family} one family of {100 * board.level:.2g} % "
        "(Holm; that two differ by less than matters, Bonferroni). The smallest effects of interest: "
        f"{100 * board.smallest_effect:g} %, {100 * board.smallest_share:g} percentage points of requests.",
        "Lost requests come first: an arm that loses more than the smallest share beyond another one, on the seeds of "
        f"both, is never best. {'; '.join(meant)}.",
    ]


def _remarks(board: Board) -> str:
    """On cells that are of another kind, where there are such."""
    cells = [cell for row in board.rows for cell in row.cells]
    told = ""
    if any(row.is_in_time for row in board.rows):
        told += " What is served within the objective has no lost requests in it."
    if any(cell.unserved for cell in cells):
        told += (
            " 'Beyond' a latency in some seeds: there the p99 lies among requests that were not served, behind all "
            "that were; it is the least of these bounds. Such an arm's runs are compared by their ranks alone, and n "
            "pairs have a p of 2/2^n at least."
        )
    if any(cell.floorless for cell in cells):
        told += (
            " 'No floor' in some seeds: there the floor loses so many requests that it has no p99; verdicts do without."
        )
    return told


def left_out(board: Board, same: Sequence[Same]) -> list[str]:
    """What is not in the board and in the trials of arms against themselves, and why."""
    said = [f"{row_label(row)}, {cell.arm}: {cell.reason}" for row in board.rows for cell in row.cells
            if cell.state in ("not asked", "not measured") and not _is_open(cell)]  # fmt: skip
    if whom := _not_yet(board):
        said.append(f"not measured yet: {'; '.join(whom)}")
    said += [f"not asked of anybody: {text}" for text in board.protocol.skipped]
    for told, kind in (("whose instrument did not work", "invalid"), ("that failed", "failed")):
        by_arm = {arm.name: [line for row in board.rows for line in getattr(row.cell(arm.name), kind)]
                  for arm in board.protocol.arms}  # fmt: skip
        if lines := [line for lines in by_arm.values() for line in lines]:
            counts = ", ".join(f"{arm} {len(lines)}" for arm, lines in by_arm.items() if lines)
            said.append(f"{len(lines)} run(s) {told} ({counts}), as {lines[0]}")
    if board.missing:
        missing = ", ".join(f"{arm} {count}" for arm, count in board.missing_by_arm if count)
        end = goes_on(is_virtual=board.protocol.is_virtual)
        whose = f"{board.missing} run(s) of which nothing valid is there ({missing})"
        said.append(f"{whose}: their pairs are left out; {end}")
    for each in same:
        if each.missing:
            first = f", as {each.left_out[0]}" if each.left_out else ""
            said.append(f"{each.arm} against itself: {each.missing} run(s) of which nothing valid is there{first}")
    return said


def _not_yet(board: Board) -> list[str]:
    """Pathologies with the arms that were not come to."""
    opened = {row_label(row): [cell.arm for cell in row.cells if _is_open(cell)] for row in board.rows}
    whole = [label for label, arms in opened.items() if len(arms) == len(board.protocol.arms)]
    parts = [f"{label} ({', '.join(arms)})" for label, arms in opened.items() if arms and label not in whole]
    return [*parts, *([f"{', '.join(whole)} (all arms)"] if whole else [])]


def mixed_told(board: Board) -> list[str]:
    """Where runs of several versions stand side by side, what differs; empty where none do."""
    return [f"The runs were not all made with the same {text}." for text in board.mixed]


def protocol_told(board: Board) -> list[str]:
    """How it was measured, a line each."""
    protocol = board.protocol
    how = "simulated (virtual time)" if protocol.is_virtual else f"live (engine={protocol.engine})"
    length = "as long as each scenario" if protocol.duration_s is None else f"{protocol.duration_s:g} s each"
    arms = "; ".join(f"{arm.name}: {shlex.join(arm.typed)}" for arm in protocol.arms)
    common = f" All: {shlex.join(protocol.common)}." if protocol.common else ""
    called = "; ".join(f"{arm}: {program}" for arm, program in board.versions)
    programs = f" Programs: {called}." if called else ""
    dirty = " (with changes that were not committed)" if any(map(_is_dirty, board.commits)) else ""
    again = "whose instrument did not work was repeated"
    if protocol.is_virtual:  # such a one comes out the same again
        again = "that failed was repeated"
    return [
        f"Runs: {how}, {length}, {len(protocol.seeds)} seeds (from {protocol.seeds[0]} on); arms of one seed had "
        "the same requests at the same moments; within a seed and pathology in an order drawn from the seed.",
        f"Arms: {arms}.{common}{programs}",
        f"A run {again}, {protocol.tries} tries at most. Commit: {', '.join(board.commits)}{dirty}.",
        *mixed_told(board),
    ]


def commands(board: Board, pack: Path, against: Path | None = None) -> list[str]:
    """What to type to measure it again, in its order, and to draw it again.

    Args:
        board: of the pack.
        pack: its folder.
        against: the earlier pack that it was held against; None = it was not.
    """
    typed = [*board.protocol.earlier, board.protocol.command]
    drawn = ["python", "-m", "analysis.leaderboard", str(pack)]
    drawn += [] if against is None else ["--against", str(against)]
    return [*_code_of(board), *map(shlex.join, typed), shlex.join(drawn)]


def _code_of(board: Board) -> list[str]:
    """What brings back the code, or says why nothing does; empty where it is of no commit."""
    known = [commit for commit in board.commits if commit != str(None)]
    if len(known) == 1 and not _is_dirty(known[0]):
        return [f"git checkout {known[0]}"]
    lacking = ", with changes that were not committed" if any(map(_is_dirty, known)) else ""
    return [f"# commit {', '.join(known)}{lacking}"] if known else []


def _is_dirty(commit: str) -> bool:
    return commit.endswith(DIRTY)


def same_told(same: Sequence[Same]) -> list[str]:
    """Each arm against itself; one line where nobody asked."""
    return [each.sentence() for each in same] or ["not measured (--aa asks for it)"]
