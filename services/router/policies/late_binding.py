"""One line at the router: a request is bound to a replica when that has a free slot for it."""

import math
import random
from collections.abc import Sequence
from typing import ClassVar

from services.router import held_back
from services.router.limits import SlowStart
from services.router.policies import Candidate, Outcome, Pick, RequestInfo
from services.router.settings import LimitSettings
from services.router.standing_out import StandingOut, say_speeds, told_speeds
from services.router.waiting import ORDERS, Line

FOUND = LimitSettings(initial=2, least=1, most=1000, queue=1.0, window_s=0.5)
"""Slots that nobody has said: a limit for each replica, with room for one more than latency says."""
EVIDENCE = 7.0
"""From which on a replica stands out: more than `adaptive` asks for, since one that is left idle clears itself late."""


class LateBinding:
    """Of the replicas with a free slot the fastest, of several the one with the least of its slots taken.

    Nobody queues behind a slow or silent replica, as in one queue for all slots (M/M/c; HAProxy's `maxconn` of a server
    and nginx's `queue` do it so). How slow a replica is, its weight says, and whether it stands out from its fleet
    (services/router/standing_out.py). A slow one that is free is left alone as long as all who wait will sooner be
    done at the faster ones (services/router/held_back.py).
    """

    name: ClassVar[str] = "late_binding"

    def __init__(
        self,
        *,
        rng: random.Random,
        slots: str = "registered",
        order: str = "fifo",
        limit: int = 100,
        longest_s: float = 0.0,
        error_penalty_s: float = 1.0,
    ) -> None:
        """`slots`: `registered`, or `found` by how latency moves (as for a replica that has said none); `order`: who in
        line is next, the first that came, the last, or whose time is up first; `limit`: how many may wait, then the
        last in that order is shed; `longest_s`: how long each may wait, seconds, 0 = as long as the request may take;
        `error_penalty_s`: seconds that a failure counts as at least."""
        for key, value, words in (("slots", slots, ("registered", "found")), ("order", order, ORDERS)):
            if value not in words:
                raise ValueError(f"policy.{key}={value}: must be one of {', '.join(words)}")
        if not 0 <= limit <= 100_000:
            raise ValueError(f"policy.limit={limit}: must be between 0 and 100000")
        if not 0 <= longest_s <= 600:
            raise ValueError(f"policy.longest_s={longest_s:g}: must be between 0 and 600")
        if not 0 <= error_penalty_s <= 60:
            raise ValueError(f"policy.error_penalty_s={error_penalty_s:g}: must be between 0 and 60")
        self._rng = rng
        self._is_told = slots == "registered"
        self.line = Line(order, limit, longest_s)
        self._outliers = StandingOut(error_penalty_s, EVIDENCE)
        self._told: dict[str, float] = {}
        """Of replicas a slot of which is slower by their weights: how fast beside the best."""
        self._is_of_slots = False
        """Whether a weight is that of all of a replica's slots together."""
        self._found: dict[str, SlowStart] = {}

    def slots(self, replica: Candidate) -> int:
        """So many attempts at a time."""
        if self._is_told and replica.concurrency is not None:
            return replica.concurrency
        found = self._found.get(replica.id)
        return FOUND.initial if found is None else int(found.value)

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick | None:
        """The fastest that is free; None where nobody is, or who is free is slower than waiting, if that is allowed."""
        free = [candidate for candidate in candidates if candidate.in_flight < self.slots(candidate)]
        if not free:
            return None
        if now >= self._outliers.due:
            self._outliers.refresh([candidate.id for candidate in candidates], now)
            self._told = told_speeds(candidates)
            self._is_of_slots = say_speeds(candidates)
            if self._found:  # candidates are only those with room, where room is bounded: these are not forgotten
                known = self._outliers.known
                self._found = {id_: found for id_, found in self._found.items() if id_ in known}
        self._rng.shuffle(free)
        fleet: list[held_back.Seen] = []
        reason = "free"
        for candidate in (*free, *(each for each in candidates if each.in_flight >= self.slots(each))):
            times, stands_out = self._outliers.times(candidate.id, now)
            cost = (times if stands_out else 1.0) * self._slot(candidate)
            reason = "standing_out" if stands_out else reason
            fleet.append((candidate, self.slots(candidate), candidate.in_flight, cost, times))
        return held_back.slot(fleet, request.waiting if request.may_wait else math.inf, reason)

    def _slot(self, candidate: Candidate) -> float:
        """How long a slot takes, by the weights; where slots are not known, a weight is taken for that of a slot."""
        return ((candidate.concurrency or 1) if self._is_of_slots else 1) / candidate.weight

    def on_start(self, replica: Candidate, now: float) -> None:
        """Beyond its slots, where others use them, too, it is served one after another."""
        places = max(1.0, (replica.in_flight - replica.resting + 1) / self.slots(replica))
        self._outliers.begin(replica.id, places / self._told.get(replica.id, 1.0), now)

    def on_rest(self, replica: Candidate, worked_s: float, now: float) -> None:
        """The client's time is not the replica's."""
        self._outliers.rest(replica.id, worked_s, now)

    def on_work(self, replica: Candidate, now: float) -> None:
        """The replica's time begins."""
        self.on_start(replica, now)

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """As `adaptive` sees it; an answer also says how many slots there are."""
        failed = outcome in ("error", "overloaded")
        self._outliers.end(replica.id, latency, now, answered=outcome == "ok", failed=failed)
        if outcome == "ok" and latency > 0 and not (self._is_told and replica.concurrency is not None):
            found = self._found.setdefault(replica.id, SlowStart(FOUND))
            # Those that rest have slots; one whose answer has only begun is still among those in flight.
            found.on_answer(latency, min(replica.in_flight + 1, self.slots(replica)), now)
