"""Any replica, with a chance that falls with its latency."""

import random
from collections.abc import Sequence
from typing import ClassVar

from services.router.policies import Candidate, Outcome, Pick, RequestInfo, drawn, kept


class WeightedLatency:
    """A draw with chances in proportion to weight / mean latency, as Ribbon's WeightedResponseTimeRule weighs by time.

    Ribbon weighs by what the others take in sum; by the inverse a replica half as fast gets half as much, whatever
    the fleet's size. The mean is one over answers (a share of `1 / memory` each). A replica never seen has the fleet's
    mean, and a failure counts as `error_penalty_s` at least. It looks at nothing that is in flight: beside
    `peak_ewma` and `adaptive` it shows what latency alone is worth.
    """

    name: ClassVar[str] = "weighted_latency"

    def __init__(self, *, rng: random.Random, memory: int = 50, error_penalty_s: float = 1.0) -> None:
        """`memory`: answers that a mean rests on; `error_penalty_s`: what a failure counts as at least, seconds."""
        if not 1 <= memory <= 10_000:
            raise ValueError(f"policy.memory={memory}: must be between 1 and 10000")
        if not 0 <= error_penalty_s <= 60:
            raise ValueError(f"policy.error_penalty_s={error_penalty_s:g}: must be between 0 and 60")
        self._rng = rng
        self._memory = memory
        self._penalty_s = error_penalty_s
        self._answers: dict[str, int] = {}
        self._means_s: dict[str, float] = {}

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick:
        """One draw, always."""
        self._means_s = kept(self._means_s, candidates)
        self._answers = kept(self._answers, candidates)
        known = [mean_s for c in candidates if (mean_s := self._means_s.get(c.id)) is not None]
        typical_s = sum(known) / len(known) if known else 1.0
        chances = [c.weight / max(1e-6, self._means_s.get(c.id, typical_s)) for c in candidates]
        chosen = drawn(chances, self._rng.random())
        return Pick(candidates[chosen], "drawn" if len(known) == len(candidates) else "cold")

    def on_start(self, replica: Candidate, now: float) -> None:
        """The router counts what is in flight."""

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """Feed the mean; a cancelled attempt says nothing."""
        if outcome == "cancelled":
            return
        sample_s = latency if outcome == "ok" else max(latency, self._penalty_s)
        count = self._answers[replica.id] = min(self._memory, self._answers.get(replica.id, 0) + 1)
        before_s = self._means_s.get(replica.id, 0.0)
        self._means_s[replica.id] = before_s + (sample_s - before_s) / count
