"""Power of two choices on a latency average that is quick to rise and slow to fall."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from services.router.policies import Candidate, Outcome, Pick, RequestInfo, kept, two_of


@dataclass(slots=True)
class _Average:
    """An exponentially weighted average over irregular moments, `seconds` as of `stamp`."""

    seconds: float
    stamp: float

    def at(self, now: float, decay_s: float) -> float:
        """What is left of it at `now`, seconds."""
        return self.seconds * math.exp((self.stamp - now) / decay_s)


class PeakEwma:
    """Finagle's Peak EWMA (finagle-core, PeakEwma.scala) with power of two choices (Mitzenmacher, 2001).

    cost = average * (in_flight + 1) / weight. With w = exp(-elapsed / decay_s) the average fades to average * w
    while nothing is heard, so that a replica avoided for a peak is tried again; a sample above that replaces it
    (peak), one below makes it average * w + sample * (1 - w). Unlike Finagle, a replica never seen costs
    the fleet's mean instead of 0 (cold-start flood: envoy #11050, ingress-nginx #3709), and a failed attempt
    counts as at least `error_penalty_s`, so that failing fast does not look fast (linkerd2 #11669).
    """

    name: ClassVar[str] = "peak_ewma"

    def __init__(self, *, rng: random.Random, decay_s: float = 10.0, error_penalty_s: float = 1.0) -> None:
        """`decay_s`: time constant of forgetting (Finagle's default, 10 s); `error_penalty_s`: cost of a failure."""
        if not 0.01 <= decay_s <= 3600:
            raise ValueError(f"policy.decay_s={decay_s:g}: must be between 0.01 and 3600")
        if not 0 <= error_penalty_s <= 60:
            raise ValueError(f"policy.error_penalty_s={error_penalty_s:g}: must be between 0 and 60")
        self._rng = rng
        self._decay_s = decay_s
        self._penalty_s = error_penalty_s
        self._averages: dict[str, _Average] = {}

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick:
        """The cheaper of two drawn at random; of all, where one is cold, its cost is the mean of the others."""
        self._averages = kept(self._averages, candidates)
        if len(candidates) == 1:
            return Pick(candidates[0], "only")
        first, second = two_of(len(candidates), self._rng)
        one, other = candidates[first], candidates[second]
        ours, theirs, decay_s = self._averages.get(one.id), self._averages.get(other.id), self._decay_s
        if ours is None or theirs is None:
            mean, reason = self._fleet_mean(candidates, now), "cold"
            latency = mean if ours is None else ours.at(now, decay_s)
            others = mean if theirs is None else theirs.at(now, decay_s)
        else:
            latency, others, reason = ours.at(now, decay_s), theirs.at(now, decay_s), "sampled"
        cost, costs = latency * (one.in_flight + 1) / one.weight, others * (other.in_flight + 1) / other.weight
        return Pick(one if cost <= costs else other, reason)

    def _fleet_mean(self, candidates: Sequence[Candidate], now: float) -> float:
        averages = (self._averages.get(candidate.id) for candidate in candidates)
        known = [average.at(now, self._decay_s) for average in averages if average is not None]
        return sum(known) / len(known) if known else 1.0

    def on_start(self, replica: Candidate, now: float) -> None:
        """The router counts what is in flight."""

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """Feed the average; a cancelled attempt tells only that it took at least so long."""
        average = self._averages.get(replica.id)
        sample = max(latency, self._penalty_s) if outcome in ("error", "overloaded") else latency
        if average is None:
            if outcome != "cancelled" or latency > 0:
                self._averages[replica.id] = _Average(sample, now)
            return
        kept = math.exp((average.stamp - now) / self._decay_s)
        before = average.seconds * kept
        if outcome == "cancelled" and latency <= before:
            return
        average.seconds = sample if sample > before else before + sample * (1 - kept)
        average.stamp = now
