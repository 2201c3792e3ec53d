"""What follows an attempt that fails, and what is made beside one that is slow.

A request has at most two attempts under way. Each ends once. One that fails may be followed by another, at once or
after a pause; where it may not, the one beside it goes on, and only the last one's failure is the answer. The first
good answer ends the other attempt.
"""

import errno
import time
from abc import abstractmethod

from services.descriptors import NO_PORT, own_fault
from services.router.attempt import Attempt
from services.router.attempting import Attempting
from services.router.fleet import NOBODY_LISTENS
from services.router.patience import NEVER_S, SUPERSEDED, TIMEOUT
from services.router.policy import Outcome
from services.router.rejections import Failure
from services.router.reports import report_of
from services.router.wire.replica import Connection


class Following(Attempting):
    """One request and its attempts."""

    __slots__ = ()

    def connected(self, attempt: Attempt, made: Connection | BaseException) -> None:
        """The attempt has a connection, or there is a reason why it has none."""
        if isinstance(made, Connection):
            if attempt.polled:  # its time had been up
                attempt.polled = False
                self._means.accounts.late()
            self._ask(attempt, made)
            return
        if (lacks := own_fault(made)) is not None:
            self._means.accounts.exhausted(lacks)
            # Towards the others there may be ports; towards this one there is none a moment later either.
            again = lacks == NO_PORT and self._again(attempt, "overloaded", sent=False, ends="cancelled")
            self._finish(attempt, "cancelled", "", end="exhausted")
            if again:
                self._follow()
            elif self._is_alone():
                self._since = 0.0
                detail = f"the router itself can make no connection: {lacks}"
                self._reject(Failure("exhausted", detail, sent=False))
            else:
                self._arm()
            return
        what = str(made) or f"not within {self._means.settings.timeouts.connect_s:g} s"
        reason = NOBODY_LISTENS if getattr(made, "errno", None) == errno.ECONNREFUSED else "connect"
        self._failed(attempt, Failure("connect", f"cannot connect to the replica: {what}", sent=False), reason)

    def _again(self, attempt: Attempt, outcome: Outcome, *, sent: bool, ends: Outcome | None = None) -> bool:
        """Whether another one follows this, which ends so; `ends`: what it is counted as, if not as `outcome`."""
        replayable = not self.request.has_body or self._kept is not None or not self._was_sent
        return self._means.dispatcher.follows(
            self._attempts,
            outcome,
            time.monotonic(),
            sent=sent,
            replayable=replayable,
            beside=self.other is not None,
            is_retry=attempt.number > 1,
            ends=ends,
        )

    def _follow(self) -> None:
        """Make the attempt that was allowed: now, or after its pause."""
        pause_s = self._attempts.pause_s
        if pause_s > 0:
            now = time.monotonic()
            self._next_at = now + pause_s
            if not self._since:
                self._since = now
            self._arm()
        else:
            self._try()

    def _finish(self, attempt: Attempt, outcome: Outcome, reason: str, *, end: str = "") -> None:
        """The attempt has ended: what that says of the replica; `end` is what it is counted as, if not as that."""
        if self.other is attempt:
            self.other = None
        else:
            self.attempt, self.other = self.other, None
        if not self._attempts.owes:  # what was due next was one beside it
            self._next_at = NEVER_S
        means = self._means
        if means.dispatcher.reads_reports and attempt.connection is not None and attempt.connection.answer is not None:
            means.dispatcher.reported(attempt.replica, report_of(attempt.connection.answer), time.monotonic())
        # Where the replica has answered early, what it would read next is the rest of this body.
        attempt.leave(means.pool, closes=self._is_streaming)
        attempt.finish(means.dispatcher, outcome, time.monotonic(), reason)
        means.accounts.telemetry.attempted(end or outcome)
        self._is_streaming = False
        if self._trace is not None and outcome != "ok" and (end or reason):
            self._trace.fails(attempt.number, end or (reason if outcome == "cancelled" else outcome))

    def _failed(self, attempt: Attempt, failure: Failure, reason: str = "") -> None:
        """The attempt has failed: again, elsewhere, or that is the answer. The fleet is told `reason`, if given."""
        now = time.monotonic()
        again = self._again(attempt, "error", sent=failure.sent)
        self._finish(attempt, "error", reason or failure.reason)
        if self._is_alone():
            self._waited(now)
        if again:
            self._follow()
        elif self._is_alone():
            self._reject(failure)
        else:
            self._arm()

    def _is_alone(self) -> bool:
        """Whether no attempt is under way, and none waits for its turn."""
        return self.attempt is None and not self._attempts.owes

    def _late(self) -> None:
        """The client waits no longer, as it has said before: no replica is blamed."""
        sent = any(each.connection is not None for each in (self.attempt, self.other) if each is not None)
        self._attempts.forgo()
        while self.attempt is not None:
            self._finish(self.attempt, "cancelled", "")
        self._waited(time.monotonic())
        self._reject(Failure("deadline", "there was no answer before the client's deadline", sent=sent))

    def move(self, attempt: Attempt) -> bool:
        """Try elsewhere, if the request may: its replica has left the rotation. Returns whether it does."""
        if self._is_passing or attempt.answer_at:
            return False
        if not self._again(attempt, "error", sent=attempt.connection is not None, ends="cancelled"):
            return False
        now = time.monotonic()
        self._means.accounts.moved()
        self._finish(attempt, "cancelled", "moved")
        if self._is_alone():
            self._waited(now)
        self._try()
        return True

    def _supersede(self, winner: Attempt) -> None:
        """`winner` has the answer: the other attempt is not needed any more, and nothing more is tried."""
        self._next_at = winner.give_up_at = NEVER_S
        self._attempts.forgo()
        loser = self.other if winner is self.attempt else self.attempt
        if loser is not None:
            self._finish(loser, "cancelled", SUPERSEDED)
        if winner.beside:
            self._means.accounts.hedge_won()

    # -- time

    def _is_over(self) -> bool:
        return self._client.exchange is not self  # type: ignore[comparison-overlap]

    @abstractmethod
    def _expired(self, attempt: Attempt, connection: Connection | None) -> None:
        """The attempt's time is up."""

    def _look(self) -> None:
        """Something is due: an attempt's end, its being given up, or the beginning of the next one."""
        now = time.monotonic()
        for attempt in (self.attempt, self.other):
            if attempt is None or self._is_over():
                continue
            if now >= attempt.due:
                self._expired(attempt, attempt.connection)
            elif now >= attempt.give_up_at:
                self._give_up(attempt)
        if self._is_over():
            return
        if now >= self._next_at:
            self._next(now)
        if not self._is_over():
            self._arm()

    def _next(self, now: float) -> None:
        """The next attempt: one that waited for its turn, or one beside that which is slow."""
        self._next_at = NEVER_S
        attempt = self.attempt
        if self._attempts.owes:
            self._try()
        elif attempt is not None and not _is_heard(attempt) and self._means.dispatcher.hedges(self._attempts, now):
            self._try(beside=True)

    def _give_up(self, attempt: Attempt) -> None:
        """It takes too long: elsewhere, if the request may; else it keeps its time."""
        attempt.give_up_at = NEVER_S
        self._suspect(attempt)
        if not _is_heard(attempt) and self._again(attempt, "error", sent=attempt.connection is not None):
            now = time.monotonic()
            self._finish(attempt, "error", TIMEOUT)
            if self._is_alone():
                self._waited(now)
            self._follow()

    def _suspect(self, attempt: Attempt) -> None:
        """No answer in time: where its connection had been idle before, that may be what is dead."""
        connection = attempt.connection
        if connection is not None and not _is_heard(attempt) and self._means.pool.silent(connection, attempt.began):
            self._attempts.is_wary = True


def _is_heard(attempt: Attempt) -> bool:
    """Whether something of an answer is there, be it in the socket: the loop may be late, not the replica."""
    return bool(attempt.answer_at) or (attempt.connection is not None and attempt.connection.has_news())
