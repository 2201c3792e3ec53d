"""An outcome in words."""

from analysis.comparison.compared import BY_KEY
from analysis.comparison.statistics import ALPHA
from analysis.comparison.text import TOO_WIDE, level_told, says_nothing
from analysis.expectations.judging import Outcome


def told(outcome: Outcome) -> str:
    """What was expected, what became of it, what was measured, and why: one line."""
    parts = [f"{outcome.expectation}: {outcome.outcome}", *filter(None, (measured(outcome), outcome.reason))]
    return "; ".join(parts)


def measured(outcome: Outcome) -> str:
    """The value with its interval and what it is about; empty where there is none."""
    if outcome.value is None:
        return ""
    is_ratio = outcome.reference is not None and BY_KEY[outcome.metric].by == "ratio"
    text = ("x " if is_ratio else "") + _number(outcome, outcome.value)
    if outcome.low is not None or outcome.high is not None:
        ends = ", ".join("-" if end is None else _number(outcome, end) for end in (outcome.low, outcome.high))
        if is_ratio and says_nothing(outcome.value, outcome.low, outcome.high):
            ends = TOO_WIDE
        level = "" if outcome.level == ALPHA else f" {level_told(outcome.level)}"
        text += f" [{ends}]{level}"
    if outcome.about == "run":
        return text
    unit = "pair" if outcome.reference is not None else "run"
    count = f"{outcome.n} {unit}{'' if outcome.n == 1 else 's'}"
    return f"{text} ({count}{', the system' if outcome.about == 'system' else ''})"


def _number(outcome: Outcome, value: float) -> str:
    if outcome.reference is None:
        return f"{value:,.5g}"
    if BY_KEY[outcome.metric].by == "ratio":
        return f"{value:.4g}"
    return f"{value:+.4g}"
