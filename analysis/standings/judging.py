"""Pairs of arms under every pathology, judged in families; who is best of each, lost requests first. Pure.

The effects and verdicts are those of `analysis/comparison/`: paired by seed, the run is the unit, ratios by Student's t
on their logarithms, lost requests by the wider of two intervals, all of a family by Holm with Tarone's rule.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.comparison.arms import ComparisonError, Pair, Pairs
from analysis.comparison.compared import BY_KEY, FAILED, Compared
from analysis.comparison.effects import Effect, find, is_worst
from analysis.comparison.planned import look_reached, plan_of
from analysis.comparison.statistics import ALPHA, Verdict
from analysis.comparison.verdicts import BestSet, Judged, Smallest, best_set, judge_family, overall
from analysis.standings.board import Board, Cell, Judgement, Row, State, goes_on, relative
from analysis.standings.gathering import CellRuns, commits_of
from analysis.standings.measures import FAULT, IN_TIME, MEASURES, WHOLE, judged_by
from analysis.standings.numbers import (
    beyond,
    lost_beyond_floor,
    lost_spanned,
    mean_of,
    on_its_scale,
    share_lost,
    spanned,
    unknown,
    without_any,
)
from analysis.standings.protocol import Protocol, RowPlan
from analysis.standings.ranking import standing
from record.metrics import Metrics, value_of
from record.shapes import DataPlane

Cells = Mapping[tuple[str, str], CellRuns]
"""By row and arm."""
LEAST_PAIRS = 2
"""Of two arms, for a verdict: the run is the unit, and one pair says nothing of how runs differ."""


@dataclass(frozen=True)
class _Within:
    """A row's pairings, with their effects."""

    plan: RowPlan
    arms: list[str]
    effects: list[tuple[Pairs, list[Effect]]]


def judge_board(
    pack: Path, protocol: Protocol, cells: Cells, excused: Sequence[str] = (), mixed: Sequence[str] = ()
) -> Board:
    """The board.

    Args:
        pack: the pack's folder.
        protocol: what was set before the data.
        cells: what there is of each that can be asked.
        excused: arms that get no verdicts.
        mixed: what the runs were not all made with alike.

    Raises:
        ComparisonError: runs of one seed were asked differently, or what the manifests say cannot be used.
    """
    runs = [one for cell in cells.values() for one in cell.by_seed.values()]
    if not runs:
        first = next((line for cell in cells.values() for line in (*cell.invalid, *cell.failed)), None)
        why = f" ({first})" if first else ""
        raise ComparisonError(f"{pack}: no valid run yet{why}; {goes_on(is_virtual=protocol.is_virtual)}")
    plan = plan_of(runs[0].run.manifest["config"])
    most = max(len(cell.by_seed) + len(cell.unmeasured) for cell in cells.values())
    reached = look_reached(plan, runs, most)
    alpha = ALPHA if reached is None else reached.level
    within = [_within(row, protocol, cells, excused) for row in protocol.rows]
    families = [within] if protocol.family == "board" else [[one] for one in within]
    rows: dict[str, Row] = {}
    for family in families:
        counted = sum(_intervals(one.plan) * bool(cells[key].by_seed) for one in family for key in cells
                      if key[0] == one.plan.name)  # fmt: skip
        judged = {id(j.effect): j for j in judge_family(_all(family), alpha, plan.smallest)}
        for one in family:
            told = _Telling(pack, protocol, cells, plan.smallest, alpha / max(1, counted), tuple(excused))
            rows[one.plan.name] = told.row(one, judged)
    ordered = tuple(rows[row.name] for row in protocol.rows)
    return Board(
        protocol,
        ordered,
        tuple(standing(arm.name, ordered, excused) for arm in protocol.arms),
        plan.smallest.effect,
        plan.smallest.share,
        alpha,
        tuple(excused),
        tuple((arm.name, sum(len(cell.unmeasured) for key, cell in cells.items() if key[1] == arm.name))
              for arm in protocol.arms),
        commits_of(cells.values()),
        tuple(dict.fromkeys((arm, f"{it['name']} {it['version']}, {it['algorithm']}") for arm, it in _programs(cells))),
        tuple(dict.fromkeys((arm, sentence) for arm, it in _programs(cells) for sentence in it["otherwise"])),
        tuple(mixed),
    )


def _intervals(row: RowPlan) -> int:
    """How many a cell shows: of its measure, and of what it lost where the measure does not hold that."""
    return 1 if row.measure == IN_TIME else 2


def _programs(cells: Cells) -> list[tuple[str, DataPlane]]:
    """The arms that are other programs, with what their runs say of those."""
    runs = [(arm, one.run.manifest) for (_, arm), cell in cells.items() for one in cell.by_seed.values()]
    return [(arm, manifest["data_plane"]) for arm, manifest in runs if "data_plane" in manifest]


def _all(family: Sequence[_Within]) -> list[Effect]:
    return [effect for one in family for _, effects in one.effects for effect in effects]


def _within(row: RowPlan, protocol: Protocol, cells: Cells, excused: Sequence[str]) -> _Within:
    names = [arm.name for arm in protocol.arms if arm.name not in excused]
    arms = [name for name in names if (row.name, name) in cells and cells[row.name, name].by_seed]
    pairings = [pair_by_seed(both, cells[row.name, both[0]], cells[row.name, both[1]])
                for both in itertools.combinations(arms, 2)]  # fmt: skip
    return _Within(row, arms, [(pairs, effects_of(pairs, judged_by(row.measure))) for pairs in pairings])


def pair_by_seed(names: tuple[str, str], ours: CellRuns, theirs: CellRuns) -> Pairs:
    """The valid runs of two arms with the same seed, which were asked the same.

    Raises:
        ComparisonError: they were not.
    """
    pairs = Pairs(*names)
    for seed in sorted(ours.by_seed.keys() & theirs.by_seed.keys()):
        one, other = ours.by_seed[seed], theirs.by_seed[seed]
        if one.run.manifest.get("schedule_hash") != other.run.manifest.get("schedule_hash"):
            raise ComparisonError(
                f"{one.run.folder} and {other.run.folder}: same seed, but different schedules; the load must be the "
                "same"
            )
        pairs.kept.append(Pair(seed, one, other))
    return pairs


def effects_of(pairs: Pairs, compared: Compared) -> list[Effect]:
    """By this, and by lost requests where it does not hold them already; none of fewer pairs than `LEAST_PAIRS`."""
    if len(pairs.kept) < LEAST_PAIRS:
        return []
    keys = [compared] if compared.key == IN_TIME else [compared, BY_KEY[FAILED]]
    return [effect for key in keys if (effect := find(key, pairs)) is not None]


def overall_of(effects: Sequence[Effect], judged: Mapping[int, Judged], smallest: Smallest) -> Verdict:
    """On the second arm of a pairing, lost requests first."""
    by_key = {effect.compared.key: judged[id(effect)] for effect in effects}
    failed = by_key.pop(FAILED, None)
    return overall(next(iter(by_key.values()), None), failed, smallest)


@dataclass(frozen=True)
class _Telling:
    """Rows and cells of a family."""

    pack: Path
    protocol: Protocol
    cells: Cells
    smallest: Smallest
    level: float
    """Of one interval of a cell: Bonferroni over all that the family's cells show, so that they hold together."""
    excused: tuple[str, ...]

    def row(self, one: _Within, judged: Mapping[int, Judged]) -> Row:
        """A pathology's."""
        compared = MEASURES[one.plan.measure]
        looks = {arm: self._looks(one.plan, arm) for arm in one.arms}
        ordered = sorted(one.arms, key=lambda arm: looks[arm])
        verdicts = {
            (pairs.reference, pairs.arm): overall_of(effects, judged, self.smallest)
            for pairs, effects in one.effects
            if effects
        }
        best = best_set(ordered, verdicts) if ordered and verdicts else None
        harmed = self._harmed(one)
        members = tuple(arm for arm in (best.members if best else ()) if arm not in harmed)
        is_decided = best is not None and members == best.members and (
            best.are_equivalent or (len(members) == 1 and _beats_all(members[0], one.arms, verdicts))
        )
        known = {arm for both in verdicts for arm in both}
        states: dict[str, State] = {
            arm: _state(arm, best, harmed, is_decided=is_decided) if best and arm in known else "not compared"
            for arm in one.arms
        }
        cells = tuple(self._cell(one.plan, compared, arm.name, states) for arm in self.protocol.arms)
        told = tuple(_judgement(pairs, judged[id(e)]) for pairs, effects in one.effects for e in effects)
        return Row(one.plan, cells, members, is_decided, told, _floors(one, self.smallest.effect))

    def _looks(self, row: RowPlan, arm: str) -> tuple[float, float]:
        """Lost requests in units of the smallest share, then what verdicts are about; lower is better."""
        runs, compared = self._runs(row, arm), judged_by(row.measure)
        value = mean_of(compared, runs)
        if compared.key == IN_TIME:
            return 0.0, -(value or 0.0)
        return round(share_lost(runs) / self.smallest.share), math.inf if value is None else value

    def _harmed(self, one: _Within) -> set[str]:
        """Those that were seen to lose more than the smallest share beyond another one, on the seeds of both."""
        harmed = set[str]()
        for pairs, effects in one.effects:
            if one.plan.measure == IN_TIME or not effects:
                continue
            ours = share_lost([pair.ours.metrics for pair in pairs.kept])
            theirs = share_lost([pair.theirs.metrics for pair in pairs.kept])
            if abs(theirs - ours) > self.smallest.share:
                harmed.add(pairs.arm if theirs > ours else pairs.reference)
        return harmed

    def _runs(self, row: RowPlan, arm: str) -> list[Metrics]:
        return [one.metrics for one in self.cells[row.name, arm].by_seed.values()]

    def _cell(self, row: RowPlan, compared: Compared, arm: str, states: Mapping[str, State]) -> Cell:
        if (reason := self.protocol.refusal(row.name, arm)) is not None:
            return Cell(arm, "not asked", reason=reason)
        there = self.cells[row.name, arm]
        left_out = tuple(there.invalid), tuple(there.failed)
        if not there.by_seed:
            reason = (there.failed or there.invalid or ["not measured yet"])[0]
            return Cell(arm, "not measured", invalid=left_out[0], failed=left_out[1], reason=reason)
        runs, judged = self._runs(row, arm), judged_by(row.measure)
        lacking = unknown(judged, runs)
        return Cell(
            arm,
            "no verdict" if arm in self.excused else states[arm],
            spanned(compared, runs, self.level),
            beyond(compared, runs),
            sum(is_worst(compared, m) for m in runs),
            lost_spanned(runs, self.level),
            sum(map(lost_beyond_floor, runs)),
            sum(m["offered_requests"] for m in runs),
            tuple(there.by_seed),
            *left_out,
            tuple(relative(self.pack, folder) for folder in there.folders),
            "differs from itself too often (A/A)" if arm in self.excused else "",
            mean_of(judged, runs),
            without_any(compared, runs),
            lacking,
            unknown(compared, runs) - lacking,
        )


def _beats_all(arm: str, arms: Sequence[str], verdicts: Mapping[tuple[str, str], Verdict]) -> bool:
    """Whether an arm was shown to be better than each other: that nobody beats it says less, since verdicts of pairs
    need not follow from each other.
    """
    others = [other for other in arms if other != arm]
    return all(verdicts.get((arm, other)) == "worse" or verdicts.get((other, arm)) == "better" for other in others)


FLOORS = {FAULT: "floor_p99_ms_fault", WHOLE: "floor_p99_ms"}
"""Of what a measure is a multiple."""


def _floors(one: _Within, smallest: float) -> str:
    """What is to be said where two arms were measured against different floors; empty where none were."""
    if (key := FLOORS.get(one.plan.measure)) is None:
        return ""
    for pairs, _ in one.effects:
        both = [(value_of(pair.ours.metrics, key), value_of(pair.theirs.metrics, key)) for pair in pairs.kept]
        logs = [math.log(b / a) for a, b in both if a and b]
        if logs and abs(mean := sum(logs) / len(logs)) > math.log1p(smallest):
            return f"{one.plan.name}: the floor of {pairs.arm} is {math.exp(mean):.2f} times that of {pairs.reference}"
    return ""


def _state(arm: str, best: BestSet, harmed: set[str], *, is_decided: bool) -> State:
    if arm not in best.members:
        return "worse"
    if arm in harmed:
        return "loses more"
    if not is_decided:
        return "undecided"
    return "best" if len(best.members) == 1 else "equivalent"


def _judgement(pairs: Pairs, judged: Judged) -> Judgement:
    effect = judged.effect
    is_ratio = effect.compared.by == "ratio"
    numbers: list[float | None] = [None, None, None]
    if effect.estimate is not None:
        of_scale = (effect.estimate.mean, *effect.estimate.interval(judged.level))
        numbers = [on_its_scale(value, is_ratio=is_ratio) for value in of_scale]
    value, low, high = numbers
    names = pairs.reference, pairs.arm, effect.compared.key
    return Judgement(*names, value, low, high, len(pairs.kept), judged.level, judged.verdict)
