"""A proxy before replicas, event by event, and the stamps that are left of it."""

import heapq
import random
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from experiments.conforming.run import OF_POLICIES
from experiments.conforming.seen import Attempt, Seen, Span, Turn, doubts, offered
from experiments.references import Offer, Reference, State, create

STALL_SHARE, STALL_S = 0.01, 5e-3
"""How often, and up to how long, a process stands still between the two: what shared cores do to a run."""
IN_ROW, OUT_S = 3, 0.5
"""Failures in a row that take a replica out, and for how long."""
ATTEMPTS = 3
BAD_EVERY_S, BAD_S, BAD_SHARE = 2.0, 0.3, 0.9
"""Where attempts fail, one replica after the other has a stretch in which nearly all do."""
ARRIVES, ENDS, RETURNS = range(3)


@dataclass(frozen=True)
class Setting:
    """What is asked of which proxy: at most half of a replica's time in use, so that few stamps overlap."""

    reference: str
    options: tuple[tuple[str, Any], ...] = ()
    weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    rate_rps: float = 200.0
    mean_s: float = 0.02
    """Of a request's service, exponential."""
    failing: float = 0.0
    """Share of attempts that fail outside of bad stretches; 0 = there are none of those either."""
    late_s: float = 1e-4
    """Mean of what lies between a stamp and the moment that it bounds."""

    def create(self) -> Reference:
        """The reference, anew."""
        return create(self.reference, self.weights, dict(self.options))


@dataclass
class Try:
    """An attempt under way."""

    request: int
    number: int
    replica: int
    tried: tuple[int, ...]
    arrived: Span
    """When its request was sent, or the attempt before it had ended."""
    picked_s: float
    taken_s: float
    ended_s: float
    """At the replica."""
    is_ok: bool


class Proxy:
    """Decides as its reference does. A bug is a class that extends it, and overrides one of the first methods."""

    def __init__(self, setting: Setting, seed: int) -> None:
        """Everything is drawn from `seed`."""
        self.setting = setting
        self.rng = random.Random(seed)
        self.reference = setting.create()
        self.size = len(setting.weights)
        self.counts = [0] * self.size
        self.rotation = [True] * self.size
        self.now = 0.0
        self.state: State = self.rng.choice(list(self.reference.begin(True, True)))
        self._penalty_s = float(getattr(self.reference, "penalty_s", 0.0))
        self._failed: list[tuple[float, int]] = []
        self._in_row = [0] * self.size
        self._queue: list[tuple[float, int, int, Any]] = []
        self._numbers = count()
        self.attempts: list[Attempt] = []
        self.turns: list[Turn] = []

    # -- what may be wrong

    def counted(self) -> tuple[int, ...]:
        """What the policy is told is in flight."""
        return tuple(self.counts)

    def uncount(self, attempt: Try) -> None:
        """An attempt is over."""
        self.counts[attempt.replica] -= 1

    def offer(self, tried: tuple[int, ...]) -> Offer:
        """What the policy chooses from."""
        counts = list(self.counted())
        self._failed = [(at, replica) for at, replica in self._failed if at > self.now - self._penalty_s]
        for _, replica in self._failed:
            counts[replica] += 1
        return Offer(offered(self.rotation, 0.0), tried, tuple(counts))

    def decide(self, offer: Offer) -> int:
        """Who is picked."""
        possible = self.reference.picks(self.state, offer)
        replica, _, self.state = self.rng.choices(possible, [chance for _, chance, _ in possible])[0]
        return replica

    def out(self, replica: int) -> None:
        """A replica leaves the rotation."""
        self.rotation[replica] = False

    # -- what happens

    def play(self, requests: int) -> Seen:
        """What is seen of so many requests: whom it takes out, and when, only of Aegis' policies, as of live runs."""
        at_s = 0.0
        for request in range(requests):
            at_s += self.rng.expovariate(self.setting.rate_rps)
            self._push(at_s, ARRIVES, request)
        while self._queue:
            self.now, _, kind, what = heapq.heappop(self._queue)
            if kind == ARRIVES:
                self._begin(what, 1, (), Span(self.now - self._late(), self.now))
            elif kind == ENDS:
                self._end(what)
            else:
                self.rotation[what] = True
                self._turned(what, is_in=True)
        ids = tuple(f"r{n}" for n in range(1, self.size + 1))
        is_told = self.setting.reference in OF_POLICIES
        turns = self.turns if is_told else doubts(self.attempts, [], {}, self.size)
        return Seen(ids, self.setting.weights, self.attempts, turns)

    def _push(self, at_s: float, kind: int, what: object) -> None:
        heapq.heappush(self._queue, (at_s, next(self._numbers), kind, what))

    def _late(self) -> float:
        stall_s = self.rng.uniform(0, STALL_S) if self.rng.random() < STALL_SHARE else 0.0
        return self.rng.expovariate(1 / self.setting.late_s) + stall_s

    def _fails(self, replica: int) -> bool:
        if not self.setting.failing:
            return False
        turn, phase = divmod(self.now, BAD_EVERY_S)
        is_bad = phase < BAD_S and int(turn) % self.size == replica
        return self.rng.random() < (BAD_SHARE if is_bad else self.setting.failing)

    def _begin(self, request: int, number: int, tried: tuple[int, ...], arrived: Span) -> None:
        replica = self.decide(self.offer(tried))
        self.counts[replica] += 1
        is_ok = not self._fails(replica)
        taken_s = self.now + self._late()
        ended_s = taken_s + self.rng.expovariate(1 / self.setting.mean_s) * (1.0 if is_ok else 0.1)
        attempt = Try(request, number, replica, tried, arrived, self.now, taken_s, ended_s, is_ok)
        self._push(ended_s + self._late(), ENDS, attempt)

    def _end(self, attempt: Try) -> None:
        self.uncount(attempt)
        replica = attempt.replica
        counts = tuple(self.counts)
        if self.state is not None:
            self.state = self.reference.finished(self.state, replica, counts, attempt.is_ok)
        self._in_row[replica] = 0 if attempt.is_ok else self._in_row[replica] + 1
        if not attempt.is_ok:
            self._failed.append((self.now, replica))
            self._maybe_out(replica)
        has_more = not attempt.is_ok and attempt.number < ATTEMPTS
        # The client hears of a request's last attempt, the next replica of any other.
        seen = Attempt(
            attempt.request, attempt.number, replica, Span(attempt.arrived.low, attempt.taken_s),
            Span(attempt.ended_s, self.now + self._late()), attempt.is_ok,
        )  # fmt: skip
        if has_more:
            before = len(self.attempts)
            self.attempts.append(seen)
            self._begin(
                attempt.request, attempt.number + 1, (*attempt.tried, replica), Span(attempt.ended_s, self.now)
            )
            taken_s = next(what.taken_s for _, _, kind, what in self._queue
                           if kind == ENDS and what.request == attempt.request)  # fmt: skip
            self.attempts[before] = replace(seen, ended=Span(attempt.ended_s, taken_s))
        else:
            self.attempts.append(seen)

    def _maybe_out(self, replica: int) -> None:
        among = sum(self.rotation)
        if self._in_row[replica] >= IN_ROW and self.rotation[replica] and among > max(1, self.size // 2):
            self._in_row[replica] = 0
            self.out(replica)
            self._turned(replica, is_in=False)
            self._push(self.now + OUT_S, RETURNS, replica)

    def _turned(self, replica: int, *, is_in: bool) -> None:
        if self.state is not None:
            self.state = self.reference.turned(self.state, replica, is_in, tuple(self.counts))
        at = Span(self.now - self._late(), self.now + self._late())
        self.turns.append(Turn(replica, at, is_in))
