"""From effects to verdicts: of a metric, of two arms with lost requests first, and of all arms together. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.comparison.compared import Compared
from analysis.comparison.effects import Effect
from analysis.comparison.statistics import Verdict, counting, holm_levels, judge


@dataclass(frozen=True)
class Smallest:
    """The smallest effects of interest: section `comparison` of the configuration."""

    effect: float
    """Relative."""
    share: float
    """Of a share, absolute."""
    seconds: float
    """Of what is counted in seconds."""
    count: float
    """Of what else is counted."""

    def of(self, compared: Compared) -> float:
        """As it is typed: relative, a share, seconds, or a count."""
        sizes = {"ratio": self.effect, "share": self.share, "seconds": self.seconds, "count": self.count}
        return sizes[compared.by]

    def margin(self, compared: Compared) -> float:
        """On the scale of the metric's effect: a logarithm, a share, seconds, or a count."""
        return math.log1p(self.effect) if compared.by == "ratio" else self.of(compared)


@dataclass(frozen=True)
class Judged:
    """An effect with its verdict."""

    effect: Effect
    level: float
    """The error rate that it was judged with."""
    verdict: Verdict
    by_rank: Verdict | None
    """Where the metric is not identified: what the order of the runs says, those without a number last."""
    is_certain: bool
    """Whether better or worse by at least the smallest effect, rather than perhaps by less."""

    @property
    def direction(self) -> Verdict:
        """The verdict, or where there is none that of the ranks."""
        return self.by_rank if self.verdict == "not identified" and self.by_rank is not None else self.verdict


def judge_family(effects: Sequence[Effect], alpha: float, smallest: Smallest) -> list[Judged]:
    """The verdicts of a family of comparisons.

    At most `alpha` of such families call two arms different that are not (Holm). *Equivalent* is another kind of
    claim: that an effect is not as large as matters. Holm's levels, which grow as others are rejected, are not for it:
    those of m comparisons add up to more than alpha. So it takes an interval of 1 - alpha / m (Bonferroni), which hold
    together: as only one of its ends can be wrong, at most alpha / 2 of the families hold a wrong one.
    """
    least = [effect.smallest_p for effect in effects]
    levels = holm_levels([effect.p for effect in effects], alpha, least)
    cautious = alpha / max(1, counting(least, alpha))
    return [_judge(effect, level, cautious, smallest) for effect, level in zip(effects, levels, strict=True)]


def _judge(effect: Effect, level: float, cautious: float, smallest: Smallest) -> Judged:
    lower_is_better = effect.compared.lower_is_better
    if effect.estimate is None:
        by_rank: Verdict | None = None
        if effect.rank_p is not None:
            sign = effect.rank_sign if effect.rank_p <= level else 0
            by_rank = judge(sign or -1, sign or 1, least=0, most=0, lower_is_better=lower_is_better)
        return Judged(effect, level, "not identified", by_rank, False)
    margin = smallest.margin(effect.compared)
    low, high = effect.estimate.interval(level)
    if -margin <= low and high <= margin and cautious < level:
        level = cautious
        low, high = effect.estimate.interval(level)
    verdict = judge(low, high, least=-margin, most=margin, lower_is_better=lower_is_better)
    return Judged(effect, level, verdict, None, verdict in ("better", "worse") and (low > margin or high < -margin))


def overall(primary: Judged | None, failed: Judged | None, smallest: Smallest) -> Verdict:
    """The verdict on an arm: lost requests first, then the primary metric.

    Who loses more requests by its verdict is worse, however fast it is; but a share of all requests, as of those served
    in time, holds the lost ones already: where it says the opposite, nothing is decided. Who was seen to lose more, and
    may lose more than the smallest share of interest as far as the interval tells, is neither better nor as good.
    """
    if failed is not None and failed.direction in ("better", "worse"):
        is_share = primary is not None and primary.effect.compared.is_share
        return "inconclusive" if is_share and are_opposite(primary, failed) else failed.direction
    if primary is None:
        return "inconclusive"
    verdict = primary.direction
    suspect = _loser(failed, smallest)
    if (suspect, verdict) in (("arm", "better"), ("reference", "worse")) or (suspect and verdict == "equivalent"):
        return "inconclusive"
    return verdict


def are_opposite(first: Judged | None, second: Judged | None) -> bool:
    """Whether one is clearly better and the other clearly worse."""
    return {each.direction for each in (first, second) if each is not None} == {"better", "worse"}


def _loser(failed: Judged | None, smallest: Smallest) -> str:
    """Which of the two was seen to lose more requests and may lose more than matters; empty = neither."""
    if failed is None or failed.effect.estimate is None:
        return ""
    low, high = failed.effect.estimate.interval(failed.level)
    if failed.effect.estimate.mean > 0 and high > smallest.share:
        return "arm"
    return "reference" if failed.effect.estimate.mean < 0 and low < -smallest.share else ""


@dataclass(frozen=True)
class BestSet:
    """Which of several arms are best: every pair of them was compared, all in one family."""

    first: str
    """Of the best ones the one that looks best."""
    others: tuple[str, ...]
    """Best ones that cannot be told from it."""
    worse: tuple[str, ...]
    """Arms that another one is better than."""
    are_equivalent: bool
    """Whether the best ones, of which there are several, differ by less than matters."""
    apart: tuple[str, ...] = ()
    """Arms without a valid pair, of which nothing is known."""

    @property
    def members(self) -> tuple[str, ...]:
        """The best set."""
        return (self.first, *self.others)


def best_set(
    labels: Sequence[str], verdicts: dict[tuple[str, str], Verdict], apart: Sequence[str] = ()
) -> BestSet:
    """The arms that no other arm is better than.

    As all verdicts are of one family (Holm over all pairs), the chance of any arm being called worse that is not is at
    most the family's: the best arm is in the set with that confidence (the set of Hsu, Simultaneous confidence
    intervals for all distances from the best, Annals of Statistics 9, 1981, from pairwise tests).

    Args:
        labels: of the arms, the one that looks best first.
        verdicts: of the second arm against the first, by pair.
        apart: arms of which nothing is known.
    """
    beaten = {first for (first, _), verdict in verdicts.items() if verdict == "better"}
    beaten |= {second for (_, second), verdict in verdicts.items() if verdict == "worse"}
    # Where lost requests and latency run in a circle, each is beaten by another one, and none is left out.
    members = [label for label in labels if label not in beaten] or list(labels)
    between = [verdict for pair, verdict in verdicts.items() if set(pair) <= set(members)]
    worse = tuple(label for label in labels if label not in members)
    # Two that were never compared, as no seed is valid of both, are not known to be alike.
    are_compared = len(between) == math.comb(len(members), 2)
    are_equivalent = bool(between) and are_compared and set(between) == {"equivalent"}
    return BestSet(members[0], tuple(members[1:]), worse, are_equivalent, tuple(apart))
