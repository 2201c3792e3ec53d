"""Against an earlier pack: what got worse or better since, by the rules that arms of one board are compared by.

To each arm under each pathology its counterpart of the same name; the runs of one seed are paired, and all pairs of
both packs are one family.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from analysis.comparison.arms import ComparisonError, Pairs
from analysis.comparison.effects import Effect
from analysis.comparison.planned import plan_of
from analysis.comparison.statistics import ALPHA, Verdict
from analysis.comparison.verdicts import judge_family
from analysis.standings.gathering import commits_of, gather
from analysis.standings.judging import LEAST_PAIRS, effects_of, overall_of, pair_by_seed
from analysis.standings.measures import BY_METRIC, judged_by
from analysis.standings.protocol import ArmPlan, Protocol, read_protocol

ASKED = ("workload", "faults", "random_faults", "load", "replicas", "replica", "tier")
"""Sections of a configuration that say what an arm is asked, and with what fleet."""
SAID: tuple[Verdict, ...] = ("worse", "better", "equivalent", "inconclusive")
"""Verdicts that are counted also where no cell has them."""
UNDECIDED: tuple[Verdict, ...] = ("inconclusive", "not identified")


@dataclass(frozen=True)
class Change:
    """One arm under one pathology, now against then."""

    row: str
    arm: str
    verdict: Verdict
    pairs: int
    effect: str
    """What the measures say, in words."""


@dataclass(frozen=True)
class Changes:
    """All of them."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    """What has no counterpart."""
    then: Path
    """The earlier pack, as it was named."""
    commits: tuple[str, ...]
    """That the earlier pack's runs were made with."""

    @property
    def worse(self) -> list[Change]:
        """Those that got worse."""
        return [change for change in self.changes if change.verdict == "worse"]

    def sentence(self) -> str:
        """The verdict: against what, of how many cells, and what got worse."""
        worse = "; ".join(f"{change.arm} under {change.row}" for change in self.worse)
        told = f"Against {self.then} (commit {', '.join(self.commits)}), {self._counts()}."
        return f"{told} Worse: {worse}." if worse else told

    def told(self) -> list[str]:
        """All of it: the verdict, then each cell that changed."""
        return [self.sentence(), *self.details()]

    def sentences(self) -> list[str]:
        """The same for who has named the earlier pack: of how many cells, then each that changed."""
        return [self._counts(), *self.details()]

    def details(self) -> list[str]:
        """A line for each cell that changed, then what is not decided, and what has no counterpart."""
        told = [f"{c.verdict}: {c.arm}, {c.row}: {c.effect} ({c.pairs} pairs)" for c in self.changes
                if c.verdict in ("worse", "better")]  # fmt: skip
        open_ = {v: [f"{c.arm}, {c.row}" for c in self.changes if c.verdict == v] for v in UNDECIDED}
        told += [f"{verdict}: {'; '.join(cells)}" for verdict, cells in open_.items() if cells]
        return [*told, *self.notes]

    def _counts(self) -> str:
        verdicts = [change.verdict for change in self.changes]
        said = dict.fromkeys((*SAID, *verdicts))
        cells = "1 cell" if len(verdicts) == 1 else f"{len(verdicts)} cells"
        return f"of {cells}: {', '.join(f'{verdicts.count(each)} {each}' for each in said)}"


def changes(
    then: tuple[Path, Protocol], now: tuple[Path, Protocol], excused: Collection[str] = ()
) -> Changes:
    """Compare.

    Args:
        then: the earlier pack, and what was set before its data; likewise
        now: the later one.
        excused: arms that get no verdicts, as they differ from themselves too often in one of the packs.

    Raises:
        ComparisonError: the packs have no cell in common, or were measured by different protocols.
    """
    before, after = gather(*then), gather(*now)
    measures = {row.name: row.measure for row in now[1].rows}
    check(then[1], now[1])
    notes = [f"{arm.name}: not judged, since it differs from itself too often (A/A)" for arm in now[1].arms
             if arm.name in excused]  # fmt: skip
    within = list[tuple[Pairs, str, list[Effect]]]()
    for key, cell in after.items():
        if key[1] in excused:
            continue
        if key not in before:
            notes.append(f"{key[1]}, {key[0]}: not in {then[0]}")
            continue
        pairs = pair_by_seed((f"{key[1]} then", f"{key[1]} now"), before[key], cell)
        for pair in pairs.kept[:1]:
            configs = pair.ours.run.manifest["config"], pair.theirs.run.manifest["config"]
            check_asked(key, *configs, [arm for arm in (*then[1].arms, *now[1].arms) if arm.name == key[1]])
        if effects := effects_of(pairs, judged_by(measures[key[0]])):
            within.append((pairs, key[0], effects))
        else:
            notes.append(f"{key[1]}, {key[0]}: not judged: {len(pairs.kept)} seed(s) with a valid run in both, "
                         f"{LEAST_PAIRS} are needed")  # fmt: skip
    if not within:
        raise ComparisonError(f"{then[0]} and {now[0]}: nothing can be held against the other: {'; '.join(notes[:3])}")
    smallest = plan_of(within[0][0].kept[0].theirs.run.manifest["config"]).smallest
    judged = {id(j.effect): j for j in judge_family([e for *_, es in within for e in es], ALPHA, smallest)}
    found = tuple(
        Change(
            row,
            pairs.arm.removesuffix(" now"),
            overall_of(effects, judged, smallest),
            len(pairs.kept),
            "; ".join(_told(effect, judged[id(effect)].level) for effect in effects),
        )
        for pairs, row, effects in within
    )
    return Changes(found, tuple(notes), then[0], commits_of(before.values()))


def check(then: Protocol, now: Protocol) -> None:
    """That the packs were measured by one protocol, as far as they have the same pathologies.

    Raises:
        ComparisonError: they were not.
    """
    for key in ("engine", "duration_s", "common"):
        if getattr(then, key) != getattr(now, key):
            raise ComparisonError(
                f"{key}: {getattr(then, key)} then, {getattr(now, key)} now: another protocol, which must be the same"
            )
    rows = {row.name: row for row in then.rows}
    for row in now.rows:
        if row.name in rows and (rows[row.name].overrides, rows[row.name].measure) != (row.overrides, row.measure):
            raise ComparisonError(f"{row.name}: other times or another measure then, which must be the same")


def check_pack(earlier: Path, now: Protocol, configs: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
    """That a pack which is not measured yet will have something to be held against.

    Args:
        earlier: the pack that it is held against.
        now: what is set before the data.
        configs: the resolved configuration of each cell, by row and arm.

    Raises:
        FolderError: there is no earlier pack.
        ComparisonError: the packs have no cell in common, or were asked otherwise.
    """
    then = read_protocol(earlier)
    check(then, now)
    cells = gather(earlier, then)
    shared = [key for key in configs if key in cells]
    if not shared:
        there = "; ".join(f"{arm}, {row}" for row, arm in list(cells)[:3])
        raise ComparisonError(f"no arm has a pathology in common with it: it has {there}")
    if all(len(cells[key].by_seed.keys() & set(now.seeds)) < LEAST_PAIRS for key in shared):
        raise ComparisonError(f"of no arm under a pathology it has {LEAST_PAIRS} valid runs with seeds of this one")
    for key in shared:
        for one in list(cells[key].by_seed.values())[:1]:
            arms = [arm for arm in (*then.arms, *now.arms) if arm.name == key[1]]
            check_asked(key, one.run.manifest["config"], configs[key], arms)


def check_asked(
    cell: tuple[str, str], then: Mapping[str, Any], now: Mapping[str, Any], arms: Collection[ArmPlan]
) -> None:
    """That an arm was asked the same, as far as it does not say itself what.

    Args:
        cell: row and arm.
        then: the resolved configuration of an earlier run; likewise
        now: that of a later one. Keys that only one of them knows are of another version of Aegis.
        arms: the arm as it was typed then and now.

    Raises:
        ComparisonError: it was not; names the first key.
    """
    own = tuple(text.lstrip("+~").partition("=")[0] for arm in arms for text in arm.typed)
    both = [{section: each[section] for section in ASKED if section in each} for each in (then, now)]
    for key, value, other in _differing(both[0], both[1]):
        if not any(key == each or key.startswith(f"{each}.") for each in own):
            raise ComparisonError(f"{cell[0]}: {key} was {value} then and is {other} now, which must be the same")


def _differing(then: object, now: object, key: str = "") -> Iterator[tuple[str, object, object]]:
    """The leaves that differ, each with its dotted key; of paths the names count."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in (name for name in then if name in now):
            yield from _differing(then[name], now[name], f"{key}.{name}" if key else str(name))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, pair in enumerate(zip(then, now, strict=True)):
            yield from _differing(*pair, f"{key}.{number}")
    elif then != now and not (
        isinstance(then, str) and isinstance(now, str) and PurePath(then).name == PurePath(now).name
    ):
        yield key, then, now


def _told(effect: Effect, level: float) -> str:
    compared = BY_METRIC[effect.compared.key]
    if effect.estimate is None:
        return f"{compared.label} not identified"
    low, high = effect.estimate.interval(level)
    if compared.by == "ratio":
        return f"{compared.label} x {_exp(effect.estimate.mean)} [{_exp(low)}, {_exp(high)}]"
    percent = [100 * value for value in (effect.estimate.mean, low, high)]
    return f"{compared.label} {percent[0]:+.3f} [{percent[1]:+.3f}, {percent[2]:+.3f}] percentage points"


def _exp(value: float) -> str:
    return f"{math.exp(value):.3f}" if abs(value) < 700 else "-"
