"""Whether a run agrees with repeats of it within what repeated runs vary. Pure functions on metrics.

The question is where one further run would lie, hence intervals of prediction, not of the mean. Their levels are
Holm's over all metrics, so that a run which differs in nothing is said to differ in at most one of twenty cases.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from analysis.comparison.compared import BY_KEY, COMPARED, Compared
from analysis.comparison.effects import counted_whole
from analysis.comparison.statistics import holm_levels, paired, prediction_interval, prediction_p, same_rate_p
from analysis.comparison.values import told
from analysis.comparison.verdicts import Smallest
from record.metrics import Metrics, value_of

Outcome = Literal["agrees", "differs", "not comparable"]


@dataclass
class Row:
    """One metric of the old run against the repeats."""

    metric: str
    old: float | None
    new_mean: float | None
    """Geometric mean over the repeats; of a share the share in all their requests."""
    low: float | None
    high: float | None
    """Where one further run lies with probability 1 - `level`; None = there is no interval."""
    n: int
    """Valid repeats that have the metric."""
    p: float | None
    level: float | None
    """The level at which the verdict was given (Holm)."""
    verdict: Literal["agrees", "differs", "no interval", "not compared"]
    """`no interval`: beyond the smallest effect of one repeat, which shows no spread. `not compared`: undefined or zero
    in the old run or in a repeat."""


@dataclass
class Check:
    """All of it."""

    verdict: Outcome
    sentence: str
    rows: list[Row]

    def as_dict(self) -> dict[str, Any]:
        """What stands in `replay.json`."""
        return {"verdict": self.verdict, "sentence": self.sentence, "metrics": [asdict(row) for row in self.rows]}


class _Ratio:
    """A positive metric: the logarithms of the repeats are taken for a normal sample."""

    def __init__(self, compared: Compared, old: float, values: Sequence[float]) -> None:
        self.compared, self.old = compared, old
        self._sample = paired([math.log(value) for value in values])
        self.n, self.mean = self._sample.n, math.exp(self._sample.mean)
        self.p = float(prediction_p(self._sample, np.array([math.log(old)]))[0])

    def is_within(self, smallest: Smallest) -> bool:
        return abs(math.log(self.old) - self._sample.mean) <= smallest.margin(self.compared)

    def interval(self, level: float) -> tuple[float, float]:
        low, high = prediction_interval(self._sample, level)
        return math.exp(low), math.exp(high) if high < 700 else math.inf


class _Whole:
    """Seconds and counts, whole ones that may be none: the repeats are taken for a normal sample, with its rounding."""

    def __init__(self, compared: Compared, old: float, values: Sequence[float]) -> None:
        self.compared, self.old = compared, old
        self._sample = counted_whole(paired(values))
        self._least = 0.0 if min(values) >= 0 else -math.inf
        self.n, self.mean = self._sample.n, self._sample.mean
        self.p = float(prediction_p(self._sample, np.array([old]))[0])

    def is_within(self, smallest: Smallest) -> bool:
        return abs(self.old - self.mean) <= smallest.of(self.compared)

    def interval(self, level: float) -> tuple[float, float]:
        low, high = prediction_interval(self._sample, level)
        return max(self._least, low), high


class _Share:
    """A share of the requests: off only beyond both what the repeats vary by and what counts so small scatter by.

    Three repeats without a failure show no spread, and yet the next may have one; and where failures come in bursts,
    counts scatter more than independent ones. The larger p of the two is right in both cases. Shares are compared on
    the scale of arcsin(sqrt(share)), where their spread does not depend on their size (Bartlett, The use of
    transformations, Biometrics 3, 1947).
    """

    def __init__(
        self, compared: Compared, old: float, of: int, shares: Sequence[float], totals: Sequence[int]
    ) -> None:
        """`old` is the old run's share of its `of` requests, `shares` are the repeats' of their `totals`."""
        self.compared, self.n, self.old = compared, len(shares), old
        events, total = sum(round(share * n) for share, n in zip(shares, totals, strict=True)), sum(totals)
        self.mean: float = events / total
        self._of, self._events, self._total = of, events, total
        self._sample = paired([math.asin(math.sqrt(share)) for share in shares])
        count = round(old * of)
        self.p = max(self._by_spread(count), self._by_counting(count))

    def _by_spread(self, count: int) -> float:
        return float(prediction_p(self._sample, np.array([math.asin(math.sqrt(count / self._of))]))[0])

    def _by_counting(self, count: int) -> float:
        return float(same_rate_p(np.array([count]), self._of, self._events, self._total)[0])

    def is_within(self, smallest: Smallest) -> bool:
        return abs(self.old - self.mean) <= smallest.share

    def interval(self, level: float) -> tuple[float, float]:
        spread = math.sin(self._sample.mean) ** 2 * self._of
        ends = [
            *_ends(self._by_spread, spread, self._of, level),
            *_ends(self._by_counting, self.mean * self._of, self._of, level),
        ]
        return min(ends) / self._of, max(ends) / self._of


def _ends(p: Callable[[int], float], peak: float, most: int, level: float) -> list[int]:
    """The least and the largest count up to `most` whose p is above the level, if any; p rises to `peak`, and falls."""
    inside = next((count for count in (math.floor(peak), math.ceil(peak)) if p(count) > level), None)
    if inside is None:
        return []
    least = bisect_left(range(inside), True, key=lambda count: p(count) > level)
    beyond = bisect_left(range(inside, most + 1), True, key=lambda count: p(count) <= level)
    return [least, inside + beyond - 1]


def check(old: Metrics, repeats: Sequence[Metrics], primary: str, smallest: Smallest) -> Check:
    """Hold a run against repeats of it; invalid ones do not enter.

    Args:
        old: its metrics.
        repeats: those of the repeats.
        primary: the metric of which the sentence says what would not have shown.
        smallest: differences up to this count as agreement.
    """
    valid = [metrics for metrics in repeats if metrics["valid"]]
    if not old["valid"]:
        return Check("not comparable", _say("not comparable", f"the old run is not valid: {_why(old)}"), [])
    if not valid:
        why = f"no repeat is valid{': ' + _why(repeats[0]) if repeats else ''}"
        return Check("not comparable", _say("not comparable", why), [])
    held = [_find(compared, old, valid) for compared in COMPARED]
    compared = [f for f in held if not isinstance(f, Row) and f is not None]
    levels = dict(zip(map(id, compared), holm_levels([f.p for f in compared]), strict=True))
    rows = [
        f if isinstance(f, Row) else _row(f, levels[id(f)], f.is_within(smallest))
        for f in held
        if f is not None
    ]
    unseen = [_unseen(f, levels[id(f)], smallest) for f in compared if f.compared.key == primary]
    return _conclude(rows, len(valid), len(repeats), "".join(unseen))


def _find(compared: Compared, old: Metrics, valid: Sequence[Metrics]) -> _Ratio | _Whole | _Share | Row | None:
    """The metric before its verdict; a Row where it cannot be compared, None where nobody has it."""
    ours = value_of(old, compared.key)
    values = [value for metrics in valid if (value := value_of(metrics, compared.key)) is not None]
    if ours is None and not values:
        return None
    # Where some repeats lack it, those that have it are not what a further run would be one of.
    if ours is not None and len(values) == len(valid):
        if compared.is_share:
            totals = [metrics["offered_requests"] for metrics in valid]
            return _Share(compared, ours, old["offered_requests"], values, totals)
        if compared.is_whole:
            return _Whole(compared, ours, values)
        if min(ours, *values) > 0:
            return _Ratio(compared, ours, values)
    mean = sum(values) / len(values) if values else None
    return Row(compared.key, ours, mean, None, None, len(values), None, None, "not compared")


def _row(held: _Ratio | _Whole | _Share, level: float, is_within: bool) -> Row:
    verdict: Literal["agrees", "differs", "no interval"] = "agrees"
    if not is_within and held.n < 2:
        verdict = "no interval"
    elif not is_within and held.p <= level:
        verdict = "differs"
    low, high = held.interval(level) if held.n > 1 else (None, None)
    high = None if high == math.inf else high
    return Row(held.compared.key, held.old, held.mean, low, high, held.n, held.p, level, verdict)


def _unseen(held: _Ratio | _Whole | _Share, level: float, smallest: Smallest) -> str:
    """The difference that would have passed for agreement, in words."""
    if held.n < 2:
        return ""
    high, least = held.interval(level)[1], smallest.of(held.compared)
    if isinstance(held, _Ratio):
        size = f"{max(high / held.mean - 1, least) * 100:.3g} %"
    elif isinstance(held, _Share):
        size = f"{max(high - held.mean, least) * 100:.2f} percentage points"
    else:
        size = f"{max(high - held.mean, least):.3g} {held.compared.unit}"
    return f"; {held.compared.label} higher by {size} would not have shown"


def _conclude(rows: list[Row], valid: int, asked: int, unseen: str) -> Check:
    named = {
        verdict: [_effect(row) for row in rows if row.verdict == verdict]
        for verdict in ("agrees", "differs", "no interval", "not compared")
    }
    after = [f"{asked - valid} of {asked} repeats not valid and left out"] if valid < asked else []
    if named["not compared"]:
        after.append(f"not compared, since undefined or zero in one of the runs: {', '.join(named['not compared'])}")
    verdict: Outcome
    if named["differs"]:
        verdict, text = "differs", f"outside of what {valid} repeats vary: {', '.join(named['differs'])}"
    elif named["no interval"]:
        verdict = "not comparable"
        text = f"one repeat shows no spread, and beyond the smallest effect of it are {', '.join(named['no interval'])}"
    else:
        verdict = "agrees"
        within = f"what {valid} repeats vary, or within the smallest effect" if valid > 1 else "the smallest effect"
        text = f"{len(named['agrees'])} metrics lie within {within}{unseen or ' of one repeat, which shows no spread'}"
    return Check(verdict, _say(verdict, "; ".join([text, *after])), rows)


def _say(verdict: str, text: str) -> str:
    return f"{verdict.upper()}. {text[0].upper()}{text[1:]}."


def _why(metrics: Metrics) -> str:
    return "; ".join(metrics["invalid_reasons"])


def _effect(row: Row) -> str:
    """The metric's name with the old run's distance from the repeats."""
    compared = BY_KEY[row.metric]
    if row.verdict == "not compared" or row.old is None or row.new_mean is None:
        return compared.label
    if compared.is_share:
        return f"{compared.label} ({(row.old - row.new_mean) * 100:+.2f} percentage points)"
    if compared.is_whole:
        return f"{compared.label} ({row.old - row.new_mean:+.1f} {compared.unit})"
    return f"{compared.label} (x {row.old / row.new_mean:.3f})"


def cells(row: Row) -> tuple[str, str, str, str, str]:
    """Metric, old, mean of the new, interval and verdict, for a table."""
    bounds = "-" if row.low is None else f"{_value(row, row.low)} to {_value(row, row.high)}"
    return BY_KEY[row.metric].label, _value(row, row.old), _value(row, row.new_mean), bounds, row.verdict


def _value(row: Row, value: float | None) -> str:
    return "-" if value is None else told(BY_KEY[row.metric], value)
