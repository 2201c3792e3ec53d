"""An arm over all rows of a board: how often it is what, and how it looks on average. Pure."""

import math
from collections.abc import Sequence

import numpy as np

from analysis.comparison.ranks import mean_ranks
from analysis.standings.board import Cell, Row, Standing


def standing(arm: str, rows: Sequence[Row], excused: Sequence[str]) -> Standing:
    """An arm over all rows."""
    states = [row.cell(arm).state for row in rows]
    ranks = [rank for row in rows if (rank := _rank(arm, row, excused)) is not None]
    return Standing(
        arm,
        states.count("best"),
        states.count("equivalent"),
        states.count("undecided"),
        states.count("worse"),
        states.count("loses more"),
        sum(ranks) / len(ranks) if ranks else None,
    )


def _rank(arm: str, row: Row, excused: Sequence[str]) -> float | None:
    """Of how an arm looks in a row that all have been measured in."""
    cells = [cell for cell in row.cells if cell.arm not in excused]
    if arm in excused or any(not cell.seeds for cell in cells):
        return None
    return mean_rank(cells, [cell.arm for cell in cells].index(arm), is_in_time=row.is_in_time)


def mean_rank(cells: Sequence[Cell], index: int, *, is_in_time: bool) -> float:
    """The rank of one cell, 1 = best: fewer lost first (to the fourth digit), then what verdicts are about; equal
    ones share theirs.
    """
    keys = []
    for cell in cells:
        value = cell.judged
        last = (1 - (value or 0.0)) if is_in_time else math.inf if value is None else value
        keys.append((0.0 if is_in_time else round(cell.lost.value or 0.0, 4), last))
    order = {key: place for place, key in enumerate(sorted(set(keys)))}
    return float(mean_ranks(np.array([float(order[key]) for key in keys]))[index])
