"""What a balancing policy is told, and what it answers; the policies themselves are in `policies/`."""

import random
from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar, get_args

Outcome = Literal["ok", "error", "overloaded", "cancelled"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
T = TypeVar("T")
SPARE = 64
"""Replicas that a policy remembers beyond twice those that it may pick."""


class Candidate(Protocol):
    """What a policy may see of a replica; it changes nothing of it."""

    __slots__ = ()

    id: str
    """Its name, stable over restarts."""
    weight: float
    """Its share relative to the others, above 0."""
    in_flight: int
    """Attempts under way through this router."""
    resting: int
    """Of those, attempts that nobody works on: the client still sends the body, or reads the answer."""
    concurrency: int | None
    """Its slots, where it has said."""


class RequestInfo:
    """What a policy may see of a request."""

    __slots__ = ("attempt", "id", "key", "may_wait", "waiting")

    def __init__(self, id: str, key: str | None, attempt: int, waiting: int = 0, may_wait: bool = True) -> None:
        """`attempt` counts from 1; `waiting` others stand in the router's line; without `may_wait`: now or never."""
        self.id = id
        self.key = key
        self.attempt = attempt
        self.waiting = waiting
        self.may_wait = may_wait


class Pick:
    """A choice, and why: `turn`, `least`, `sampled`, `cold`, `standing_out`, `hashed`, ... (docs/policies.md)."""

    __slots__ = ("for_last", "reason", "replica")

    def __init__(self, replica: Candidate, reason: str, *, for_last: bool = False) -> None:
        """`replica` is one of those that were offered; `for_last`: it suits the last in the router's line, if any."""
        self.replica = replica
        self.reason = reason
        self.for_last = for_last


class Report:
    """What a replica says of itself with an answer; None = it does not say."""

    __slots__ = ("eps", "in_flight", "rps", "service_s", "utilisation")

    def __init__(
        self,
        in_flight: int | None = None,
        service_s: float | None = None,
        utilisation: float | None = None,
        rps: float | None = None,
        eps: float | None = None,
    ) -> None:
        """Others under way there when it answered; the answered request's time in a slot, seconds; the share of the
        slots in use, requests and errors a second (ORCA's `application_utilization`, `rps_fractional`, `eps`)."""
        self.in_flight = in_flight
        self.service_s = service_s
        self.utilisation = utilisation
        self.rps = rps
        self.eps = eps


class Policy(Protocol):
    """The shape of every policy.

    More is done for one that has the methods, and costs the others nothing:

        on_rest(replica, worked_s, now)                  nobody works on an attempt, after so long: its body still comes
        on_work(replica, now)                            somebody does, from now on
        on_report(replica, report, now)                  what a replica says with an answer, before `on_finish`
        probes(now) -> ids                               after each pick: whose `/probe` is to be asked
        on_probe(id, in_flight, latency_s | None, now)   what it answered; one that does not answer is not told of

    For whoever has `on_rest` an attempt is over when its answer begins to be passed on: `on_finish` is called then, and
    at its end only where it fails after all, after `on_work`. `in_flight` counts it until its end, and `on_report` is
    called there.
    """

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick | None:
        """Choose one of `candidates` (never empty); `now` in seconds.

        None: none of them now. That may say who has a `line` (`waiting.Line`), in which the request then stands.
        """

    def on_start(self, replica: Candidate, now: float) -> None:
        """An attempt at `replica` begins."""

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """It ended after `latency` seconds."""


def kept(known: dict[str, T], candidates: Sequence[Candidate]) -> dict[str, T]:
    """What a policy knows by id, without those that have left where they have become many; all of it where not.

    Who is out of rotation for a moment is known when it is back; a fleet whose replicas have a new name each time
    must not fill the memory.
    """
    if len(known) <= 2 * len(candidates) + SPARE:
        return known
    return {candidate.id: known[candidate.id] for candidate in candidates if candidate.id in known}


def two_of(count: int, rng: random.Random) -> tuple[int, int]:
    """Two different numbers below `count` (2 or more), every ordered pair equally likely; two draws, always."""
    first, second = int(rng.random() * count), int(rng.random() * (count - 1))
    return first, second + (second >= first)


SMALL = 21
"""The largest population of which `random.sample` keeps a list; of a larger one it keeps a set of a few draws."""
_STEPS = [tuple((size - 1, size.bit_length()) for size in range(total, 0, -1)) for total in range(SMALL + 1)]
"""By population: the last place that is left at each draw, and the bits that it takes."""


def sample(candidates: Sequence[Candidate], count: int, rng: random.Random) -> list[Candidate]:
    """`rng.sample`: the same draws and the same order, without its looks at types, which cost more than the draws."""
    total, bits = len(candidates), rng.getrandbits
    if total <= SMALL:
        left = list(candidates)
        for last, width in _STEPS[total] if count == total else _STEPS[total][:count]:
            place = bits(width)
            while place > last:
                place = bits(width)
            left[place], left[last] = left[last], left[place]
        left.reverse()
        return left if count == total else left[:count]
    if not 1 <= count <= 5:
        return rng.sample(candidates, count)
    width, places = total.bit_length(), list[int]()
    while len(places) < count:
        place = bits(width)
        if place < total and place not in places:
            places.append(place)
    return [candidates[place] for place in places]


def drawn(weights: list[float], u: float) -> int:
    """Which of the weights a uniform number of [0, 1) falls on; the last where rounding leaves none."""
    count = len(weights)
    if weights.count(1.0) == count:  # the same: to take a 1 off is exact
        return min(int(u * count), count - 1)
    left = u * sum(weights)
    for number, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return number
    return count - 1
