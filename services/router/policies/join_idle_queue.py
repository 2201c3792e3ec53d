"""Whoever has been idle the longest; where nobody is, any replica by chance."""

import random
from collections.abc import Sequence
from typing import ClassVar

from services.router.policies import Candidate, Outcome, Pick, RequestInfo, drawn, kept


class JoinIdleQueue:
    """Join-Idle-Queue (Lu, Xie, Kliot, Geller, Larus and Greenberg, Performance Evaluation 68, 2011).

    A replica stands in the router's line of idle ones from the moment in which it has a free slot, and the first in
    line gets the next request; where nobody stands there it is drawn, by weight. In the paper the servers report that
    they are idle, each time to one of many dispatchers; here the router sees it in what it has in flight, so that of
    several routers each takes a replica for idle that works for another one. Slots are those that the replica has
    registered, else one.
    """

    name: ClassVar[str] = "join_idle_queue"

    def __init__(self, *, rng: random.Random) -> None:
        """`rng` draws where nobody is idle."""
        self._rng = rng
        self._idle_since: dict[str, float] = {}

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick:
        """The first in line; one that has never been asked stands before all others."""
        self._idle_since = kept(self._idle_since, candidates)
        u = self._rng.random()
        idle = [candidate for candidate in candidates if candidate.in_flight < (candidate.concurrency or 1)]
        if idle:
            since = [self._idle_since.get(candidate.id, float("-inf")) for candidate in idle]
            first = min(since)
            among = [candidate for candidate, at in zip(idle, since, strict=True) if at == first]
            return Pick(among[int(u * len(among))], "idle")
        return Pick(candidates[drawn([candidate.weight for candidate in candidates], u)], "drawn")

    def on_start(self, replica: Candidate, now: float) -> None:
        """It leaves the line, or, with a slot that is still free, goes to its end."""
        self._idle_since[replica.id] = now

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """Its first free slot brings it into the line."""
        if replica.in_flight == (replica.concurrency or 1) - 1:
            self._idle_since[replica.id] = now
