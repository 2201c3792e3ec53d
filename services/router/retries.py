"""Whether a failed attempt may be made again: per request, and for all requests together.

Where a retry goes: to a replica that the request has not tried, while there is one in rotation. Where there is none, a
failed attempt is made again on one that was tried, as Envoy does it (its `previous_hosts` predicate gives way once no
other host is found, and without it nothing speaks against the same host); nginx would give up after every server was
tried once. A fault that hits a share of the requests, a lost connection or a crashed process that is back by then, is
worth the second try, `max_attempts` means what it says for any number of replicas, and the budget bounds both. Not so
`overloaded` (503): a queue that is full is full a moment later, and by default there is no pause before a retry, unlike
Envoy's back-off of 25 ms; asking the same replica at once again would only add to its load.
"""

from services.backoff import full_jitter_s
from services.router.budgets import Budget
from services.router.patience import NEVER_S, Patience
from services.router.policy import Outcome
from services.router.settings import RetrySettings, TimeoutSettings

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110, section 9.2.2."""


class Attempts:
    """The attempts of one request: how long each may take, and whether another may follow, or be made beside it."""

    def __init__(
        self,
        retry: RetrySettings,
        timeouts: TimeoutSettings,
        budget: Budget,
        *,
        idempotent: bool,
        now: float,
        patience: Patience | None = None,
    ) -> None:
        """The request came in at `now` (seconds); `patience` where an attempt's time depends on others'."""
        self._retry = retry
        self._timeouts = timeouts
        self._budget = budget
        self._idempotent = idempotent
        self._patience = patience if idempotent else None
        self.opened = now
        self.deadline = now + timeouts.overall_s
        self.expires = NEVER_S
        """When the client waits no longer, where it has said so, seconds; nobody is blamed for being late for that."""
        self.count = 0
        self.hedges = 0
        """Attempts that were made beside another one."""
        self.tried: set[str] = set()
        self.avoided = self.tried if retry.other_replica else set()
        """Whom the next attempt passes over, while there are others."""
        self.hedge_s = NEVER_S
        """After how long without an answer the newest attempt may get a second one beside it, seconds."""
        self.give_up_s = NEVER_S
        """After how long without an answer the newest attempt may be given up, seconds."""
        self.pause_s = 0.0
        """How long the retry that may follow has to wait, seconds."""
        self.owes = False
        """Whether a retry is paid for that has not begun."""
        self.is_wary = False
        """Whether the next one goes by a new connection: one that had been idle gave no answer."""
        self._is_hedging = False
        """Whether the next attempt is one beside another, which is paid for when it begins."""
        budget.on_request(now)
        if patience is not None:
            patience.on_request(now)

    def hasten(self, expires: float) -> None:
        """The client has said how long it waits."""
        self.expires = expires
        self.deadline = min(self.deadline, expires)

    def begin(self, replica_id: str, now: float) -> float:
        """Count an attempt; return the seconds that it may take."""
        self.count += 1
        self.owes = False
        self.tried.add(replica_id)
        most, left = self._timeouts.attempt_s, self.deadline - now
        limit_s = most if most < left else max(0.001, left)
        if (patience := self._patience) is not None:
            if self._is_hedging:
                self._is_hedging = False
                self.hedges += 1
                patience.withdraw(now)
                self._budget.withdraw(now)
            self.hedge_s, give_up_s = patience.hedge_s(now), patience.give_up_s(now)
            self.give_up_s = give_up_s if give_up_s < limit_s else NEVER_S
        return limit_s

    def may_retry(
        self, outcome: Outcome, now: float, *, sent: bool, replayable: bool, others: bool, u: float = 0.0,
        is_retry: bool = False, ends: Outcome | None = None,
    ) -> bool:  # fmt: skip
        """Whether another attempt follows one that ended with `outcome`, after `pause_s`; not where one waits already.

        Args:
            outcome: how it ended.
            now: seconds.
            sent: whether any of the request may have reached the replica.
            replayable: whether the request can still be sent from its beginning.
            others: whether there is a replica in rotation that has not been tried; an overloaded one is not asked
                again.
            u: uniform in [0, 1), for the pause.
            is_retry: whether that one was not the first.
            ends: what it is counted as, if not as `outcome`.
        """
        retry = self._retry
        if retry.backoff_base_s > 0:
            self.pause_s = full_jitter_s(self.count, retry.backoff_base_s, retry.backoff_max_s, u)
        if not (
            not self.owes
            and (outcome == "error" or (outcome == "overloaded" and others))
            and self.count < retry.max_attempts
            and replayable
            and (self._idempotent or not sent)
            and now + self.pause_s < self.deadline
            and self._budget.take(now, ends or outcome, is_retry=is_retry)
        ):
            return False
        self.owes = True
        return True

    def may_hedge(self, now: float) -> bool:
        """Whether a second attempt may begin now beside the one under way; another replica is there, untried."""
        patience = self._patience
        self._is_hedging = (
            patience is not None
            and not self.owes
            and self.count < self._retry.max_attempts
            and now < self.deadline
            and patience.allows(now)
            and self._budget.allows(now)
        )
        return self._is_hedging

    def forgo(self) -> None:
        """The attempt that was allowed will not be made."""
        self._is_hedging = False
        if self.owes:
            self.owes = False
            self._budget.give_back()
