"""Whether a failed attempt may be made again: per request, and for all requests together.

Where a retry goes: to a replica that the request has not tried, while there is one in rotation. Where there is none, a
failed attempt is made again on one that was tried, as Envoy does it (its `previous_hosts` predicate gives way once no
other host is found, and without it nothing speaks against the same host); nginx would give up after every server was
tried once. A fault that hits a share of the requests, a lost connection or a crashed process that is back by then, is
worth the second try, `max_attempts` means what it says for any number of replicas, and the budget bounds both. Not so
`overloaded` (503): a queue that is full is full a moment later, and there is no pause before a retry here, unlike
Envoy's back-off of 25 ms; asking the same replica at once again would only add to its load.
"""

from collections import deque
from typing import Protocol

from services.router.policy import Outcome
from services.router.settings import RetrySettings, TimeoutSettings

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110, section 9.2.2."""


class RetryBudget:
    """Retries as a share of the last seconds' requests, plus a floor (Finagle's RetryBudget, Envoy's retry_budget)."""

    def __init__(self, settings: RetrySettings) -> None:
        """The window slides in steps of a tenth."""
        self._settings = settings
        self._step = settings.budget_window_s / 10
        self._counts: deque[list[float]] = deque()
        self._requests = 0.0
        self._retries = 0.0

    def _slot(self, now: float) -> list[float]:
        number = now // self._step
        if self._counts and self._counts[-1][0] == number:
            return self._counts[-1]
        while self._counts and self._counts[0][0] <= number - 10:
            _, requests, retries = self._counts.popleft()
            self._requests -= requests
            self._retries -= retries
        self._counts.append([number, 0.0, 0.0])
        return self._counts[-1]

    def on_request(self, now: float) -> None:
        """A request came in: it pays in."""
        self._slot(now)[1] += 1
        self._requests += 1

    def take(self, now: float) -> bool:
        """Withdraw one retry; False where the budget is spent."""
        slot = self._slot(now)
        settings = self._settings
        allowed = settings.budget_ratio * self._requests + settings.budget_min_per_s * settings.budget_window_s
        if self._retries + 1 > allowed:
            return False
        slot[2] += 1
        self._retries += 1
        return True


class Trace(Protocol):
    """Is told of a request's attempts as they begin and fail, where somebody asks for it (`services/tracing.py`)."""

    def begins(self, replica: str, url: str, number: int) -> None:
        """Attempt `number`, from 1 on, at a replica."""

    def fails(self, outcome: str) -> None:
        """The attempt under way."""

    def headers(self) -> dict[str, str]:
        """Those that a replica is told of the attempt under way by."""


class Attempts:
    """The attempts of one request: how long each may take, and whether another may follow."""

    def __init__(
        self, retry: RetrySettings, timeouts: TimeoutSettings, budget: RetryBudget, *, idempotent: bool, now: float
    ) -> None:
        """The request came in at `now` (seconds)."""
        self._retry = retry
        self._timeouts = timeouts
        self._budget = budget
        self._idempotent = idempotent
        self.opened = now
        self.deadline = now + timeouts.overall_s
        self.expires = float("inf")
        """When the client waits no longer, where it has said so, seconds; nobody is blamed for being late for that."""
        self.count = 0
        self.tried: set[str] = set()
        self.trace: Trace | None = None
        budget.on_request(now)

    def hasten(self, expires: float) -> None:
        """The client has said how long it waits."""
        self.expires = expires
        self.deadline = min(self.deadline, expires)

    def begin(self, replica_id: str, now: float) -> float:
        """Count an attempt; return the seconds that it may take."""
        self.count += 1
        self.tried.add(replica_id)
        most, left = self._timeouts.attempt_s, self.deadline - now
        return most if most < left else max(0.001, left)

    def may_retry(self, outcome: Outcome, now: float, *, sent: bool, replayable: bool, others: bool) -> bool:
        """Whether another attempt follows one that ended with `outcome`.

        Args:
            outcome: how it ended.
            now: seconds.
            sent: whether any of the request may have reached the replica.
            replayable: whether the request can still be sent from its beginning.
            others: whether there is a replica in rotation that has not been tried; an overloaded one is not asked
                again.
        """
        return (
            (outcome == "error" or (outcome == "overloaded" and others))
            and self.count < self._retry.max_attempts
            and replayable
            and (self._idempotent or not sent)
            and now < self.deadline
            and self._budget.take(now)
        )
