"""Which arms are best of several: every pair of them compared, in all groups together one family."""

import itertools
import math
from collections.abc import Sequence

from analysis.comparison.arms import Arm, Pairs, pair
from analysis.comparison.compared import BY_KEY, FAILED
from analysis.comparison.effects import Effect, Estimand, find
from analysis.comparison.planned import Plan, look_reached, plan_of
from analysis.comparison.statistics import ALPHA
from analysis.comparison.system_effects import System
from analysis.comparison.verdicts import BestSet, best_set, judge_family, overall
from record.metrics import value_of


def effects_of(pairings: Sequence[Pairs], keys: Sequence[str], estimand: Estimand) -> list[Effect]:
    """Every metric of `keys` of every pairing that has it."""
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
    effects = effects_of(every, keys, plan.estimand)
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
