"""Arms over several workloads: what each came to under each, and its rank there. No test is made of ranks.

Who is best under one workload is judged by its comparison. Over all of them there is no more than a summary: the mean
of an arm's ranks says who is seldom far behind, not by how much, and the workloads of a sweep were chosen, not drawn
from any population that a test could speak of (as tests on ranks over data sets take them to be: Demsar, Statistical
Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.comparison.compared import BY_KEY, FAILED
from analysis.comparison.comparison import Comparison, Row
from analysis.comparison.front import front_of
from analysis.comparison.ranks import mean_ranks


@dataclass(frozen=True)
class Cell:
    """An arm under a workload."""

    rank: float
    """By what was seen: lost requests first, in units of the smallest share of interest, then the primary metric; equal
    ones have the mean of theirs."""
    value: float | None
    """Of the primary metric; None = it has none."""
    is_best: bool
    """Whether it is among those that no other one was found better than."""
    is_on_front: bool | None
    """Of cost and broken promises; None = it has no place there."""


@dataclass(frozen=True)
class Overview:
    """All arms under all workloads."""

    primary: str
    workloads: list[str]
    cells: dict[str, list[Cell | None]]
    """By arm, a cell a workload; None = it was not compared there. Those of the best mean rank first."""
    alone: tuple[str, ...]
    """Workloads of one arm, of which nothing is compared."""

    def mean_rank(self, arm: str) -> float | None:
        """Over the workloads; None = it was not compared under all of them."""
        ranks = [cell.rank for cell in self.cells[arm] if cell is not None]
        return sum(ranks) / len(ranks) if len(ranks) == len(self.workloads) else None

    def times_best(self, arm: str) -> int:
        """Under how many workloads it is among the best."""
        return sum(cell is not None and cell.is_best for cell in self.cells[arm])

    def times_on_front(self, arm: str) -> int | None:
        """Under how many it is on the front of cost and broken promises; None = it has no place on any."""
        known = [cell.is_on_front for cell in self.cells[arm] if cell is not None and cell.is_on_front is not None]
        return sum(known) if known else None


def overview_of(comparisons: Sequence[Comparison]) -> Overview | None:
    """The summary of several workloads; None where there is one only."""
    if len(comparisons) < 2:
        return None
    columns = [_column(comparison) for comparison in comparisons]
    both = (label for each in comparisons for pairs in each.pairings for label in (pairs.reference, pairs.arm))
    arms = dict.fromkeys(both)
    cells = {arm: [column.get(arm) for column in columns] for arm in arms}
    names = [comparison.workload for comparison in comparisons]
    found = Overview(comparisons[0].primary, names, cells, comparisons[0].family.alone)
    ordered = sorted(cells, key=lambda arm: found.mean_rank(arm) or math.inf)
    return Overview(found.primary, names, {arm: cells[arm] for arm in ordered}, found.alone)


def _column(comparison: Comparison) -> dict[str, Cell]:
    """The arms under one workload that have a pair."""
    values, lost = _seen(comparison, comparison.primary), _seen(comparison, FAILED)
    best = best_of(comparison)
    front = front_of(comparison.arms)
    on_front = {} if front is None else {point.arm: point.is_on_front for point in front.points}
    sign = 1 if BY_KEY[comparison.primary].lower_is_better else -1
    keys = {
        arm: (round((lost.get(arm) or 0.0) / comparison.smallest.share), math.inf if value is None else sign * value)
        for arm, value in values.items()
    }
    return {arm: Cell(rank, values[arm], arm in best, on_front.get(arm)) for arm, rank in ranked(keys).items()}


def ranked(keys: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """The rank of each arm, from 1; equal ones have the mean of theirs.

    Args:
        keys: what each lost, in units of the smallest share of interest, and what it came to; lower is better in both,
            the first comes first, infinity is last.
    """
    places = {key: place for place, key in enumerate(sorted(set(keys.values())))}
    ranks = mean_ranks(np.array([places[key] for key in keys.values()], dtype=np.float64))
    return {arm: float(rank) for arm, rank in zip(keys, ranks, strict=True)}


def _seen(comparison: Comparison, metric: str) -> dict[str, float | None]:
    """What the arms with a pair came to, the reference by the first row that has its value."""
    known: dict[str, float | None] = {}
    for pairs in comparison.pairings:
        row: Row | None = comparison.row(pairs.arm, metric)
        if row is None:
            continue
        if known.get(pairs.reference) is None:
            known[pairs.reference] = row.reference_value
        known[pairs.arm] = row.arm_value
    return known


def best_of(comparison: Comparison) -> tuple[str, ...]:
    """The arms that no other one was found better than: the best set, of two those that are not worse."""
    if comparison.best is not None:
        return comparison.best.members
    pairs = comparison.pairings[0]
    row = comparison.row(pairs.arm, comparison.primary)
    both = (pairs.reference, pairs.arm)
    return {"better": both[1:], "worse": both[:1]}.get((row.overall if row else None) or "", both)


def in_words(overview: Overview) -> list[str]:
    """What the ranks say, and what they do not."""
    count = len(overview.workloads)
    label = BY_KEY[overview.primary].label
    ranked = [(arm, rank) for arm in overview.cells if (rank := overview.mean_rank(arm)) is not None]
    order = ", ".join(f"{arm} {rank:.1f}" for arm, rank in ranked)
    lines = [
        f"Mean rank over {count} workloads, by {label} as it was seen, lost requests first: {order or 'none has one'}. "
        "It is no test: it says who is seldom far behind, not by how much, and of other workloads nothing."
    ]
    always = [arm for arm in overview.cells if overview.times_best(arm) == count]
    lines.append(f"Among the best under each of the {count}: {', '.join(always) or 'no arm'}.")
    fronts = {arm: times for arm in overview.cells if (times := overview.times_on_front(arm)) is not None}
    if fronts:
        most = max(fronts.values())
        named = ", ".join(arm for arm, times in fronts.items() if times == most)
        lines.append(f"Most often on the front of cost and broken promises, {most} of {count} times: {named}.")
    if overview.alone:
        lines.append(f"Not compared, as there is one arm only: {', '.join(overview.alone)}.")
    return lines
