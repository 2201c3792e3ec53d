"""Two or more arms in numbers: effects with intervals over pairs of runs, verdicts, and which arms are best."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from analysis.comparison.arms import Arm, ComparisonError, Measured, Pairs, pair
from analysis.comparison.best_arms import best_sets, effects_of
from analysis.comparison.compared import BY_KEY, FAILED
from analysis.comparison.effects import Estimand
from analysis.comparison.outlying import Outlying, stand_apart
from analysis.comparison.planned import Plan, look_reached, plan_of
from analysis.comparison.questions import Question
from analysis.comparison.sequential import Look
from analysis.comparison.statistics import ALPHA, Verdict
from analysis.comparison.verdicts import BestSet, Judged, Smallest, judge_family, overall


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
    workload: str | None = None
    """What the arms were asked, where there are several comparisons, one of each workload."""

    def as_dict(self) -> dict[str, Any]:
        """What stands in `comparison.json`: a workload where there are several."""
        content = asdict(self)
        workload = content.pop("workload")
        return content if workload is None else {"workload": workload, **content}

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


@dataclass(frozen=True)
class Family:
    """What is judged together: the comparisons of all workloads of a sweep, with one chance to err."""

    workloads: int
    arms: int
    """Of all workloads together, references included."""
    headline: int
    """Tests of the primary metric and of lost requests."""
    others: int
    """Of all other metrics."""
    alone: tuple[str, ...] = ()
    """Workloads of one arm, of which nothing is compared."""


@dataclass
class Comparison:
    """The arms that were asked the same, with the first as their reference."""

    rows: list[Row]
    pairings: list[Pairs]
    primary: str
    smallest: Smallest
    family: Family
    look: Look | None = None
    """Where a sequential or extended sweep stands; None = the number of pairs was set before and kept."""
    best: BestSet | None = None
    """Of three arms and more."""
    outlying: list[Outlying] = field(default_factory=list)
    """Runs that stand far from their fellows."""
    sweep: str | None = None
    """The folder of the sweep that all runs are of."""
    workload: str = ""
    """What they were asked, where there are several; empty = there is one only."""

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
    return compare_questions([Question("", arms)])[0]


def compare_questions(questions: Sequence[Question]) -> list[Comparison]:
    """Compare the arms of each question with its first, and where it has more, all with each other.

    Whatever was asked, all comparisons are of one family, so that nothing stands out for there being many workloads.

    Raises:
        ComparisonError: no question has two arms; or as `compare`.
    """
    asked = [question for question in questions if len(question.arms) > 1]
    if not asked:
        raise ComparisonError("one arm only: a comparison needs runs of two configurations (the seed apart)")
    many = [question.arms for question in asked if len(question.arms) > 2]
    best = dict(zip(map(id, many), best_sets(many) if many else (), strict=True))
    groups = [
        _Group(each.name, [pair(each.arms[0], arm) for arm in each.arms[1:]], each.arms, best.get(id(each.arms)))
        for each in asked
    ]
    return _judged(groups, tuple(each.name for each in questions if len(each.arms) < 2))


def compare_pairings(pairings: list[Pairs], arms: list[Arm]) -> Comparison:
    """Compare each arm with the reference that it is paired with.

    Args:
        pairings: at least one.
        arms: all of them; what was set before the data is taken from the first.

    Raises:
        ComparisonError: what the manifests say cannot be used.
    """
    return _judged([_Group("", pairings, arms, None)], ())[0]


@dataclass(frozen=True)
class _Group:
    """What becomes one comparison."""

    name: str
    pairings: list[Pairs]
    arms: list[Arm]
    best: BestSet | None


def _judged(groups: Sequence[_Group], alone: tuple[str, ...]) -> list[Comparison]:
    """A comparison of each group, all of one family.

    The primary metric and the lost requests of all arms are one family of comparisons, all other metrics are another,
    and the pairs of arms behind the best sets are a third (Holm). Where the runs say that their number was left to the
    data (`repeat.until_ratio_ci`), or that a sweep was extended after its end, each errs with the level of the look.
    """
    arms = [arm for group in groups for arm in group.arms]
    pairings = [pairs for group in groups for pairs in group.pairings]
    runs = [run for arm in arms for runs in arm.runs.values() for run in runs]
    plan = plan_of(runs[0].run.manifest["config"])
    reached = look_reached(plan, runs, max(1, *(pairs.measured for pairs in pairings)))
    alpha = ALPHA if reached is None else reached.level
    effects = effects_of(pairings, list(BY_KEY), plan.estimand)
    headline = [e for e in effects if e.compared.key in (plan.primary, FAILED)]
    others = [e for e in effects if e.compared.key not in (plan.primary, FAILED)]
    judged = {id(j.effect): j for members in (headline, others) for j in judge_family(members, alpha, plan.smallest)}
    family = Family(len(groups), len(pairings) + len(groups), len(headline), len(others), alone)
    comparisons = []
    for group in groups:
        own = {id(pairs) for pairs in group.pairings}
        rows = [_row(judged[id(e)], plan, alpha) for e in effects if id(e.pairs) in own]
        apart = [one for arm in group.arms for one in stand_apart(arm, plan.primary, plan.smallest)]
        comparison = Comparison(
            rows, group.pairings, plan.primary, plan.smallest, family, reached, group.best, apart, _sweep(runs),
            group.name,
        )  # fmt: skip
        for pairs in group.pairings:
            known = {e.compared.key: judged[id(e)] for e in effects if e.pairs is pairs}
            if (row := comparison.row(pairs.arm, plan.primary)) is not None:
                row.overall = overall(known[plan.primary], known.get(FAILED), plan.smallest)
                row.best_set = list(comparison.best.members) if comparison.best is not None else None
        for row in rows:
            row.workload = group.name or None
        comparisons.append(comparison)
    return comparisons


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
