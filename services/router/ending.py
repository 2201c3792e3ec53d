"""What an attempt tells: while nobody works on it, when its answer begins, and at its end. A floor of `Dispatcher`.

    rests(replica, ...)      its client still sends the body: it stands in no line, and no time of the replica's passes
    works(replica, ...)      the body is whole, or the replica does not read it
    answers(replica, ...)    its answer is being passed on: what its time tells is known, and it rests until its end
    finish(replica, ...)     exactly once

Pure: it is told the time.
"""

import sys

from services.router.budgets import budget_of
from services.router.calling import Calling
from services.router.fleet import Fleet
from services.router.limits import Gradient2
from services.router.patience import SUPERSEDED, TIMEOUT, Patience
from services.router.policy import Outcome, Policy
from services.router.replica import Replica
from services.router.settings import RouterSettings
from services.router.standing_line import StandingLine


class Ending(Calling):
    """Tells the fleet, the policy, the line before the slots, the limits and the retry budget."""

    def __init__(self, settings: RouterSettings, fleet: Fleet, policy: Policy) -> None:
        """As `Dispatcher` has them."""
        super().__init__(getattr(policy, "line", None))
        self._fleet = fleet
        self._policy = policy
        self._budget = budget_of(settings.retry)
        self._attentive = self._budget if self._budget.attends else None
        self.is_patient = settings.hedging.enabled or settings.timeouts.adaptive_factor > 0
        """Whether something may be done about attempts before their time is up."""
        self._patience = Patience(settings.hedging, settings.timeouts) if self.is_patient else None
        self.limit = Gradient2(settings.limits) if settings.limits.adaptive else None
        self._learns = self.is_patient or self.limit is not None
        bound_s = settings.limits.standing_share * settings.timeouts.attempt_s
        self.standing = StandingLine(bound_s) if bound_s > 0 else None
        """Whether what is in line at the replicas, and here, is too much."""
        self._under_way = 0
        self.resting = 0
        """Attempts of them that nobody works on: the client still sends the body, or the answer is on its way to it."""
        self._leaves_slots = self.line is None or not self.line.takes_all
        """Whether who rests leaves its slot to others; not where the policy gives each attempt one until its end."""
        self._is_told_of_rest = hasattr(policy, "on_rest")

    def rests(self, replica: Replica, worked_s: float, now: float) -> None:
        """Nobody there works on an attempt, after `worked_s` seconds: its client still sends the body."""
        self._tell_rest(replica, worked_s, now)
        self._rest(replica, 1)
        self._call_to_slots(now)

    def works(self, replica: Replica, now: float) -> None:
        """Somebody does from now on: the body is whole, or the replica does not read it."""
        self._tell_work(replica, now)
        self._rest(replica, -1)

    def restarts(self, replica: Replica, worked_s: float, now: float) -> None:
        """The time of an attempt that has taken `worked_s` so far begins anew."""
        self._tell_rest(replica, worked_s, now)
        self._rest(replica, 1)
        self.works(replica, now)

    def answers(
        self, replica: Replica, outcome: Outcome, latency_s: float, now: float, *, is_retry: bool
    ) -> None:  # fmt: skip
        """An answer begins to be passed on, after `latency_s` seconds: until its end the attempt rests."""
        self._learn(outcome, latency_s, now, "", is_retry=is_retry)
        if outcome == "ok" and self.standing is not None and self._leaves_slots:
            self._count_answer(replica, self.standing, now)
        self._rest(replica, 1)
        if self._is_told_of_rest:
            self._tell_end(replica, outcome, latency_s, now)
        self._call_to_slots(now)

    def _rest(self, replica: Replica, more: int) -> None:
        self.resting += more
        replica.resting += more

    def _working(self) -> int:
        """Attempts under way that somebody works on."""
        return self._under_way - self.resting

    def _call_to_slots(self, now: float) -> None:
        """Who rests leaves its slot to others, unless each has one until its end, and its place below the limit."""
        if self.line is not None and (self._leaves_slots or self.limit is not None):
            self.call(now)

    def _tell_rest(self, replica: Replica, worked_s: float, now: float) -> None:
        if self._is_told_of_rest:
            try:
                self._policy.on_rest(replica, worked_s, now)  # type: ignore[attr-defined]
            except Exception as error:
                self._mishap("on_rest", error)

    def _tell_work(self, replica: Replica, now: float) -> None:
        """It sees `resting` as it was before."""
        if self._is_told_of_rest:
            try:
                self._policy.on_work(replica, now)  # type: ignore[attr-defined]
            except Exception as error:
                self._mishap("on_work", error)

    def _tell_end(self, replica: Replica, outcome: Outcome, latency_s: float, now: float) -> None:
        try:
            self._policy.on_finish(replica, outcome, latency_s, now)
        except Exception as error:
            self._mishap("on_finish", error)

    def finish(
        self, replica: Replica, outcome: Outcome, latency_s: float, now: float, reason: str = "", *,
        is_retry: bool = False, answered: Outcome | None = None,
    ) -> None:  # fmt: skip
        """The attempt ended after `latency_s` seconds, 0 = nothing is known.

        Args:
            replica: where it was.
            outcome: how it ended.
            latency_s: without what its client took.
            now: seconds.
            reason: for the event log; `timeout` and `superseded` say that it would have taken longer.
            is_retry: it was not the first of its request.
            answered: as what it has rested since its answer began: what that told is known.
        """
        is_told = True
        if answered is None:
            if self._learns:
                self._learn(outcome, latency_s, now, reason, is_retry=is_retry)
        else:
            if self._is_told_of_rest:
                is_told = outcome == "error" and answered == "ok"
                if is_told:  # it broke off after all
                    self._tell_work(replica, now)
                    latency_s = 0.0
            self._rest(replica, -1)
        if outcome == "ok" and self.standing is not None and not (answered and self._leaves_slots):
            self._count_answer(replica, self.standing, now)
        self._under_way -= 1
        if self._attentive is not None:
            self._attentive.on_finish(outcome, is_retry=is_retry)
        self._fleet.on_finish(replica, outcome, latency_s, now, reason)
        if is_told:
            self._tell_end(replica, outcome, latency_s, now)
        if self.line is not None:
            self.call(now)

    def _learn(self, outcome: Outcome, latency_s: float, now: float, reason: str, *, is_retry: bool) -> None:
        """What an attempt's time says of how much may be under way, and of how long others may take."""
        if latency_s <= 0:
            return
        if self.limit is not None and outcome == "ok":
            self.limit.on_answer(latency_s, self._working(), now)
        patience = self._patience
        if patience is not None and not is_retry and (outcome == "ok" or reason in (TIMEOUT, SUPERSEDED)):
            patience.on_finish(latency_s, now)

    def _count_answer(self, replica: Replica, standing: StandingLine, now: float) -> None:
        """For the line before the slots."""
        waits = replica.in_flight - replica.resting > replica.slots
        standing.on_answer(now, is_awaited=waits or (self.line is not None and len(self.line) > 0))

    def _mishap(self, method: str, error: Exception) -> None:
        """The request goes on, whatever the policy makes of it."""
        sys.stderr.write(f"the policy raised {type(error).__name__} in {method}: {error}\n")
