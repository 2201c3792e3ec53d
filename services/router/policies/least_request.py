"""The replica with the fewest requests in flight for its weight, of all or of a few drawn at random."""

import random
from collections.abc import Sequence
from typing import ClassVar

from services.router.policies import Candidate, Outcome, Pick, RequestInfo, kept
from services.router.policy import sample


class LeastRequest:
    """The least (in_flight + 1) / weight of all candidates, or of `choices` of them drawn without replacement.

    Of all: join the shortest queue as one router sees it; HAProxy's `leastconn` counts connections the same way.
    Of a few: the power of choices (Mitzenmacher, The power of two choices in randomized load balancing, IEEE TPDS 12,
    2001), Envoy's `choice_count`, 2 by default there (its draws are with replacement: least_request_lb.cc). Weights
    count among those drawn only. Candidates are compared in the order in which they were drawn, so that ties favour
    nobody, and a pick draws equally often whatever the loads are: arms with one seed stay in step (synchronisation of
    common random numbers; Law, Simulation Modeling and Analysis, 5th ed. 2015, section 11.2).
    A replica that fails fast has nothing in flight and would attract everything (linkerd2 #11669): a failed
    attempt counts as in flight for `error_penalty_s` seconds more.
    """

    name: ClassVar[str] = "least_request"

    def __init__(self, *, rng: random.Random, choices: int = 0, error_penalty_s: float = 1.0) -> None:
        """`choices`: how many are drawn, 0 = all; `error_penalty_s`: seconds that a failed attempt still counts."""
        if choices != 0 and not 2 <= choices <= 64:
            raise ValueError(f"policy.choices={choices}: must be 0 (all replicas) or between 2 and 64")
        if not 0 <= error_penalty_s <= 60:
            raise ValueError(f"policy.error_penalty_s={error_penalty_s:g}: must be between 0 and 60")
        self._rng = rng
        self._choices = choices
        self._penalty_s = error_penalty_s
        self._failures: dict[str, list[float]] = {}

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick:
        """The least loaded of those drawn."""
        self._failures = kept(self._failures, candidates)
        count = min(self._choices or len(candidates), len(candidates))
        drawn = sample(candidates, count, self._rng)
        if self._failures:
            least = min(drawn, key=lambda c: (c.in_flight + self._recent(c.id, now) + 1) / c.weight)
        else:
            least = min(drawn, key=_load)
        return Pick(least, "sampled" if count < len(candidates) else "least")

    def _recent(self, replica_id: str, now: float) -> int:
        failures = self._failures.get(replica_id)
        if failures is None:
            return 0
        while failures and failures[0] <= now - self._penalty_s:
            failures.pop(0)
        if not failures:
            del self._failures[replica_id]
        return len(failures)

    def on_start(self, replica: Candidate, now: float) -> None:
        """The router counts what is in flight."""

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """A failure is remembered for a while."""
        if outcome in ("error", "overloaded") and self._penalty_s > 0:
            self._recent(replica.id, now)
            failures = self._failures.setdefault(replica.id, [])
            if len(failures) < 1000:
                failures.append(now)


def _load(replica: Candidate) -> float:
    return (replica.in_flight + 1) / replica.weight
