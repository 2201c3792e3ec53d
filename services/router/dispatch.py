"""What the router decides about a request: who gets an attempt, what its end means, what follows. Pure, no clock.

The live proxy and the simulator call the same object, in the same order:

    attempts = open(...)
    bound = bind(attempts, ..., waiter)             # counts the attempt as begun; or a ticket: it stands in line
    again = follows(attempts, outcome, ...)         # where it failed
    hedged = hedges(attempts, ...)                  # where it is slow: whether a second one begins beside it
    finish(replica, outcome, ...)                   # exactly once per attempt; what live ones tell before: ending.py
    attempts.forgo()                                # where the request ends before a retry that was allowed has begun
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

from services.router.ending import Ending
from services.router.fleet import Fleet
from services.router.policy import Outcome, Pick, Policy, Report, RequestInfo
from services.router.replica import Replica
from services.router.retries import Attempts
from services.router.settings import RouterSettings
from services.router.waiting import Bound, Standing, Ticket, UnboundError, Waiter

RETRIED_STATUSES = frozenset({500, 502, 504})
"""Answers that count as a failed attempt; 503 counts as `overloaded`."""
FAILURE_STATUS = {"connect": 502, "reset": 502, "timeout": 504}
"""What the client is answered where the last attempt had no answer, by the reason."""


class PolicyError(UnboundError):
    """The policy raised, or returned something that it was not offered."""

    def __init__(self, text: str) -> None:
        super().__init__("policy", text)


class NoReplicaError(UnboundError):
    """Nobody may be picked."""

    def __init__(self, text: str = "no replica is in rotation") -> None:
        super().__init__("no_replica", text)


def outcome_of(status: int) -> Outcome:
    """What a replica's status says of the attempt."""
    return "overloaded" if status == 503 else "error" if status in RETRIED_STATUSES else "ok"


class Dispatcher(Ending):
    """Holds the policy, the fleet, the line, the limits and the retry budget together."""

    def __init__(
        self, settings: RouterSettings, fleet: Fleet, policy: Policy, rng: random.Random | None = None
    ) -> None:
        """`fleet` and `policy` may be used by others; `rng` draws pauses before retries, None = one of its own."""
        super().__init__(settings, fleet, policy)
        self._retry = settings.retry
        self._timeouts = settings.timeouts
        self._rng = rng or random.Random(0)
        self._most = settings.limits.replica_requests
        if self.line is not None:
            fleet.turned = self.call
        self._on_report: Any = getattr(policy, "on_report", None)
        self._probes: Any = getattr(policy, "probes", None)
        self.reads_reports = self._on_report is not None
        """Whether the policy wants to hear what replicas say of themselves."""
        self.probe: Callable[[Replica], object] | None = None
        """Asks a replica's `/probe`; whoever can do so sets it."""

    def open(self, now: float, *, idempotent: bool, expires: float | None = None) -> Attempts:
        """A request came in, its body is there; its client waits until `expires`, where it has said so."""
        attempts = Attempts(
            self._retry, self._timeouts, self._budget, idempotent=idempotent, now=now, patience=self._patience
        )
        if expires is not None:
            attempts.hasten(expires)
        return attempts

    def bind(self, attempts: Attempts, request_id: str, key: str | None, now: float, waiter: Waiter) -> Bound | Ticket:
        """Begin an attempt, or stand in line for a slot.

        Where it is a ticket, `waiter` is called once it has a slot, or none will come. Whose `until` has come calls
        `expire`, who no longer waits `leave`.

        Raises:
            UnboundError: no attempt may begin, and waiting does not help.
        """
        line = self.line
        if line is None:
            return self.choose(attempts, request_id, key, now)
        self._admit(attempts, now)
        if not len(line):
            pick = self._pick(attempts, request_id, key, 0, now, attempts.avoided)
            if pick is not None:
                return self._begin(attempts, pick, now)
        ticket = line.add(attempts, request_id, key, now)
        standing = ticket.waiter = Standing()
        self.call(now)
        if line.is_too_long:
            self._turn_away(line.at(-1), UnboundError("shed", "the line is full"), now)
        if standing.now is not None:
            return standing.now
        if standing.error is not None:
            raise standing.error
        ticket.waiter = waiter
        return ticket

    def choose(
        self, attempts: Attempts, request_id: str, key: str | None, now: float, *, beside: bool = False
    ) -> Bound:
        """Begin an attempt now or never, perhaps `beside` another one, for which nobody is asked twice.

        Raises:
            NoReplicaError: nobody is in rotation, or has a slot for it now, or, `beside`, has not been tried.
            PolicyError: the policy raised, or returned something that it was not offered.
            UnboundError: there is no room, or no time left.
        """
        if not attempts.count or now >= attempts.expires:
            self._admit(attempts, now)
        waiting = 0 if self.line is None else len(self.line)
        if beside and not self._fleet.has_others(attempts.tried):
            raise NoReplicaError("every replica has been tried")
        avoided = attempts.tried if beside else attempts.avoided
        pick = self._pick(attempts, request_id, key, waiting, now, avoided, may_wait=False)
        if pick is None:
            raise NoReplicaError("no replica has a free slot")
        return self._begin(attempts, pick, now)

    def _admit(self, attempts: Attempts, now: float) -> None:
        """Whether an attempt may begin at all.

        Raises:
            UnboundError: the client waits no longer, or so much is in flight that one more would only make it worse.
        """
        if now >= attempts.expires:
            raise UnboundError("deadline", "the client's deadline had passed before the request had a replica")
        if self.standing is not None and not attempts.count and (slots := self._fleet.slots()) is not None:
            taken = self._working() if self._leaves_slots else self._under_way
            line = taken + 1 - slots + (0 if self.line is None else len(self.line))
            if not self.standing.admits(line, now):
                raise UnboundError("shed", "more stand in line than the replicas get done in time")
        if not self._lets_in(attempts):
            raise UnboundError("limit", f"{self._working()} attempts are under way, the limit for now")

    def _lets_in(self, attempts: Attempts) -> bool:
        """Whether the limit does; it asks only for a request's first attempt."""
        return self.limit is None or attempts.count > 0 or self.limit.admits(self._working())

    def _pick(
        self, attempts: Attempts, request_id: str, key: str | None, waiting: int, now: float, avoided: set[str],
        *, may_wait: bool = True,
    ) -> Pick | None:  # fmt: skip
        """The policy's choice among those that are not `avoided`, while there are others; None: nobody for now.

        Raises:
            UnboundError: as `choose` says.
        """
        candidates: Sequence[Replica] = self._fleet.candidates(avoided)
        if not candidates:
            raise NoReplicaError
        if self._most:
            candidates = [candidate for candidate in candidates if candidate.in_flight < self._most]
            if not candidates:
                if self.line is not None and self.line.takes_all:
                    return None
                raise UnboundError("full", f"every replica has {self._most} attempts under way")
        try:
            request = RequestInfo(request_id, key, attempts.count + 1, waiting, may_wait)
            pick = self._policy.pick(candidates, request, now)
            if pick is None and self.line is not None:
                return None
            replica = pick.replica  # type: ignore[union-attr]
        except Exception as error:
            raise PolicyError(f"the policy raised {type(error).__name__}: {error}") from error
        if not self._fleet.is_candidate(replica, avoided):
            raise PolicyError("the policy returned a replica that it was not offered")
        return pick

    def _begin(self, attempts: Attempts, pick: Pick, now: float) -> Bound:
        replica: Replica = pick.replica  # type: ignore[assignment] # one of the fleet's, as `_pick` has seen
        try:
            self._policy.on_start(replica, now)
        except Exception as error:
            raise PolicyError(f"the policy raised {type(error).__name__}: {error}") from error
        self._fleet.on_start(replica, now)
        self._fleet.picked(pick.reason)
        self._under_way += 1
        if self._attentive is not None:
            self._attentive.on_start()
        limit = attempts.begin(replica.id, now)
        if self._probes is not None and self.probe is not None:
            self._send_probes(self.probe, now)
        return replica, limit

    def _send_probes(self, probe: Callable[[Replica], object], now: float) -> None:
        try:
            ids = self._probes(now)
        except Exception as error:
            self._mishap("probes", error)
            return
        for id_ in ids:
            replica = self._fleet.replicas.get(id_)
            if replica is not None:
                probe(replica)

    def probed(self, id_: str, in_flight: int, latency_s: float | None, now: float) -> None:
        """A replica has answered its probe: it has `in_flight` requests, and one that comes takes about `latency_s`."""
        if id_ not in self._fleet.replicas:
            return
        try:
            self._policy.on_probe(id_, in_flight, latency_s, now)  # type: ignore[attr-defined]
        except Exception as error:
            self._mishap("on_probe", error)

    def reported(self, replica: Replica, report: Report, now: float) -> None:
        """What a replica says of itself with an answer, where `reads_reports`; before `finish`."""
        try:
            self._on_report(replica, report, now)
        except Exception as error:
            self._mishap("on_report", error)

    def follows(
        self, attempts: Attempts, outcome: Outcome, now: float, *, sent: bool, replayable: bool, beside: bool = False,
        is_retry: bool = False, ends: Outcome | None = None,
    ) -> bool:  # fmt: skip
        """Whether another attempt follows one that ends with `outcome`, after `attempts.pause_s`; the budget pays.

        Args:
            attempts: of the request.
            outcome: how the attempt ends.
            now: seconds.
            sent: whether any of the request may have reached the replica.
            replayable: whether the request can still be sent from its beginning.
            beside: whether another attempt of it is under way; nobody is asked twice at a time.
            is_retry: as `finish` is told afterwards.
            ends: what `finish` is told, if not `outcome`.
        """
        if not self._fleet.candidates():
            return False
        others = self._fleet.has_others(attempts.tried)
        if beside and not others:
            return False
        u = self._rng.random() if self._retry.backoff_base_s > 0 else 0.0
        return attempts.may_retry(
            outcome, now, sent=sent, replayable=replayable, others=others, u=u, is_retry=is_retry, ends=ends
        )

    def hedges(self, attempts: Attempts, now: float) -> bool:
        """Whether a second attempt begins now beside the one under way; both budgets allow it."""
        return self._fleet.has_others(attempts.tried) and attempts.may_hedge(now)

    def work_seconds(self, now: float) -> float:
        """Request-seconds spent until `now` at replicas (`Fleet.work_seconds`), and in line for one."""
        spent_s = self._fleet.work_seconds(now)
        return spent_s if self.line is None else spent_s + self.line.seconds(now)
