"""Two or more arms in numbers: ratios with intervals on the paired log-ratio, and a verdict for each metric."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from analysis.arms import Arm, Metrics, Pairs, pair
from analysis.comparison_metrics import COMPARED, Compared
from analysis.sequential import Look, look
from analysis.statistics import ALPHA, Paired, Verdict, holm_levels, judge, paired, upper_bound_of_none


@dataclass
class Row:
    """One metric of one arm against the reference."""

    metric: str
    reference: str
    arm: str
    reference_value: float | None
    """Geometric mean over the pairs; of a share the share in all requests."""
    arm_value: float | None
    ratio: float | None
    """Arm over reference, geometric mean over the pairs; None for a share."""
    low: float | None
    high: float | None
    """Interval of 1 - `alpha` of the ratio, or of a share's difference; None = without bound."""
    difference: float | None
    """Of a share, arm minus reference; None for the others."""
    n: int
    """Pairs."""
    verdict: Verdict
    is_primary: bool
    p: float
    alpha: float
    """Error rate of the interval and of the row's family: 0.05, in a sequential sweep the level of its look."""
    level: float
    """The level at which the verdict was given: `alpha` after Holm; `low` and `high` are at `alpha` whatever it is."""
    smallest_detectable: float | None
    """The effect that so many runs would find with probability 0.8: relative, for a share absolute; None = none."""
    left_out: dict[str, int]
    """Pairs left out, and invalid runs by arm."""

    def as_dict(self) -> dict[str, Any]:
        """What stands in `comparison.json`."""
        return asdict(self)

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
    smallest_effect: float
    look: Look | None = None
    """Where a sequential sweep stands; None = the number of pairs was set before."""

    def is_narrow(self, until: float) -> bool:
        """Whether every arm's interval of the primary metric lies within a factor 1 + `until` of its ratio."""
        factors = [row.factor for row in self.rows if row.is_primary]
        return len(factors) == len(self.pairings) and max(factors) <= 1 + until


@dataclass
class _Found:
    """A metric of one pairing before its verdict."""

    compared: Compared
    pairs: Pairs
    values: tuple[float | None, float | None]
    paired: Paired
    slack: tuple[float, float] = (0.0, 0.0)
    """What counts without an event add to a difference's interval, below and above."""

    def interval(self, alpha: float) -> tuple[float, float]:
        low, high = self.paired.interval(alpha)
        return low - self.slack[0], high + self.slack[1]


def compare(arms: list[Arm]) -> Comparison:
    """Compare every arm with the first.

    The primary metric of all arms is one family of comparisons, all other metrics are another (Holm). Where the runs
    say that their number was left to the data (`repeat.until_ratio_ci`), both err with the level of the look.
    """
    whole = next(iter(arms[0].runs.values()))[0][0].manifest["config"]
    config, repeat = whole["comparison"], whole.get("repeat") or {}
    primary, effect = str(config["primary"]), float(config["smallest_effect"])
    pairings = [pair(arms[0], arm) for arm in arms[1:]]
    measured = max(1, *(pairs.measured for pairs in pairings))
    reached = None if repeat.get("until_ratio_ci") is None else look(measured, int(repeat["max"]))
    alpha = ALPHA if reached is None else reached.level
    found = [f for pairs in pairings for c in COMPARED if (f := _find(c, pairs)) is not None]
    rows: dict[int, Row] = {}
    for family in (True, False):
        members = [f for f in found if (f.compared.key == primary) == family]
        levels = holm_levels([f.paired.p for f in members], alpha)
        rows |= {
            id(f): _row(f, alpha, level, effect, float(config["smallest_share"]), family)
            for f, level in zip(members, levels, strict=True)
        }
    return Comparison([rows[id(f)] for f in found], pairings, primary, effect, reached)


def _find(compared: Compared, pairs: Pairs) -> _Found | None:
    both = [(ours, theirs) for _, ours, theirs in pairs.kept]
    if compared.is_share:
        return _share(compared, pairs, both)
    values = [(ours.get(compared.key), theirs.get(compared.key)) for ours, theirs in both]
    known = [(a, b) for a, b in values if a is not None and b is not None and a > 0 and b > 0]
    if not known:
        return None
    logs = [(math.log(a), math.log(b)) for a, b in known]
    means = tuple(math.exp(sum(column) / len(logs)) for column in zip(*logs, strict=True))
    return _Found(compared, pairs, (means[0], means[1]), paired([b - a for a, b in logs]))


def _share(compared: Compared, pairs: Pairs, both: list[tuple[Metrics, Metrics]]) -> _Found | None:
    known = [(a, b) for a, b in both if a.get(compared.key) is not None and b.get(compared.key) is not None]
    if not known:
        return None
    totals = [sum(m["offered_requests"] for m in column) for column in zip(*known, strict=True)]
    events = [sum(m[compared.key] * m["offered_requests"] for m in column) for column in zip(*known, strict=True)]
    shares = tuple(e / t if t else 0.0 for e, t in zip(events, totals, strict=True))
    none = [upper_bound_of_none(t) if not e else 0.0 for e, t in zip(events, totals, strict=True)]
    differences = paired([b[compared.key] - a[compared.key] for a, b in known])
    return _Found(compared, pairs, (shares[0], shares[1]), differences, (none[0], none[1]))


def _row(found: _Found, alpha: float, level: float, effect: float, smallest_share: float, is_primary: bool) -> Row:
    compared, pairs, result = found.compared, found.pairs, found.paired
    low, high = found.interval(alpha)
    margin = smallest_share if compared.is_share else math.log1p(effect)
    verdict = judge(*found.interval(level), least=-margin, most=margin, lower_is_better=compared.lower_is_better)
    detectable = result.smallest_detectable(level)
    of_ratio = not compared.is_share
    return Row(
        metric=compared.key,
        reference=pairs.reference,
        arm=pairs.arm,
        reference_value=found.values[0],
        arm_value=found.values[1],
        ratio=math.exp(result.mean) if of_ratio else None,
        low=_finite(math.exp(low) if of_ratio else low, result.n),
        high=_finite(math.exp(high) if of_ratio and high < 700 else high, result.n),
        difference=None if of_ratio else result.mean,
        n=result.n,
        verdict=verdict,
        is_primary=is_primary,
        p=result.p,
        alpha=alpha,
        level=level,
        smallest_detectable=_finite(math.expm1(detectable) if of_ratio and detectable < 700 else detectable, result.n),
        left_out={"pairs": pairs.left_out, **pairs.invalid},
    )


def _finite(value: float, n: int) -> float | None:
    """None where one pair says nothing of the spread."""
    return value if n > 1 and math.isfinite(value) else None
