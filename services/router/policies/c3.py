"""The replica with the least cubic score, of what it says of queue and service, and what this router has sent it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from services.router.policies import Candidate, Outcome, Pick, Report, RequestInfo, kept


@dataclass(slots=True)
class _Known:
    """Averages over answers: seconds of service, seconds beside it, requests there."""

    service_s: float
    at: float
    other_s: float = 0.0
    queue: float = 0.0
    reported_s: float | None = None


class C3:
    """C3's replica ranking (Suresh, Canini, Schmid and Feldmann, NSDI 2015, section 3.1), without its rate control.

    score = (R - T) + q^3 T with q = 1 + clients * in_flight + Q: the mean latency R, and the service time T and queue
    size Q that replicas report with their answers. A new value counts 0.9 in each mean, as in the authors' Cassandra
    (ScoreTracker). The cube keeps the queue of a fast replica from growing in proportion to its speed. Its rate control
    (section 3.2), which paces each client by what it gets back, is left out: it needs a queue at the router. What the
    paper does not say: a replica never heard of has the fleet's mean service time, and so has one that has been idle
    since its last answer `forget_s` ago, or it would never be asked again; a failed attempt is one of
    `error_penalty_s`; the registered weight divides q^3 T.
    """

    name: ClassVar[str] = "c3"

    def __init__(
        self,
        *,
        rng: random.Random,
        clients: int = 1,
        share: float = 0.9,
        error_penalty_s: float = 1.0,
        forget_s: float = 10.0,
    ) -> None:
        """`clients`: routers that send to the same replicas; `share`: of a new value in a mean; `error_penalty_s`: what
        a failed attempt counts as at least, seconds; `forget_s`: how long an idle one's last answer counts, seconds."""
        if not 1 <= clients <= 1000:
            raise ValueError(f"policy.clients={clients}: must be between 1 and 1000")
        if not 0.01 <= share <= 1:
            raise ValueError(f"policy.share={share:g}: must be between 0.01 and 1")
        if not 0 <= error_penalty_s <= 60:
            raise ValueError(f"policy.error_penalty_s={error_penalty_s:g}: must be between 0 and 60")
        if not 0.1 <= forget_s <= 3600:
            raise ValueError(f"policy.forget_s={forget_s:g}: must be between 0.1 and 3600")
        self._rng = rng
        self._forget_s = forget_s
        self._clients, self._share, self._penalty_s = clients, share, error_penalty_s
        self._known: dict[str, _Known] = {}

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick:
        """The least score; among equals chance."""
        self._known = kept(self._known, candidates)
        for candidate in candidates:
            each = self._known.get(candidate.id)
            if each is not None and now - each.at > self._forget_s and not candidate.in_flight:
                del self._known[candidate.id]
        known = [each.service_s for c in candidates if (each := self._known.get(c.id)) is not None]
        typical_s = sum(known) / len(known) if known else 1.0
        drawn = self._rng.sample(candidates, len(candidates))
        best = min(drawn, key=lambda c: self.score(c, typical_s))
        return Pick(best, "ranked" if len(known) == len(candidates) else "cold")

    def score(self, candidate: Candidate, typical_s: float = 1.0) -> float:
        """Seconds; `typical_s`: the service time of one that nothing is known of."""
        known = self._known.get(candidate.id) or _Known(typical_s, 0.0)
        queue = 1 + self._clients * candidate.in_flight + known.queue
        return known.other_s + queue**3 * known.service_s / candidate.weight

    def on_start(self, replica: Candidate, now: float) -> None:
        """The router counts what is in flight."""

    def on_report(self, replica: Candidate, report: Report, now: float) -> None:
        """Feed queue and service time; the latency comes with `on_finish`."""
        if report.service_s is None:
            return
        known = self._known.get(replica.id)
        if known is None:
            known = self._known[replica.id] = _Known(report.service_s, now)
        known.service_s += self._share * (report.service_s - known.service_s)
        known.queue += self._share * ((report.in_flight or 0) - known.queue)
        known.reported_s = report.service_s

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """Feed the time beside service; a cancelled attempt tells nothing."""
        known, failed = self._known.get(replica.id), outcome in ("error", "overloaded")
        if known is None and failed:
            known = self._known[replica.id] = _Known(self._penalty_s, now)
        if known is None or outcome == "cancelled":
            return
        if failed or known.reported_s is not None:
            other_s = max(latency, self._penalty_s) if failed else max(0.0, latency - (known.reported_s or 0.0))
            known.other_s += self._share * (other_s - known.other_s)
            known.at = now
        known.reported_s = None
