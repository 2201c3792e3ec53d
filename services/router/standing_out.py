"""Whether a replica stands out from its fleet: a sequential test on what it has answered, and on what it has not. Pure.

A CUSUM (Page, Continuous inspection schemes, Biometrika 41, 1954) of the log-likelihood ratio of exponential times, of
a replica `RATIO` times as slow as the fleet against one like it. A time of x fleet times adds (1 - 1/RATIO) x, an
answer takes ln(RATIO) away, and the sum never falls below 0. An attempt under way adds its age and takes nothing away:
it is censored (for exponential times a sufficient account: Epstein and Sobel, Life testing, JASA 48, 1953), so that a
silent replica looks worse the longer it is silent. Like its fleet, a replica has a sum above `LIMIT` about e^-LIMIT of
the time (Wald). One time counts as `LONGEST` fleet times at most, which is less than the limit: one long demand
condemns nobody. The fleet's time is the lower median of the replicas' means, so that it is no outlier's.
"""

import math
from bisect import bisect_left
from collections.abc import Collection, Sequence
from typing import Final

from services.router.policy import SPARE, Candidate

RATIO: Final = 2.5
LIMIT: Final = 5.0
MOST: Final = 10.0
"""Where the sum ends: what is known is known, and can be forgotten."""
LONGEST: Final = 5.0
GAIN: Final = 1 - 1 / RATIO
LOSS: Final = math.log(RATIO)
FORGET_S: Final = 10.0
"""Time constant by which the sum of a replica fades that has nothing to do: from `MOST` it is tried again after 7 s."""
LOST: Final = 8.0
"""An attempt that takes so many times as long as its replica's others may be lost; of exponential times 1 in 3,000."""
SAMPLES: Final = 5
"""Answers that a mean must rest on to count for the fleet."""
MEMORY: Final = 0.02
"""Weight of the last answer in a replica's mean."""
PRIOR: Final = 2.0
"""Answers at the fleet's time that an estimate of slowness begins with."""
REFRESH_S: Final = 0.1
"""How often the fleet's time is looked at."""

ALIKE: Final = 1.0, False
"""What is said of one that nothing speaks against."""


class Known:
    """What is known of one replica; times in seconds, per place in its line where they are samples."""

    __slots__ = (
        "answers", "count", "failed_s", "failures", "firsts", "idle_since", "largest", "mean_s", "oldest", "share",
        "share_began", "shares", "starts", "sum", "total_s",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        """Nothing, from `now` on."""
        self.mean_s = 0.0
        self.answers = 0
        self.oldest = now
        """When the first of the attempts under way began; where there is none, some time ago."""
        self.starts: list[tuple[float, float]] = []
        """Of the attempts under way, in order of time: when each began, and by what its time is multiplied."""
        self.share = self.share_began = self.largest = 0.0
        """Of them: the sum of the multipliers, of each times its beginning, and the largest multiplier."""
        self.firsts = 0
        """How many of them did not stand in a line: their multiplier is 1."""
        self.shares: dict[float, int] = {}
        """How many of the others have each multiplier."""
        self.sum = 0.0
        self.total_s = 0.0
        self.count = 0
        """Time and answers since the sum was last 0."""
        self.failures = self.failed_s = 0.0
        """What failed attempts have brought of the sum and of the time."""
        self.idle_since = now


class StandingOut:
    """The test for every replica of a fleet."""

    def __init__(self, penalty_s: float, limit: float = LIMIT) -> None:
        """`penalty_s`: a failed attempt counts as no answer within so long, since failing fast is not fast; `limit`:
        the evidence from which on a replica stands out."""
        self._penalty_s = penalty_s
        self._limit = limit
        self._most = MOST / LIMIT * limit
        self.known: dict[str, Known] = {}
        self.fleet_s = 0.0
        """What the fleet takes, seconds; 0 = not known yet."""
        self.due = -math.inf
        """When the fleet is to be looked at again."""

    def refresh(self, ids: Collection[str], now: float) -> None:
        """Look at what the fleet `ids` takes; of those that have left only the latest are remembered."""
        self.due = now + REFRESH_S
        beyond = len(self.known) - 2 * len(ids) - SPARE
        if beyond > 0:
            still = set(ids)
            left = [(each.idle_since, id_) for id_, each in self.known.items() if id_ not in still and not each.starts]
            for _, id_ in sorted(left)[:beyond]:
                del self.known[id_]
        known = [self.known[id_] for id_ in ids if id_ in self.known]
        means = sorted(each.mean_s for each in known if each.answers >= SAMPLES)
        self.fleet_s = means[(len(means) - 1) // 2] if means else 0.0

    def begin(self, id_: str, places: float, now: float) -> None:
        """An attempt begins at a replica; a time there is as long as that of `places` served one after another."""
        known = self.known.get(id_)
        if known is None:
            known = self.known[id_] = Known(now)
        if not known.starts:
            if known.sum:
                kept = math.exp((known.idle_since - now) / FORGET_S)
                known.sum *= kept
                known.failures *= kept
            known.share = known.share_began = known.largest = 0.0
            known.oldest = now
        if places == 1.0:
            share = known.largest = 1.0
            known.firsts += 1
        else:
            share = 1 / places
            known.shares[share] = known.shares.get(share, 0) + 1
            known.largest = max(known.largest, share)
        known.starts.append((now, share))
        known.share += share
        known.share_began += share * now

    def rest(self, id_: str, worked_s: float, now: float) -> None:
        """Nobody works on one for now, after `worked_s` seconds, which are no evidence."""
        known = self.known.get(id_)
        if known is not None and known.starts:
            known.idle_since = now
            _taken(known, now - worked_s)

    def end(self, id_: str, latency: float, now: float, *, answered: bool, failed: bool) -> None:
        """It ended after `latency` seconds."""
        known = self.known.get(id_)
        if known is None or not known.starts:
            return
        sample = latency * _taken(known, now - latency)
        known.idle_since = now
        if failed:
            sample = max(sample, self._penalty_s)
        if answered:
            known.answers += 1
            weight = 1 / known.answers
            known.mean_s += (sample - known.mean_s) * (weight if weight > MEMORY else MEMORY)
        fleet_s = self.fleet_s
        if fleet_s <= 0:
            return
        times = sample / fleet_s
        gain = GAIN * (times if times < LONGEST else LONGEST)
        evidence = known.sum + (gain - (LOSS if answered else 0.0))
        if evidence <= 0:
            known.sum = known.total_s = known.failures = known.failed_s = 0.0
            known.count = 0
            return
        known.total_s += sample
        known.count += answered
        if failed:
            known.failures += gain
            known.failed_s += sample
        if evidence > self._most:  # of all that was found so much is kept
            known.failures *= self._most / evidence
            evidence = self._most
        known.sum = evidence

    def times(self, id_: str, now: float) -> tuple[float, bool]:
        """How many times as slow as its fleet a replica is taken to be, and whether it stands out."""
        known = self.known.get(id_)
        return ALIKE if known is None else self.times_of(known, now)

    def times_of(self, known: Known, now: float) -> tuple[float, bool]:
        """The same, by what is known of it.

        One that does not stand out is 1, and up to a hundredth more by what speaks against it while it is at work: that
        decides among equals. An idle one is like any other, or it would not be tried again while the others are idle,
        too.
        """
        fleet_s = self.fleet_s
        if fleet_s <= 0:
            return ALIKE
        evidence, pending_s, starts, limit = known.sum, 0.0, known.starts, self._limit
        if starts:
            pending_s = now * known.share - known.share_began
            if (now - known.oldest) * known.largest <= LONGEST * fleet_s:  # nothing is capped
                evidence += GAIN * pending_s / fleet_s
            else:
                for began, share in starts:
                    evidence += GAIN * min((now - began) * share / fleet_s, LONGEST)
                    if evidence >= limit:
                        break
            if evidence < limit:
                return 1 + 0.01 * evidence / limit, False
        elif evidence < limit or (evidence := evidence * math.exp((known.idle_since - now) / FORGET_S)) < limit:
            return ALIKE
        return self._slowness(known.total_s + pending_s, known.count), True

    def _slowness(self, total_s: float, count: int) -> float:
        """How many times as slow as its fleet one is taken to be that stands out."""
        return max(1.01, (total_s + PRIOR * self.fleet_s) / ((max(count, 1) + PRIOR) * self.fleet_s))

    def ended(self, id_: str, now: float) -> tuple[float, int]:
        """How many times as slow as its fleet a replica was in what has ended there, 1 where that is no evidence; and
        how many of the attempts under way have taken `LOST` times as long as that: their slots may be free.

        Who fails is not slow: whoever waited for it to be free would get no answer the sooner.
        """
        known, fleet_s, slow = self.known.get(id_), self.fleet_s, 1.0
        if known is None or fleet_s <= 0:
            return slow, 0
        kept = 1.0 if known.starts else math.exp((known.idle_since - now) / FORGET_S)
        if (known.sum - known.failures) * kept >= self._limit:
            slow = self._slowness(known.total_s - known.failed_s, known.count)
        long_s = LOST * slow * fleet_s
        return slow, sum((now - began) * share > long_s for began, share in known.starts)


def say_speeds(candidates: Sequence[Candidate]) -> bool:
    """Whether weights say how fast slots are: all have said how many they have, and not all have the same weight, as
    those have of whom nobody has said any."""
    return all(each.concurrency for each in candidates) and len({each.weight for each in candidates}) > 1


def told_speeds(candidates: Sequence[Candidate]) -> dict[str, float]:
    """Of replicas a slot of which is to do less than one of the best, by their weights: what share of it.

    That such a one takes longer is no news. Nobody's where somebody has not said how many slots it has: a weight may
    then stand for those.
    """
    if not say_speeds(candidates):
        return {}
    shares = [(each.id, each.weight / (each.concurrency or 1)) for each in candidates]
    most = max(share for _, share in shares)
    return {id_: share / most for id_, share in shares if share < most}


def _taken(known: Known, moment: float) -> float:
    """Take the attempt away that began nearest to `moment`; by what its time is multiplied."""
    starts = known.starts
    began, share = starts.pop(_nearest(starts, moment) if len(starts) > 1 else 0)
    if starts:
        known.oldest = starts[0][0]
    known.share -= share
    known.share_began -= share * began
    if share == 1.0:
        known.firsts -= 1
    elif known.shares[share] > 1:
        known.shares[share] -= 1
    else:
        del known.shares[share]
    if not known.firsts:
        known.largest = max(known.shares, default=0.0)
    return share


def _nearest(starts: list[tuple[float, float]], moment: float) -> int:
    """Which of the beginnings, in order of time, is the nearest."""
    after = bisect_left(starts, (moment, 0.0))
    if after == len(starts) or (after and moment - starts[after - 1][0] <= starts[after][0] - moment):
        return after - 1
    return after
