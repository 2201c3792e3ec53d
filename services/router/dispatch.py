"""What the router decides about a request: who gets an attempt, what its end means, what follows. Pure, no clock.

The live proxy and the simulator call the same object, in the same order:

    attempts = open(...)
    bound = bind(attempts, ..., waiter)             # counts the attempt as begun; or a ticket: it stands in line
    again = follows(attempts, outcome, ...)         # where it failed
    hedged = hedges(attempts, ...)                  # where it is slow: whether a second one begins beside it
    finish(replica, outcome, ...)                   # exactly once per attempt
    attempts.forgo()                                # where the request ends before a retry that was allowed has begun
"""

import random
import sys
from collections.abc import Callable, Sequence
from typing import Any

from services.router.budgets import budget_of
from services.router.calling import Calling
from services.router.fleet import Fleet
from services.router.limits import Gradient2
from services.router.patience import SUPERSEDED, TIMEOUT, Patience
from services.router.policy import Outcome, Pick, Policy, Report, RequestInfo
from services.router.replica import Replica
from services.router.retries import Attempts
from services.router.settings import RouterSettings
from services.router.standing_line import StandingLine
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


class Dispatcher(Calling):
    """Holds the policy, the fleet, the line, the limits and the retry budget together."""

    def __init__(
        self, settings: RouterSettings, fleet: Fleet, policy: Policy, rng: random.Random | None = None
    ) -> None:
        """`fleet` and `policy` may be used by others; `rng` draws pauses before retries, None = one of its own."""
        self._retry = settings.retry
        self._timeouts = settings.timeouts
        self._fleet = fleet
        self._policy = policy
        self._rng = rng or random.Random(0)
        self._budget = budget_of(settings.retry)
        self._attentive = self._budget if self._budget.attends else None
        self.is_patient = settings.hedging.enabled or settings.timeouts.adaptive_factor > 0
        """Whether something may be done about attempts before their time is up."""
        self._patience = Patience(settings.hedging, settings.timeouts) if self.is_patient else None
        self.limit = Gradient2(settings.limits) if settings.limits.adaptive else None
        bound_s = settings.limits.standing_share * settings.timeouts.attempt_s
        self.standing = StandingLine(bound_s) if bound_s > 0 else None
        """Whether what is in line at the replicas, and here, is too much."""
        self._most = settings.limits.replica_requests
        self._under_way = 0
        self.resting = 0
        """Attempts of them that stand in no line: the client still sends their body, or their answer is on its way."""
        super().__init__(getattr(policy, "line", None))
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
            # At one's own line an attempt has its slot until its end.
            resting = 0 if self.line is not None and self.line.takes_all else self.resting
            line = self._under_way - resting + 1 - slots + (0 if self.line is None else len(self.line))
            if not self.standing.admits(line, now):
                raise UnboundError("shed", "more stand in line than the replicas get done in time")
        if not self._lets_in(attempts):
            raise UnboundError("limit", f"{self._under_way} attempts are under way, the limit for now")

    def _lets_in(self, attempts: Attempts) -> bool:
        """Whether the limit does; it asks only for a request's first attempt."""
        return self.limit is None or attempts.count > 0 or self.limit.admits(self._under_way)

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

    def _mishap(self, method: str, error: Exception) -> None:
        """The request goes on, whatever the policy makes of it."""
        sys.stderr.write(f"the policy raised {type(error).__name__} in {method}: {error}\n")

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

    def rests(self, replica: Replica, worked_s: float, now: float) -> None:
        """Nobody there works on an attempt, after `worked_s` seconds: its client sends the body or reads the answer."""
        self._tell_work("on_rest", replica, worked_s, now)
        self.resting += 1
        replica.resting += 1

    def works(self, replica: Replica, worked_s: float, now: float) -> None:
        """One that rested is to do, of which `worked_s` seconds are done: the body is whole, or it is about to end."""
        self._tell_work("on_work", replica, worked_s, now)
        self.resting -= 1
        replica.resting -= 1

    def _tell_work(self, method: str, replica: Replica, worked_s: float, now: float) -> None:
        """Tell the policy, if it wants to know; it sees `resting` as it was before."""
        if (tell := getattr(self._policy, method, None)) is not None:
            try:
                tell(replica, worked_s, now)
            except Exception as error:
                self._mishap(method, error)

    def finish(
        self, replica: Replica, outcome: Outcome, latency_s: float, now: float, reason: str = "", *,
        is_retry: bool = False,
    ) -> None:  # fmt: skip
        """The attempt ended after `latency_s` seconds, 0 = nothing is known; `is_retry`: it was not the first.

        `reason` is for the event log; `timeout` and `superseded` say that it would have taken longer.
        """
        if outcome == "ok":
            if self.standing is not None:
                waits = replica.in_flight - replica.resting > replica.slots
                is_awaited = waits or (self.line is not None and len(self.line) > 0)
                self.standing.on_answer(now, is_awaited=is_awaited)
            if self.limit is not None and latency_s > 0:
                self.limit.on_answer(latency_s, self._under_way, now)
        self._under_way -= 1
        if self._attentive is not None:
            self._attentive.on_finish(outcome, is_retry=is_retry)
        patience = self._patience
        if patience is not None and latency_s > 0 and not is_retry:  # noqa: SIM102 - what is off costs one look
            if outcome == "ok" or reason in (TIMEOUT, SUPERSEDED):
                patience.on_finish(latency_s, now)
        self._fleet.on_finish(replica, outcome, latency_s, now, reason)
        try:
            self._policy.on_finish(replica, outcome, latency_s, now)
        except Exception as error:
            self._mishap("on_finish", error)
        if self.line is not None:
            self.call(now)

    def work_seconds(self, now: float) -> float:
        """Request-seconds spent until `now` at replicas (`Fleet.work_seconds`), and in line for one."""
        spent_s = self._fleet.work_seconds(now)
        return spent_s if self.line is None else spent_s + self.line.seconds(now)
