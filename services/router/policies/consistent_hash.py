"""The same key to the same replica, as long as that has no more than its share."""

import hashlib
import math
import random
from collections.abc import Sequence
from typing import ClassVar, Final

from services.router.policies import Candidate, Outcome, Pick, RequestInfo, kept

MASK: Final = (1 << 64) - 1


def point(text: str) -> int:
    """Where a name lies, 64 bits."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def mixed(key: int, replica: int) -> float:
    """A number of (0, 1) for the pair: the finalizer of splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = (key ^ replica) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return (((z ^ (z >> 31)) >> 12) + 0.5) / 2.0**52


class ConsistentHash:
    """Rendezvous hashing (Thaler and Ravishankar, IEEE/ACM Trans. Networking 6, 1998) with bounded loads.

    Each key has an order of the replicas: by -weight / ln(u), u of the pair, so that the first place goes by weight
    (Schindelhauer and Schomaker, SPAA 2005), and a replica that leaves moves its own keys only. The request goes to the
    first one that would hold no more than `balance_factor` times its share of what is in flight, rounded up
    (Mirrokni, Thorup and Zadimoghaddam, Consistent hashing with bounded loads, SODA 2018; 1.25 in their
    tests, and HAProxy's `hash-balance-factor 125`). The key is the header `X-Aegis-Key`; a request without one
    goes to the least in flight for its weight.
    """

    name: ClassVar[str] = "consistent_hash"

    def __init__(self, *, rng: random.Random, balance_factor: float = 1.25) -> None:
        """`balance_factor`: how many times its share a replica may hold, above 1."""
        if not 1.01 <= balance_factor <= 100:
            raise ValueError(f"policy.balance_factor={balance_factor:g}: must be between 1.01 and 100")
        self._rng = rng
        self._factor = balance_factor
        self._points: dict[str, int] = {}

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick:
        """The first in the key's order with a place."""
        self._points = kept(self._points, candidates)
        if request.key is None:
            drawn = self._rng.sample(candidates, len(candidates))
            return Pick(min(drawn, key=lambda c: (c.in_flight + 1) / c.weight), "keyless")
        key = point(request.key)
        allowed = self._factor * (sum(c.in_flight for c in candidates) + 1) / sum(c.weight for c in candidates)
        first, chosen, most, best = candidates[0], candidates[0], -1.0, -1.0
        for candidate in candidates:
            at = self._points.get(candidate.id)
            if at is None:
                at = self._points[candidate.id] = point(candidate.id)
            score = -candidate.weight / math.log(mixed(key, at))
            if score > most:
                first, most = candidate, score
            if score > best and candidate.in_flight < math.ceil(allowed * candidate.weight):
                chosen, best = candidate, score
        return Pick(chosen, "hashed" if chosen is first else "overflow")

    def on_start(self, replica: Candidate, now: float) -> None:
        """The router counts what is in flight."""

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """Nothing is learnt from it."""
