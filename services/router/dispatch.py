"""What the router decides about a request: who gets an attempt, what its end means, what follows. Pure, no clock.

The live proxy and the simulator call the same object, in the same order:

    attempts = open(...)
    replica = choose(attempts, ...)                 # counts the attempt as begun
    again = follows(attempts, outcome, ...)         # where it failed
    hedged = hedges(attempts, ...)                  # where it is slow: whether a second one begins beside it
    finish(replica, outcome, ...)                   # exactly once per attempt
    attempts.forgo()                                # where the request ends before a retry that was allowed has begun
"""

import random
import sys
from collections.abc import Callable
from typing import Any

from services.router.budgets import budget_of
from services.router.fleet import Fleet
from services.router.patience import SUPERSEDED, TIMEOUT, Patience
from services.router.policy import Outcome, Policy, Report, RequestInfo
from services.router.replica import Replica
from services.router.retries import Attempts
from services.router.settings import RouterSettings

RETRIED_STATUSES = frozenset({500, 502, 504})
"""Answers that count as a failed attempt; 503 counts as `overloaded`."""
FAILURE_STATUS = {"connect": 502, "reset": 502, "timeout": 504}
"""What the client is answered where the last attempt had no answer, by the reason."""


class PolicyError(Exception):
    """The policy raised, or returned something that it was not offered."""


class NoReplicaError(Exception):
    """Nobody may be picked."""


def outcome_of(status: int) -> Outcome:
    """What a replica's status says of the attempt."""
    return "overloaded" if status == 503 else "error" if status in RETRIED_STATUSES else "ok"


class Dispatcher:
    """Holds the policy, the fleet and the retry budget together."""

    def __init__(
        self, settings: RouterSettings, fleet: Fleet, policy: Policy, rng: random.Random | None = None
    ) -> None:
        """`fleet` and `policy` may be used by others meanwhile.

        `rng` draws the pauses before retries; None = one of its own, the same every time.
        """
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
        self._on_report: Any = getattr(policy, "on_report", None)
        self._probes: Any = getattr(policy, "probes", None)
        self.reads_reports = self._on_report is not None
        """Whether the policy wants to hear what replicas say of themselves."""
        self.probe: Callable[[Replica], object] | None = None
        """Asks a replica's `/probe`; whoever can do so sets it."""

    def open(self, now: float, *, idempotent: bool) -> Attempts:
        """A request came in, its body is there."""
        return Attempts(
            self._retry, self._timeouts, self._budget, idempotent=idempotent, now=now, patience=self._patience
        )

    def choose(
        self, attempts: Attempts, request_id: str, key: str | None, now: float, *, beside: bool = False
    ) -> tuple[Replica, float]:
        """Begin an attempt, `beside` another one that is under way; returns its replica, and how long it may take.

        Raises:
            NoReplicaError: nobody is in rotation; or, `beside` another one, nobody that has not been tried.
            PolicyError: the policy raised, or returned something that it was not offered.
        """
        avoided = attempts.tried if beside else attempts.avoided
        candidates = self._fleet.candidates(avoided)
        if not candidates or (beside and not self._fleet.has_others(avoided)):
            raise NoReplicaError
        try:
            pick = self._policy.pick(candidates, RequestInfo(request_id, key, attempts.count + 1), now)
            replica, reason = pick.replica, pick.reason
        except Exception as error:
            raise PolicyError(f"the policy raised {type(error).__name__}: {error}") from error
        if not self._fleet.is_candidate(replica, avoided):
            raise PolicyError("the policy returned a replica that it was not offered")
        try:
            self._policy.on_start(replica, now)
        except Exception as error:
            raise PolicyError(f"the policy raised {type(error).__name__}: {error}") from error
        self._fleet.on_start(replica, now)  # type: ignore[arg-type]
        self._fleet.picked(reason)
        if self._attentive is not None:
            self._attentive.on_start()
        limit_s = attempts.begin(replica.id, now)
        if self._probes is not None and self.probe is not None:
            self._send_probes(self.probe, now)
        return replica, limit_s  # type: ignore[return-value]

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
        self,
        attempts: Attempts,
        outcome: Outcome,
        now: float,
        *,
        sent: bool,
        replayable: bool,
        beside: bool = False,
    ) -> bool:
        """Whether another attempt follows one that ends with `outcome`, after `attempts.pause_s`; the budget pays.

        Args:
            attempts: of the request.
            outcome: how the attempt ends.
            now: seconds.
            sent: whether any of the request may have reached the replica.
            replayable: whether the request can still be sent from its beginning.
            beside: whether another attempt of it is under way; nobody is asked twice at a time.
        """
        if not self._fleet.candidates():
            return False
        others = self._fleet.has_others(attempts.tried)
        if beside and not others:
            return False
        u = self._rng.random() if self._retry.backoff_base_s > 0 else 0.0
        return attempts.may_retry(outcome, now, sent=sent, replayable=replayable, others=others, u=u)

    def hedges(self, attempts: Attempts, now: float) -> bool:
        """Whether a second attempt begins now beside the one under way; both budgets pay."""
        return self._fleet.has_others(attempts.tried) and attempts.may_hedge(now)

    def finish(
        self,
        replica: Replica,
        outcome: Outcome,
        latency_s: float,
        now: float,
        reason: str = "",
        *,
        is_retry: bool = False,
    ) -> None:
        """The attempt ended after `latency_s` seconds.

        Args:
            replica: whose it was.
            outcome: how it ended.
            latency_s: 0 = nothing is known.
            now: seconds.
            reason: for the event log; `timeout` and `superseded` say that it would have taken longer.
            is_retry: it was not the request's first.
        """
        self._fleet.on_finish(replica, outcome, latency_s, now, reason)
        if self._attentive is not None:
            self._attentive.on_finish(outcome, is_retry=is_retry)
        patience = self._patience
        if patience is not None and latency_s > 0 and not is_retry:  # noqa: SIM102 - what is off costs one look
            if outcome == "ok" or reason in (TIMEOUT, SUPERSEDED):
                patience.on_finish(latency_s, now)
        try:
            self._policy.on_finish(replica, outcome, latency_s, now)
        except Exception as error:
            self._mishap("on_finish", error)
