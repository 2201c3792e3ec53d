"""The highest rate that meets an objective, sought by bisection over rates that are tried with several seeds. Pure.

A try is a run at a rate that stays as it is. Of each the share of requests is looked at that was not served within the
objective's time, and the share that failed: the mean of such a share over runs is the system's, which the p99 of runs
is not. The unit is the run: requests of one run are not independent, and those that are late come in clusters.

    search = Search(rule, start_rps=30.0, least_rps=1.0)
    while (wanted := search.next()) is not None:
        rate_rps, number = wanted                 # the number-th seed, from 0 on
        search.add(Try(rate_rps, requests, late, failed))
    search.found()
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean, variance
from typing import Literal

from analysis.distributions.student import student_quantile
from analysis.scaling.demand import WITHIN, Objective

Verdict = Literal["meets", "fails", "undecided"]
ERROR = 0.025
"""Chance that a rate is given a wrong verdict, on either side, over all looks at it."""
LOOKS = (1, 2, 4)
"""A rate's tries are looked at when there are so many times `Rule.seeds`; after the last it stays undecided."""
MOST_RATES = 30
"""Rates tried for one number of replicas."""
DIGITS = 4
"""Of a rate."""
FAR = 100.0
"""A share so many times what it may be, or so small a part of it, says no more than that."""
NEAR = 4.0
"""Rates whose share is within this factor of what it may be tell how it would vary there."""


@dataclass(frozen=True)
class Try:
    """What came of a valid run."""

    rate_rps: float
    requests: int
    """Outside warm-up."""
    late: float
    """The share of them that was not served within the objective's time; who failed is among them."""
    failed: float
    """The share that failed."""


@dataclass(frozen=True)
class Spread:
    """How a share differs between runs of one rate: variance over mean, as of counts (McCullagh and Nelder, Generalized
    Linear Models, 1989, 6.2.4: X^2 / degrees of freedom)."""

    dispersion: float
    freedom: int
    """Degrees of freedom, 0 = nothing was seen near what is allowed."""

    @classmethod
    def of(cls, rates: Iterable[list[float]], allowed: float) -> "Spread":
        """By the shares of the runs of each rate near what is allowed. Far above it a fleet in overload refuses: that
        varies otherwise."""
        known = [shares for shares in rates if len(shares) > 1 and fmean(shares) > 0]
        near = [shares for shares in known if allowed / NEAR <= fmean(shares) <= allowed * NEAR]
        freedom = sum(len(shares) - 1 for shares in near)
        total = sum((len(shares) - 1) * variance(shares) / fmean(shares) for shares in near)
        return cls(total / freedom if freedom else 0.0, freedom)


@dataclass(frozen=True)
class Rule:
    """When a rate meets the objective, and when that is known well enough.

    The tries of a rate are looked at when there are `seeds`, twice and four times as many. It *meets* the objective
    where both mean shares are further below what is allowed than they would be by chance at a rate where they are just
    that, and *fails* where one is further above. Else it is tried with more seeds, and after the last look it is
    *undecided*. Chance is Student's t, one-sided, each look with its part of `ERROR` (Bonferroni). By how much a share
    varies at what is allowed, all rates near it say together (`Spread`): the runs of one rate may all have seen nothing
    and so vary by nothing. At the least it is what it would be of independent requests.
    """

    objective: Objective
    seeds: int
    precision: float
    """The search ends where the lowest rate that fails is above the highest that meets the objective by this share."""

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of tries at which a rate is looked at."""
        return tuple(self.seeds * times for times in LOOKS)

    @property
    def allowed(self) -> tuple[float, float]:
        """Of `Try.late` and `Try.failed`; who may fail as often as be late is not looked at, as who fails is late."""
        failed = self.objective.error_rate
        return 1 - WITHIN, failed if failed < (1 - WITHIN) * (1 - 1e-9) else 1.0

    @property
    def least_requests(self) -> int:
        """Requests in the tries of a rate below which its last look cannot say that the objective is met."""
        t = _quantile(self.looks[-1] - 1)
        return max((math.ceil(t * t * (1 - most) / most) for most in self.allowed if most > 0), default=0)

    def verdict(self, tries: list[Try], spreads: tuple[Spread, Spread]) -> Verdict | None:
        """Of a rate with these tries; None = more are wanted.

        Args:
            tries: of the rate.
            spreads: of `Try.late` and `Try.failed`, as all tries of the fleet have them.
        """
        if len(tries) not in self.looks:
            return None
        shares = [each.late for each in tries], [each.failed for each in tries]
        requests = fmean(each.requests for each in tries)
        sides = [
            _side(values, most, requests, spread)
            for values, most, spread in zip(shares, self.allowed, spreads, strict=True)
        ]
        if "fails" in sides:
            return "fails"
        if sides == ["meets", "meets"]:
            return "meets"
        return "undecided" if len(tries) == self.looks[-1] else None

    def lacking(self, spread: Spread) -> float:
        """How many times as long runs would have to be for the last look at a rate without a single late request to say
        that it meets the objective; below 1 they are long enough."""
        return _quantile(spread.freedom) ** 2 * spread.dispersion / (self.looks[-1] * (1 - WITHIN))

    def excess(self, tries: list[Try]) -> float:
        """By which factor the worse of the mean shares is more than it may be, within `FAR`."""
        factors = []
        for values, most in zip(([t.late for t in tries], [t.failed for t in tries]), self.allowed, strict=True):
            mean = fmean(values)
            factors.append((FAR if mean else 1 / FAR) if most == 0 else mean / most)
        return min(FAR, max(1 / FAR, *factors))


def _quantile(freedom: int) -> float:
    return student_quantile(1 - ERROR / len(LOOKS), freedom)


def _side(values: list[float], most: float, requests: float, spread: Spread) -> Verdict:
    """Of one share, as far as its runs say."""
    mean, count = fmean(values), len(values)
    if most == 0:  # then a single one is too many, and who saw none says all that a run can
        return "fails" if mean else "meets"
    if most == 1:
        return "meets"
    freedom = max(count - 1, spread.freedom)
    error = math.sqrt(max(spread.dispersion, (1 - most) / requests) * most / count)
    if mean + _quantile(freedom) * error <= most:
        return "meets"
    own = math.sqrt(variance(values) / count)
    return "fails" if mean - max(_quantile(freedom) * error, _quantile(count - 1) * own) > most else "undecided"


@dataclass(frozen=True)
class Found:
    """What a search came to."""

    rate_rps: float
    """Where the mean share crosses what is allowed, between the two below; 0 = no rate was found that meets it."""
    low_rps: float
    """The highest rate that meets the objective, and below the lowest that fails."""
    high_rps: float
    """The lowest rate that fails."""
    is_precise: bool
    """Whether these are as near to each other as was wanted."""


@dataclass
class Search:
    """One number of replicas."""

    rule: Rule
    start_rps: float
    """The first rate tried."""
    least_rps: float
    """None below it is."""
    tries: dict[float, list[Try]] = field(default_factory=dict)

    def next(self) -> tuple[float, int] | None:
        """The rate to try, and the number of its seed, from 0 on; None = the search is over."""
        verdicts = self.verdicts()
        for rate, verdict in verdicts.items():
            if verdict is None:
                return rate, len(self.tries[rate])
        following = None if self.lacking() >= 1 else self._next_rate(verdicts)
        return None if following is None or following in verdicts else (following, 0)

    def add(self, tried: Try) -> None:
        """Take in what came of the try that `next` asked for."""
        self.tries.setdefault(tried.rate_rps, []).append(tried)

    def verdicts(self) -> dict[float, Verdict | None]:
        """Of every rate tried, ascending; one may change as others tell how much runs vary."""
        spreads = self._spreads()
        return {rate: self.rule.verdict(self.tries[rate], spreads) for rate in sorted(self.tries)}

    def lacking(self) -> float:
        """As `Rule.lacking`, once a rate near what is allowed has had all its tries; before 0."""
        late, _ = self._spreads()
        return self.rule.lacking(late) if late.freedom >= self.rule.looks[-1] - 1 else 0.0

    def found(self) -> Found:
        """What is known by now; at least one rate was tried."""
        low, high, _ = self._bracket(self.verdicts())
        is_precise = low > 0 and high <= low * (1 + self.rule.precision) * (1 + 10**-DIGITS)
        return Found(self._crossing(low, high), low, high, is_precise)

    def _spreads(self) -> tuple[Spread, Spread]:
        """Of rates that are not so far above that all runs only grow a line: of those nothing is learnt."""
        late, failed = self.rule.allowed
        known = [tries for tries in self.tries.values() if fmean(each.late for each in tries) <= late * NEAR**2]
        return (
            Spread.of(([each.late for each in tries] for tries in known), late),
            Spread.of(([each.failed for each in tries] for tries in known), failed),
        )

    def _bracket(self, verdicts: dict[float, Verdict | None]) -> tuple[float, float, list[float]]:
        """The highest rate that meets it, the lowest that fails, and those undecided between them, ascending."""
        high = min((rate for rate, verdict in verdicts.items() if verdict == "fails"), default=math.inf)
        low = max((rate for rate, verdict in verdicts.items() if verdict == "meets" and rate < high), default=0.0)
        return low, high, [rate for rate, verdict in verdicts.items() if verdict == "undecided" and low < rate < high]

    def _next_rate(self, verdicts: dict[float, Verdict | None]) -> float | None:
        if not verdicts:
            return _written(max(self.start_rps, self.least_rps))
        if len(verdicts) >= MOST_RATES:
            return None
        low, high, between = self._bracket(verdicts)
        first = 1 + 2 * self.rule.precision
        if high == math.inf:
            return _written(max(verdicts) * first ** (2 ** sum(rate > self.start_rps for rate in verdicts)))
        if low == 0.0:
            lower = min(verdicts) / first ** (2 ** sum(rate < self.start_rps for rate in verdicts))
            return _written(max(lower, self.least_rps))
        gaps = [(low, between[0]), (between[-1], high)] if between else [(low, high)]
        below, above = max(gaps, key=lambda gap: gap[1] / gap[0])
        is_narrow = above <= below * (1 + self.rule.precision)
        return None if is_narrow else _written(math.sqrt(below * above))

    def _crossing(self, low: float, high: float) -> float:
        """Where the mean share is what is allowed: between the last rate below and the next one, straight in its
        logarithm (of M/M/1 it is: P(sojourn > T) = exp(-(mu - lambda) T))."""
        if low == 0.0 or high == math.inf:
            return low
        known = [(rate, math.log(self.rule.excess(tries))) for rate, tries in sorted(self.tries.items())
                 if low <= rate <= high]
        crossings = [(one, other) for one, other in pairwise(known) if one[1] <= 0 < other[1]]
        if not crossings:
            return low
        (below, under), (above, over) = crossings[-1]
        return below + (above - below) * -under / (over - under)


def _written(rate: float) -> float:
    """A rate as it is written down, by which it is known again."""
    return float(f"{rate:.{DIGITS}g}")
