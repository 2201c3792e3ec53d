"""Smooth weighted round robin, blind to load."""

import random
from collections.abc import Sequence
from typing import ClassVar

from services.router.policies import Candidate, Outcome, Pick, RequestInfo, kept


class RoundRobin:
    """nginx's smooth weighted round robin (ngx_http_upstream_round_robin.c, since 1.3.1).

    Each turn adds every candidate's weight to its credit, takes the largest credit, and subtracts the sum of
    weights from the winner. Credits start at a random fraction of the weight, so that many routers do not
    all begin with the same replica (envoy #31378).
    """

    name: ClassVar[str] = "round_robin"

    def __init__(self, *, rng: random.Random) -> None:
        """`rng` draws where the round begins."""
        self._rng = rng
        self._credit: dict[str, float] = {}

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick:
        """The candidate whose turn it is."""
        self._credit = kept(self._credit, candidates)
        total = 0.0
        best, best_credit = candidates[0], float("-inf")
        for candidate in candidates:
            credit = self._credit.get(candidate.id)
            if credit is None:
                credit = self._rng.random() * candidate.weight
            credit += candidate.weight
            self._credit[candidate.id] = credit
            total += candidate.weight
            if credit > best_credit:
                best, best_credit = candidate, credit
        self._credit[best.id] = best_credit - total
        return Pick(best, "turn")

    def on_start(self, replica: Candidate, now: float) -> None:
        """Nothing is learnt from it."""

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """Nothing is learnt from it."""
