"""Two or more arms in numbers: effects with intervals over pairs of runs, verdicts, and which arms are best."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from analysis.comparison.arms import Arm, Measured, Pairs, pair
from analysis.comparison.compared import BY_KEY, FAILED
from analysis.comparison.effects import Effect, Estimand, find
from analysis.comparison.outlying import Outlying, stand_apart
from analysis.comparison.planned import Plan, look_reached, plan_of
from analysis.comparison.sequential import Look
from analysis.comparison.statistics import ALPHA, Verdict
from analysis.comparison.system_effects import System
from analysis.comparison.verdicts import BestSet, Judged, Smallest, best_set, judge_family, overall
from record.metrics import value_of


@dataclass
class Row:
    """One metric of one arm against the reference."""

    metric: str
    reference: str
    arm: str
    reference_value: float | None
    """Geometric mean over the pairs, of the system that of all requests; of a share the share in all requests; None =
    some run has none."""
    arm_value: float | None
    ratio: float | None
    """Arm over reference; None for a difference, and where it is not identified."""
    low: float | None
    high: float | None
    """Interval of 1 - `level` of the ratio, or of the difference; None = without bound."""
    difference: float | None
    """Of a share, or in seconds: arm minus reference; None for the others."""
    n: int
    """Pairs."""
    verdict: Verdict
    is_certain: bool
    """Better or worse by at least the smallest effect of interest, rather than perhaps by less."""
    is_primary: bool
    estimand: Estimand
    """`system`: what this system does in the long run; `run`: what runs of this length do on average."""
    system_reason: str | None
    """Why the runs do not speak of the system; None = they do, or were not asked to."""
    system_needs_s: float | None
    """The duration of a run that would do, seconds; None = no length is known to."""
    p: float
    permutation_p: float | None
    """Of sign flips, beside Student's."""
    alpha: float
    """Error rate of the row's family: 0.05, in a sequential or extended sweep that of its look."""
    level: float
    """The error rate of verdict and interval: `alpha` after Holm."""
    smallest_detectable: float | None
    """The effect that so many runs would find with probability 0.8: relative, of a difference absolute; None = none."""
    rank_p: float | None
    rank_verdict: Verdict | None
    """Where it is not identified: of the order of the runs, with those that have no number as the worst."""
    known: dict[str, int]
    """Runs that have a number, by arm."""
    beyond: dict[str, float | None]
    """By arm: the largest latency of a served request where the quantile lies among those that were not served."""
    left_out: dict[str, int]
    """Pairs left out, and invalid runs by arm."""
    pairs_needed: int | None = None
    """Of what is inconclusive: pairs that would decide, in all (`comparison_advice`)."""
    minutes_needed: float | None = None
    """How long the missing ones take, by what the runs took."""
    overall: Verdict | None = None
    """Of the primary metric's row: the verdict on the arm, lost requests first."""
    sentence: str | None = None
    """Likewise: the headline (`text`)."""
    best_set: list[str] | None = None
    """Likewise, of three arms and more: those that no other one is better than, the one that looks best first."""
    best: str | None = None
    """Likewise: which arms are best, in a sentence."""

    def as_dict(self) -> dict[str, Any]:
        """What stands in `comparison.json`."""
        return asdict(self)

    @property
    def direction(self) -> Verdict:
        """The verdict, or where there is none that of the ranks."""
        return self.rank_verdict if self.verdict == "not identified" and self.rank_verdict else self.verdict

    @property
    def factor(self) -> float:
        """The factor by which the interval's ends lie apart from its middle; infinity without an interval."""
        if self.ratio is None or not self.low or not self.high:
            return math.inf
        return math.sqrt(self.high / self.low)


@dataclass
class Comparison:
    """All of it."""

    rows: list[Row]
    pairings: list[Pairs]
    primary: str
    smallest: Smallest
    look: Look | None = None
    """Where a sequential or extended sweep stands; None = the number of pairs was set before and kept."""
    best: BestSet | None = None
    """Of three arms and more."""
    outlying: list[Outlying] = field(default_factory=list)
    """Runs that stand far from their fellows."""
    sweep: str | None = None
    """The folder of the sweep that all runs are of."""

    @property
    def arms(self) -> dict[str, list[Measured]]:
        """The runs that were compared, by arm."""
        arms: dict[str, list[Measured]] = {}
        for pairs in self.pairings:
            arms.setdefault(pairs.reference, [pair.ours for pair in pairs.kept])
            arms[pairs.arm] = [pair.theirs for pair in pairs.kept]
        return arms

    def row(self, arm: str, metric: str) -> Row | None:
        """An arm's row."""
        return next((row for row in self.rows if row.arm == arm and row.metric == metric), None)

    def is_narrow(self, until: float) -> bool:
        """Whether every arm's interval of the primary metric lies within a factor 1 + `until` of its ratio."""
        factors = [row.factor for row in self.rows if row.is_primary]
        return len(factors) == len(self.pairings) and max(factors) <= 1 + until


def compare(arms: list[Arm]) -> Comparison:
    """Compare every arm with the first, and where there are more, all with each other.

    Raises:
        ComparisonError: two runs of one seed had different schedules, or what the manifests say cannot be used.
    """
    return compare_pairings([pair(arms[0], arm) for arm in arms[1:]], arms, best_sets([arms])[0] if arms[2:] else None)


def compare_pairings(pairings: list[Pairs], arms: list[Arm], best: BestSet | None = None) -> Comparison:
    """Compare each arm with the reference that it is paired with.

    The primary metric and the lost requests of all arms are one family of comparisons, all other metrics are another,
    and the pairs of arms behind the best set are a third (Holm). Where the runs say that their number was left to the
    data (`repeat.until_ratio_ci`), or that a sweep was extended after its end, each errs with the level of the look.

    Args:
        pairings: at least one.
        arms: all of them; what was set before the data is taken from the first.
        best: the best of them.

    Raises:
        ComparisonError: what the manifests say cannot be used.
    """
    runs = [run for arm in arms for runs in arm.runs.values() for run in runs]
    plan = plan_of(runs[0].run.manifest["config"])
    reached = look_reached(plan, runs, max(1, *(pairs.measured for pairs in pairings)))
    alpha = ALPHA if reached is None else reached.level
    effects = _effects(pairings, list(BY_KEY), plan.estimand)
    judged: dict[int, Judged] = {}
    for is_headline in (True, False):
        members = [e for e in effects if (e.compared.key in (plan.primary, FAILED)) == is_headline]
        judged |= {id(j.effect): j for j in judge_family(members, alpha, plan.smallest)}
    comparison = Comparison(
        [_row(judged[id(e)], plan, alpha) for e in effects],
        pairings,
        plan.primary,
        plan.smallest,
        reached,
        best,
        [one for arm in arms for one in stand_apart(arm, plan.primary, plan.smallest)],
        _sweep(runs),
    )
    for pairs in pairings:
        rows = {e.compared.key: judged[id(e)] for e in effects if e.pairs is pairs}
        if (row := comparison.row(pairs.arm, plan.primary)) is not None:
            row.overall = overall(rows[plan.primary], rows.get(FAILED), plan.smallest)
            row.best_set = list(comparison.best.members) if comparison.best is not None else None
    return comparison


def _effects(pairings: Sequence[Pairs], keys: Sequence[str], estimand: Estimand) -> list[Effect]:
    """Every metric of every pairing that there is."""
    of_all = []
    for pairs in pairings:
        system = System(pairs) if estimand == "system" else None
        effects = [effect for key in keys if (effect := find(BY_KEY[key], pairs)) is not None]
        of_all += effects if system is None else [system.effect(effect) for effect in effects]
    return of_all


def best_sets(groups: Sequence[Sequence[Arm]]) -> list[BestSet]:
    """The best arms of each group, as of each cell of a map: every pair of arms of every group is of one family.

    Pairs of arms are compared by the primary metric and lost requests. The chance of calling any arm anywhere worse
    that is not is at most 5 %, so that no winner stands out for there being many cells.
    """
    runs = [run for arms in groups for arm in arms for runs in arm.runs.values() for run in runs]
    plan = plan_of(runs[0].run.manifest["config"])
    keys = list(dict.fromkeys((plan.primary, FAILED)))
    pairings = [[pair(*both) for both in itertools.combinations(arms, 2)] for arms in groups]
    every = [pairs for within in pairings for pairs in within]
    effects = _effects(every, keys, plan.estimand)
    reached = look_reached(plan, runs, max((pairs.measured for pairs in every), default=1))
    alpha = ALPHA if reached is None else reached.level
    judged = {(id(j.effect.pairs), j.effect.compared.key): j for j in judge_family(effects, alpha, plan.smallest)}
    sets = []
    for arms, within in zip(groups, pairings, strict=True):
        known = {label for p in within if p.kept for label in (p.reference, p.arm)}
        verdicts = {
            (p.reference, p.arm): overall(
                judged.get((id(p), plan.primary)), judged.get((id(p), FAILED)), plan.smallest
            )
            for p in within
            if p.kept
        }
        ordered = [arm.label for arm in sorted(arms, key=lambda arm: _place(arm, plan)) if arm.label in known]
        without = [arm.label for arm in arms if arm.label not in known]
        sets.append(best_set(ordered or without, verdicts, without if ordered else ()))
    return sets


def _place(arm: Arm, plan: Plan) -> tuple[float, float]:
    """How an arm looks: its lost requests in units of the smallest share, then its primary metric; lower is better."""
    valid = [one.metrics for runs in arm.runs.values() for one in runs if one.metrics["valid"]]
    lost = sum(m["failed_requests"] for m in valid) / max(1, sum(m["offered_requests"] for m in valid))
    known = [value for m in valid if (value := value_of(m, plan.primary)) is not None]
    if not known or len(known) < len(valid):
        return round(lost / plan.smallest.share), math.inf
    mean = sum(known) / len(known)
    return round(lost / plan.smallest.share), mean if BY_KEY[plan.primary].lower_is_better else -mean


def _row(judged: Judged, plan: Plan, alpha: float) -> Row:
    effect, estimate, level = judged.effect, judged.effect.estimate, judged.level
    compared, pairs = effect.compared, effect.pairs
    labels = (pairs.reference, pairs.arm)
    of_ratio = compared.by == "ratio"
    ratio = difference = low = high = detectable = None
    if estimate is not None:
        bounds = estimate.interval(level)
        (ratio, difference) = (_exp(estimate.mean), None) if of_ratio else (None, estimate.mean)
        low, high = (_exp(b) if of_ratio else b if math.isfinite(b) else None for b in bounds)
        if math.isfinite(smallest := estimate.smallest_detectable(level)):
            detectable = math.expm1(min(smallest, 700)) if of_ratio else smallest
    return Row(
        metric=compared.key,
        reference=labels[0],
        arm=labels[1],
        reference_value=effect.values[0],
        arm_value=effect.values[1],
        ratio=ratio,
        low=low,
        high=high,
        difference=difference,
        n=len(pairs.kept),
        verdict=judged.verdict,
        is_certain=judged.is_certain,
        is_primary=compared.key == plan.primary,
        estimand=effect.estimand,
        system_reason=effect.system_reason,
        system_needs_s=effect.system_needs_s,
        p=effect.p,
        permutation_p=effect.permutation_p,
        alpha=alpha,
        level=level,
        smallest_detectable=detectable,
        rank_p=effect.rank_p,
        rank_verdict=judged.by_rank,
        known={label: known.runs for label, known in zip(labels, effect.known, strict=True)},
        beyond={label: known.beyond for label, known in zip(labels, effect.known, strict=True)},
        left_out={"pairs": pairs.left_out, **pairs.invalid},
    )


def _exp(value: float) -> float | None:
    """None where it is without bound."""
    return math.exp(value) if abs(value) < 700 else None


def _sweep(runs: list[Measured]) -> str | None:
    """The sweep's folder, where all runs are of one; as the runs were found, since a manifest's path may be old."""
    if not all(one.run.manifest.get("sweep_dir") for one in runs):
        return None
    parents = {one.run.folder.parent for one in runs}
    return str(parents.pop()) if len(parents) == 1 else None
