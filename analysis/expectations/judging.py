"""Whether what was expected is so: met, not met, or cannot be said; only *met* lets a pipeline pass.

A bound on a value is held against what was measured (as k6 does: one number, no doubt); the interval stands beside it.
A bound on the difference from a reference is decided by the interval of the comparison, the one that its verdict was
given by: met where all of it lies on the right side, not met where all of it lies on the wrong one, and else it cannot
be said. So a margin is kept with the level's certainty, as in a non-inferiority trial (ICH E9, Statistical principles
for clinical trials, Statistics in Medicine 18, 1999: section 3.3.2), and too few runs never pass for good ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from analysis.comparison.arms import Arm
from analysis.comparison.comparison import Comparison, Row
from analysis.comparison.questions import Question
from analysis.comparison.statistics import ALPHA
from analysis.comparison.text import finding
from analysis.expectations.grammar import Expectation
from analysis.expectations.of_arm import OfArm, of_arm, of_metrics
from record.metrics import Metrics

Word = Literal["met", "not met", "cannot be said"]
ALL_READ = "all folders can be read"
"""What is expected of a set of runs with whatever else is."""


@dataclass(frozen=True)
class Outcome:
    """An expectation of one arm, and what became of it."""

    expectation: str
    metric: str
    arm: str
    reference: str | None
    """None = it is about the value itself."""
    outcome: Word
    value: float | None
    """Of the metric, of its ratio to the reference's, or of its difference from it; None = it has none."""
    low: float | None
    high: float | None
    """Interval of 1 - `level`; None = without bound, or one run or pair shows none."""
    level: float
    n: int
    """Valid runs, or pairs."""
    about: str
    """`run`, `runs` of this length, or `system`."""
    reason: str
    """Why it is not met or cannot be said, or what its value leaves out; may be empty."""
    is_invalid: bool = False
    """Whether no run of the arm is valid, so that it is not the system's fault."""

    @property
    def is_met(self) -> bool:
        """Whether it is known to hold."""
        return self.outcome == "met"


def hold(
    expectations: Sequence[Expectation],
    questions: Sequence[Question],
    comparisons: Sequence[Comparison],
    unread: int = 0,
) -> list[Outcome]:
    """Hold every arm against all of it, and every arm that has a reference against what is about one.

    Args:
        expectations: what is expected.
        questions: with the arms that it is expected of; where there are several, an arm is called by its workload, too.
        comparisons: of arms with their references; none, or of questions of their names.
        unread: folders that cannot be read, of whose runs nobody can say what they would have shown.

    Raises:
        ComparisonError: what the manifests say of the comparison cannot be used.
    """
    outcomes = []
    for question in questions:
        comparison = next((each for each in comparisons if each.workload == question.name), None)
        prefix = f"{question.name}: " if question.name else ""
        of_one = _hold(expectations, question.arms, comparison)
        outcomes += [replace(outcome, arm=f"{prefix}{outcome.arm}") for outcome in of_one]
    if expectations and unread:
        what = "1 folder" if unread == 1 else f"{unread} folders"
        outcomes.append(_unsaid(None, "", f"{what} cannot be read"))
    return outcomes


def _hold(
    expectations: Sequence[Expectation], arms: Sequence[Arm], comparison: Comparison | None
) -> list[Outcome]:
    """Likewise, of arms that were asked the same."""
    outcomes = []
    pairings = {pairs.arm: pairs for pairs in comparison.pairings} if comparison is not None else {}
    references = {pairs.reference for pairs in pairings.values()}
    for arm in arms:
        for one in expectations:
            if not one.has_reference:
                outcomes.append(_of_value(one, arm.label, of_arm(one.metric, arm), _has_valid(arm)))
            elif comparison is not None and arm.label in pairings:
                outcomes.append(_against(one, comparison, arm.label, pairings[arm.label].reference))
            elif comparison is not None and arm.label not in references:
                outcomes.append(_unsaid(one, arm.label, "not in the baseline"))
    judged = {outcome.expectation for outcome in outcomes}
    of_none = [one for one in expectations if one.text not in judged]
    # A gate that was not looked at does not stand open.
    outcomes += [_unsaid(one, "", "there is no arm with a reference") for one in of_none]
    return outcomes


def hold_runs(expectations: Sequence[Expectation], label: str, runs: Sequence[Metrics]) -> list[Outcome]:
    """Hold one run, or repeats of one, against what is expected without a reference, by their `metrics.json`."""
    has_valid = any(metrics["valid"] for metrics in runs)
    return [
        _of_value(one, label, of_metrics(one.metric, runs), has_valid) for one in expectations if not one.has_reference
    ]


def _unsaid(one: Expectation | None, label: str, why: str) -> Outcome:
    """Nobody can say; of all runs where it is about none of the expectations."""
    text, metric = (one.text, one.metric) if one is not None else (ALL_READ, "")
    return Outcome(text, metric, label, None, "cannot be said", None, None, None, ALPHA, 0, "runs", why)


def _has_valid(arm: Arm) -> bool:
    return any(one.metrics["valid"] for runs in arm.runs.values() for one in runs)


def _of_value(one: Expectation, label: str, known: OfArm, has_valid: bool) -> Outcome:
    interval, value = known.interval, known.interval.mean
    is_met = value is not None and one.holds(value)
    reason = known.why_none or known.note
    low, high = (None if end is None or not math.isfinite(end) else end for end in (interval.low, interval.high))
    if value is not None and low is not None and high is not None and len({one.holds(e) for e in (low, high)}) > 1:
        reason = "; ".join(filter(None, (reason, "the bound lies within the interval: other runs may say otherwise")))
    word: Word = "met" if is_met else "not met"
    return Outcome(
        one.text, one.metric, label, None, word, value, low, high, ALPHA, interval.n, known.about, reason, not has_valid
    )


def _against(one: Expectation, comparison: Comparison, label: str, reference: str) -> Outcome:
    row = comparison.row(label, one.metric)
    if row is None:
        pairs = next(pairs for pairs in comparison.pairings if pairs.arm == label)
        why = f"no pair of valid runs has a number for {one.metric}" if pairs.kept else "there is no pair of valid runs"
        return Outcome(
            one.text, one.metric, label, reference, "cannot be said", None, None, None, ALPHA, len(pairs.kept), "runs",
            why, not pairs.kept,
        )  # fmt: skip
    value = row.ratio if one.against == "ratio" else row.difference
    word, reason = decide(one, row.low, row.high), ""
    if value is None:
        word, reason = "cannot be said", f"it {finding(row, comparison)}"
    elif word == "cannot be said":
        reason = "one pair shows no spread" if row.n < 2 else "the bound lies within the interval" + _needs(row)
    reason = "; ".join(filter(None, (reason, _left_out(comparison, label))))
    about = "system" if row.estimand == "system" else "runs"
    return Outcome(
        one.text, one.metric, label, reference, word, value, row.low, row.high, row.level, row.n, about, reason
    )


def decide(one: Expectation, low: float | None, high: float | None) -> Word:
    """By an interval: met where all of it is on the right side of the bound, not met where nothing of it is.

    Args:
        one: against a reference.
        low: the interval's lower end; None = without bound.
        high: likewise the upper one.
    """
    ends = (-math.inf if low is None else low, math.inf if high is None else high)
    good, bad = ends if one.operator in (">", ">=") else ends[::-1]
    return "met" if one.holds(good) else "not met" if not one.holds(bad) else "cannot be said"


def _left_out(comparison: Comparison, label: str) -> str:
    """How many of an arm's pairs show nothing; empty where all do."""
    pairs = next(pairs for pairs in comparison.pairings if pairs.arm == label)
    if not pairs.left_out:
        return ""
    return f"{pairs.left_out} of {pairs.measured} pairs left out, as runs are not valid"


def _needs(row: Row) -> str:
    """How many pairs decide which is better; a bound near the true value takes more."""
    if row.pairs_needed is None:
        return ""
    return f" (with {row.pairs_needed} pairs it would be known which is better)"
