"""What the router decides about a request: who gets an attempt, what its end means, what follows. Pure, no clock.

The live proxy and the simulator call the same object, in the same order:

    attempts = open(...)
    replica = choose(attempts, ...)                 # counts the attempt as begun
    again = follows(attempts, outcome, ...)         # where it failed
    finish(replica, outcome, ...)                   # exactly once per attempt
"""

import sys

from services.router.fleet import Fleet
from services.router.policy import Outcome, Policy, RequestInfo
from services.router.replica import Replica
from services.router.retries import Attempts, RetryBudget
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

    def __init__(self, settings: RouterSettings, fleet: Fleet, policy: Policy) -> None:
        """`fleet` and `policy` may be used by others meanwhile."""
        self._retry = settings.retry
        self._timeouts = settings.timeouts
        self._fleet = fleet
        self._policy = policy
        self._budget = RetryBudget(settings.retry)

    def open(self, now: float, *, idempotent: bool) -> Attempts:
        """A request came in, its body is there."""
        return Attempts(self._retry, self._timeouts, self._budget, idempotent=idempotent, now=now)

    def choose(self, attempts: Attempts, request_id: str, key: str | None, now: float) -> tuple[Replica, float]:
        """Begin an attempt; returns its replica, and the seconds that it may take.

        Raises:
            NoReplicaError: nobody is in rotation.
            PolicyError: the policy raised, or returned something that it was not offered.
        """
        candidates = self._fleet.candidates(attempts.tried)
        if not candidates:
            raise NoReplicaError
        try:
            pick = self._policy.pick(candidates, RequestInfo(request_id, key, attempts.count + 1), now)
            replica, reason = pick.replica, pick.reason
        except Exception as error:
            raise PolicyError(f"the policy raised {type(error).__name__}: {error}") from error
        if not self._fleet.is_candidate(replica, attempts.tried):
            raise PolicyError("the policy returned a replica that it was not offered")
        try:
            self._policy.on_start(replica, now)
        except Exception as error:
            raise PolicyError(f"the policy raised {type(error).__name__}: {error}") from error
        self._fleet.on_start(replica, now)  # type: ignore[arg-type]
        self._fleet.picked(reason)
        limit = attempts.begin(replica.id, now)
        if attempts.trace is not None:
            attempts.trace.begins(replica.id, replica.url, attempts.count)  # type: ignore[attr-defined]
        return replica, limit  # type: ignore[return-value]

    def follows(self, attempts: Attempts, outcome: Outcome, now: float, *, sent: bool, replayable: bool) -> bool:
        """Whether another attempt follows one that ends with `outcome`; takes it from the budget.

        Args:
            attempts: of the request.
            outcome: how the attempt ends.
            now: seconds.
            sent: whether any of the request may have reached the replica.
            replayable: whether the request can still be sent from its beginning.
        """
        if attempts.trace is not None:
            attempts.trace.fails(outcome)
        if not self._fleet.candidates():
            return False
        others = self._fleet.has_others(attempts.tried)
        return attempts.may_retry(outcome, now, sent=sent, replayable=replayable, others=others)

    def finish(self, replica: Replica, outcome: Outcome, latency_s: float, now: float, reason: str = "") -> None:
        """The attempt ended after `latency_s` seconds; `reason` is for the event log."""
        self._fleet.on_finish(replica, outcome, latency_s, now, reason)
        try:
            self._policy.on_finish(replica, outcome, latency_s, now)
        except Exception as error:  # the answer is there, whatever the policy makes of it
            sys.stderr.write(f"the policy raised {type(error).__name__} in on_finish: {error}\n")
