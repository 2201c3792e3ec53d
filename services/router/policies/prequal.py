"""The better of the replicas whose probes were answered lately: hot ones by what they have, cold ones by latency."""

import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

from services.router.policies import Candidate, Outcome, Pick, RequestInfo

HEARD = 100
"""Answers that the distribution of requests in flight is estimated from."""


@dataclass(slots=True)
class _Probe:
    id: str
    in_flight: int
    latency_s: float | None
    at: float
    uses: float


def uses(pool: int, fleet: int, probes: int) -> float:
    """Equation 1: how often an answer is used, where each pick asks `probes` and takes one out; infinite: for good."""
    spare = (1 - pool / fleet) * probes - 1
    return max(1.0, 2 / spare) if spare > 1e-9 else math.inf


class Prequal:
    """Prequal (Wydrowski, Kleinberg, Rumble and Archer, Load is not what you should balance, NSDI 2024), its defaults.

    After each pick `probes` replicas drawn without replacement are asked for what they have in flight and for the
    latency that they expect. Of the last `pool` answers that are younger than `age_s`, those are hot that have more
    in flight than the quantile `hot` of all that was heard. The request goes to the cold one of the least
    latency; where all are hot, to the one with the least in flight. With fewer than two answers it is drawn. What is
    sent to a replica is added to what it answered. Each pick takes one answer out, the oldest and the worst in turn;
    an answer is used b = max(1, 2 / ((1 - m/n) probes - 1)) times, rounded by chance (equation 1, net rate 1). That
    holds for m < n (1 - 1/probes) only, and near it answers are used until they are worth nothing: the pool shrinks
    with the fleet to half of that (b = 2), to two answers at least; in fleets of three and less they go by age alone.
    """

    name: ClassVar[str] = "prequal"

    def __init__(
        self, *, rng: random.Random, probes: int = 3, pool: int = 16, age_s: float = 1.0, hot: float = 0.84
    ) -> None:
        """`probes`: how many are asked after each pick; `pool`: answers kept at most; `age_s`: how long one counts,
        seconds; `hot`: the quantile of requests in flight beyond which a replica is hot (2^-0.25)."""
        for name, value, low, high in (("probes", probes, 2, 16), ("pool", pool, 2, 256), ("age_s", age_s, 0.01, 60)):
            if not low <= value <= high:
                raise ValueError(f"policy.{name}={value:g}: must be between {low} and {high}")
        if not 0 <= hot <= 1:
            raise ValueError(f"policy.hot={hot:g}: must be between 0 and 1")
        self._rng = rng
        self._per_pick, self._most, self._age_s, self._hot = probes, pool, age_s, hot
        self._pool: list[_Probe] = []
        self._heard: deque[int] = deque(maxlen=HEARD)
        self._wanted: list[str] = []
        self._uses = 1.0
        self._takes_oldest = True
        self._limit, self._typical_s = -1, 0.0

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick:
        """The best answer's replica."""
        offered, rng, count = {c.id: c for c in candidates}, self._rng, len(candidates)
        self._wanted = [c.id for c in rng.sample(candidates, min(self._per_pick, count))]
        size = max(2, min(self._most, int(count * (1 - 1 / self._per_pick) / 2)))
        self._uses = uses(size, count, self._per_pick)
        self._pool = [p for p in self._pool if p.id in offered and now - p.at < self._age_s and p.uses > 0][-size:]
        if len(self._pool) < 2:
            return Pick(candidates[int(rng.random() * count)], "drawn")
        best, reason = self._best()
        best.in_flight += 1
        best.uses -= 1
        if len(self._pool) > 2:
            worst = max(
                self._pool, key=lambda p: (self._is_hot(p), p.in_flight if self._is_hot(p) else self._latency(p))
            )
            self._pool.remove(self._pool[0] if self._takes_oldest else worst)
            self._takes_oldest = not self._takes_oldest
        return Pick(offered[best.id], reason)

    def _best(self) -> tuple[_Probe, str]:
        heard, known = sorted(self._heard), [p.latency_s for p in self._pool if p.latency_s is not None]
        self._limit = heard[max(0, math.ceil(self._hot * len(heard)) - 1)] if self._hot > 0 else -1
        self._typical_s = median(known) if known else 0.0  # who has no latency yet is like the others
        cold = [p for p in self._pool if not self._is_hot(p)]
        if cold:
            return min(cold, key=lambda p: (self._latency(p), p.in_flight)), "cold"
        return min(self._pool, key=lambda p: p.in_flight), "hot"

    def _is_hot(self, probe: _Probe) -> bool:
        return probe.in_flight > self._limit

    def _latency(self, probe: _Probe) -> float:
        return self._typical_s if probe.latency_s is None else probe.latency_s

    def probes(self, now: float) -> list[str]:
        """Who is to be asked after a pick."""
        return self._wanted

    def on_probe(self, id_: str, in_flight: int, latency_s: float | None, now: float) -> None:
        """An answer comes into the pool, which may push out the oldest at the next pick."""
        self._heard.append(in_flight)
        times = self._uses if math.isinf(self._uses) else math.floor(self._uses + self._rng.random())
        self._pool.append(_Probe(id_, in_flight, latency_s, now, times))

    def on_start(self, replica: Candidate, now: float) -> None:
        """Probes tell of it."""

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """Likewise."""
