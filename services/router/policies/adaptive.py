"""The replica with the fewest requests in flight, but for those that stand out from their fleet."""

import random
from collections.abc import Sequence
from typing import ClassVar

from services.router.policies import Candidate, Outcome, Pick, RequestInfo
from services.router.policy import sample
from services.router.standing_out import StandingOut


class Adaptive:
    """The least (in_flight + 1) / weight of all, in large fleets of `choices` drawn; latency counts as an exception.

    Averages of latency cost more than they bring while replicas are alike: here one counts only where a replica stands
    out (services/router/standing_out.py). It is then so many times as dear, and its free slots no cheaper than the last
    of them: the shortest expected delay (Banawan and Zahorjan, Load sharing in heterogeneous queueing systems, INFOCOM
    1989). Among equals the one that less speaks against is taken. A few of a large fleet are nearly as good as all
    (Mitzenmacher, The power of two choices in randomized load balancing, IEEE TPDS 12, 2001).
    Slow start: a replica that joins later is looked at by a share of the requests that grows over `slow_start_s` from
    a tenth (Envoy's least share of a weight) to all; in Envoy the weight grows, which here, where the least of all is
    taken, would keep it out until the end, and then flood it.
    """

    name: ClassVar[str] = "adaptive"

    def __init__(
        self,
        *,
        rng: random.Random,
        scan: int = 16,
        choices: int = 4,
        slow_start_s: float = 5.0,
        error_penalty_s: float = 1.0,
    ) -> None:
        """`scan`: the largest fleet of which all are looked at; `choices`: how many are drawn of a larger one;
        `slow_start_s`: seconds until a new replica is looked at always; `error_penalty_s`: what a failure counts as at
        least, seconds."""
        if not 1 <= scan <= 1000:
            raise ValueError(f"policy.scan={scan}: must be between 1 and 1000")
        if not 2 <= choices <= 64:
            raise ValueError(f"policy.choices={choices}: must be between 2 and 64")
        for name, value in (("slow_start_s", slow_start_s), ("error_penalty_s", error_penalty_s)):
            if not 0 <= value <= 60:
                raise ValueError(f"policy.{name}={value:g}: must be between 0 and 60")
        self._rng = rng
        self._scan = scan
        self._choices = choices
        self._slow_start_s = slow_start_s
        self._outliers = StandingOut(error_penalty_s)
        self._since: dict[str, float] = {}

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick:
        """The least of those looked at."""
        if len(self._since) > 2 * len(candidates) + self._scan:
            self._since = {c.id: self._since.get(c.id, now) for c in candidates}
        if self._outliers.is_due(now):
            self._outliers.refresh([candidate.id for candidate in candidates], now)
        total, since = len(candidates), self._since
        count = total if total <= self._scan else min(self._choices, total)
        drawn = sample(candidates, count, self._rng)
        best, least, reason = drawn[0], float("inf"), "least" if total <= self._scan else "sampled"
        if not since:  # those of the beginning are no newer than others
            since = self._since = dict.fromkeys((candidate.id for candidate in candidates), float("-inf"))
        times_of, slow_start_s = self._outliers.times, self._slow_start_s
        for candidate in drawn:
            id_ = candidate.id
            joined = since.get(id_)
            if joined is None:
                joined = since[id_] = now
            if now - joined < slow_start_s and self._rng.random() > max(0.1, (now - joined) / slow_start_s):
                reason = "slow_start"
                continue
            times, stands_out = times_of(id_, now)
            load = candidate.in_flight + 1
            if stands_out:
                reason, load = "standing_out", max(load, candidate.concurrency or 1)
            if (cost := times * load / candidate.weight) < least:
                best, least = candidate, cost
        return Pick(best, reason)

    def on_start(self, replica: Candidate, now: float) -> None:
        """A time at a replica whose slots are taken is that of several, one after another."""
        slots = replica.concurrency
        load = replica.in_flight + 1
        self._outliers.begin(replica.id, 1.0 if slots is None or load <= slots else load / slots, now)

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """A failed attempt is no answer, and a cancelled one no sign of anything but its time."""
        failed = outcome in ("error", "overloaded")
        self._outliers.end(replica.id, latency, now, answered=outcome == "ok", failed=failed)
