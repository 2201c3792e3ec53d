"""What the pairs of two arms say of one metric, before any verdict: an effect with intervals of any level, or none."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from analysis.comparison.arms import Pairs
from analysis.comparison.compared import FAILED, LEAST, Compared
from analysis.comparison.counts import share_difference
from analysis.comparison.sign_flips import sign_flip_p, signed_rank_p
from analysis.comparison.statistics import ALPHA, POWER, Paired, paired
from analysis.distributions.student import student_p
from record.metrics import Metrics, value_of

Estimand = Literal["system", "run"]


class Estimate(Protocol):
    """An effect: a difference, or the logarithm of a ratio."""

    @property
    def n(self) -> int:
        """Pairs."""

    @property
    def mean(self) -> float:
        """The effect."""

    @property
    def p(self) -> float:
        """Of no effect, two-sided."""

    def interval(self, alpha: float = ALPHA) -> tuple[float, float]:
        """Where the effect lies with 1 - alpha."""

    def smallest_detectable(self, alpha: float = ALPHA, power: float = POWER) -> float:
        """The true effect that so many pairs would find with probability `power`."""


@dataclass(frozen=True)
class Known:
    """In how many of an arm's runs a metric has a number, and what is known where it has none."""

    runs: int
    of: int
    beyond: float | None = None
    """The largest latency of a served request in the runs whose quantile lies among those that were not served."""


@dataclass
class Effect:
    """A metric of one pairing."""

    compared: Compared
    pairs: Pairs
    values: tuple[float | None, float | None]
    """Of reference and arm."""
    known: tuple[Known, Known]
    estimate: Estimate | None
    """None = not identified."""
    estimand: Estimand = "run"
    permutation_p: float | None = None
    """Of sign flips; None where there is no finite difference a pair."""
    rank_p: float | None = None
    """Of the signed ranks, where runs without a number count as the worst outcome."""
    rank_sign: int = 0
    """Whether the arm's values rank above the reference's (1) or below (-1)."""
    system_reason: str | None = None
    """Why the runs do not speak of the system, where they were asked to."""
    system_needs_s: float | None = None
    """The duration of a run that would do, seconds; None = no length is known to."""

    @property
    def p(self) -> float:
        """What the family of comparisons orders by."""
        return self.estimate.p if self.estimate is not None else 1.0 if self.rank_p is None else self.rank_p

    @property
    def smallest_p(self) -> float:
        """What `p` could be at least, whatever the data: a comparison that cannot find anything errs never."""
        return float(getattr(self.estimate, "smallest_p", 0.0))


def is_worst(compared: Compared, metrics: Metrics) -> bool:
    """Whether a metric has no number for being worse than any: never served, never detected, never well again."""
    if compared.beyond_key is not None:
        return value_of(metrics, compared.beyond_key) is not None
    if compared.key == "latency_mean_ms":
        return bool(metrics["failed_requests"])
    if compared.key == "detection_s":
        return bool(metrics["faults_undetected"])
    return compared.key == "recovery_s" and metrics["recovered"] is False


def _value(compared: Compared, metrics: Metrics) -> float | None:
    """Its number; infinite = worse than any (of goodput: none at all), None = not known."""
    value = value_of(metrics, compared.key)
    if value is None:
        return math.inf if is_worst(compared, metrics) else None
    return float(value)


def find(compared: Compared, pairs: Pairs) -> Effect | None:
    """The effect on runs of this length; None where no run of either arm has the metric."""
    values = [[_value(compared, m.metrics) for m in (pair.ours, pair.theirs)] for pair in pairs.kept]
    columns = list(zip(*values, strict=True))
    if not columns or all(value is None for column in columns for value in column):
        return None
    known = tuple(_known(compared, pairs, side) for side in (0, 1))
    if any(value is None for row in values for value in row):
        return Effect(compared, pairs, (None, None), (known[0], known[1]), None)
    if compared.by == "share":
        return _share(compared, pairs, (known[0], known[1]))
    scale = _log if compared.by == "ratio" else _same
    scaled = [(scale(a), scale(b)) for a, b in values]
    means = _mean(compared, columns[0]), _mean(compared, columns[1])
    effect = Effect(compared, pairs, means, (known[0], known[1]), None)
    differences = [0.0 if a == b else b - a for a, b in scaled]
    if not all(math.isfinite(a) and math.isfinite(b) for a, b in scaled):
        effect.rank_p = signed_rank_p(differences)
        effect.rank_sign = _sign(differences)
        return effect
    effect.estimate = paired(differences)
    if compared.is_whole:
        effect.estimate = counted_whole(effect.estimate)
    effect.permutation_p = sign_flip_p(differences)
    return effect


def _known(compared: Compared, pairs: Pairs, side: int) -> Known:
    runs = [(pair.ours, pair.theirs)[side].metrics for pair in pairs.kept]
    beyond = None
    if (key := compared.beyond_key) is not None:
        beyond = max((far for m in runs if (far := value_of(m, key)) is not None), default=None)
    values = [value_of(m, compared.key) for m in runs]
    has = sum(value is not None and not (compared.by == "ratio" and value == 0) for value in values)
    return Known(has, len(runs), beyond)


def _log(value: float | None) -> float:
    """The logarithm; -inf of nothing."""
    assert value is not None
    return math.log(value) if value > 0 else -math.inf


def _same(value: float | None) -> float:
    assert value is not None
    return value


def _mean(compared: Compared, column: tuple[float | None, ...]) -> float | None:
    """Geometric for what has a ratio, else arithmetic; None where a value is none, or has no logarithm."""
    values = [value for value in column if value is not None and math.isfinite(value)]
    if len(values) < len(column):
        return None
    if compared.by != "ratio":
        return sum(values) / len(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if min(values) > 0 else None


def _sign(differences: list[float]) -> int:
    above, below = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    return (above > below) - (above < below)


def counted_whole(sample: Paired) -> Paired:
    """A sample of what is counted whole, or of differences of two such: equal counts are no certainty.

    Rounding to a unit adds the variance unit^2 / 12 (Sheppard's correction, 1898), to a difference twice that.
    """
    if sample.n < 2:
        return sample
    sd = math.hypot(sample.sd, LEAST / math.sqrt(6))
    return Paired(sample.n, sample.mean, sd, student_p(sample.mean * math.sqrt(sample.n) / sd, sample.n - 1))


def _share(compared: Compared, pairs: Pairs, known: tuple[Known, Known]) -> Effect:
    both = [(pair.ours.metrics, pair.theirs.metrics) for pair in pairs.kept]
    trials = [(int(a["offered_requests"]), int(b["offered_requests"])) for a, b in both]
    events = [(_count(compared, a), _count(compared, b)) for a, b in both]
    difference = share_difference(events, trials)
    flips = sign_flip_p([e2 / t2 - e1 / t1 for (e1, e2), (t1, t2) in zip(events, trials, strict=True)])
    return Effect(compared, pairs, difference.shares, known, difference, permutation_p=flips)


def _count(compared: Compared, metrics: Metrics) -> int:
    if compared.key == FAILED:
        return int(metrics["failed_requests"])
    return round((value_of(metrics, compared.key) or 0.0) * metrics["offered_requests"])
