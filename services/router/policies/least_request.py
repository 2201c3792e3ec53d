"""The replica with the fewest requests in flight for its weight."""

import random
from collections.abc import Sequence

from services.router.policies import Candidate, Outcome, Pick, RequestInfo


class LeastRequest:
    """Full scan for the least (in_flight + 1) / weight; ties are drawn, so that the first in the list is not favoured.

    Join the shortest queue as one router sees it; HAProxy's `leastconn` counts connections the same way.
    A replica that fails fast has nothing in flight and would attract everything (linkerd2 #11669): a failed
    attempt counts as in flight for `error_penalty_s` seconds more.
    """

    name = "least_request"

    def __init__(self, *, rng: random.Random, error_penalty_s: float = 1.0) -> None:
        """`error_penalty_s`: seconds that a failed attempt still counts as in flight."""
        if not 0 <= error_penalty_s <= 60:
            raise ValueError(f"policy.error_penalty_s={error_penalty_s:g}: must be between 0 and 60")
        self._rng = rng
        self._penalty_s = error_penalty_s
        self._failures: dict[str, list[float]] = {}

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick:
        """The least loaded candidate."""
        loads = [(c.in_flight + self._recent(c.id, now) + 1) / c.weight for c in candidates]
        least = min(loads)
        return Pick(self._rng.choice([c for c, load in zip(candidates, loads, strict=True) if load == least]), "least")

    def _recent(self, replica_id: str, now: float) -> int:
        failures = self._failures.get(replica_id)
        if not failures:
            return 0
        while failures and failures[0] <= now - self._penalty_s:
            failures.pop(0)
        return len(failures)

    def on_start(self, replica: Candidate, now: float) -> None:
        """The router counts what is in flight."""

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """A failure is remembered for a while."""
        if outcome in ("error", "overloaded") and self._penalty_s > 0:
            failures = self._failures.setdefault(replica.id, [])
            self._recent(replica.id, now)
            if len(failures) < 1000:
                failures.append(now)
