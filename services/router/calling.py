"""Who stands in line, and how free slots come to them: a floor of `Dispatcher`. Pure: it is told the time."""

from abc import ABC, abstractmethod

from services.router.policy import Pick
from services.router.retries import Attempts
from services.router.waiting import Bound, Line, Ticket, UnboundError


class Calling(ABC):
    """Calls those in line where slots are free, and tells those for whom none will be."""

    def __init__(self, line: Line | None) -> None:
        """`line` is the policy's, if it has one."""
        self.line = line
        """Where requests wait for a slot; None = nobody does."""
        self._is_calling = self._calls_again = False

    def leave(self, ticket: Ticket, now: float) -> None:
        """Its client has gone; nobody is told."""
        if self.line is not None:
            self.line.leave(ticket, now)

    def expire(self, ticket: Ticket, now: float) -> None:
        """Its time in line is up; its waiter is told."""
        error = _too_late(ticket, now)
        if error.reason == "deadline":
            self._unbound(ticket, error, now)
        else:
            self._turn_away(ticket, error, now)

    def call(self, now: float) -> None:
        """Give free slots to those who wait, in their order; the fleet, or what is in flight, may have changed."""
        line = self.line
        if line is None or not len(line):
            return
        if self._is_calling:  # by somebody who has just been called
            self._calls_again = True
            return
        self._is_calling = True
        try:
            self._calls_again = True
            while self._calls_again:
                self._calls_again = False
                self._call(line, now)
        finally:
            self._is_calling = False

    def _call(self, line: Line, now: float) -> None:
        place = 0
        in_vain: set[frozenset[str]] = set()  # of whom nobody is free that is not among these
        while place < len(line):
            ticket = line.at(place)
            attempts = ticket.attempts
            if now >= ticket.until:  # it has not looked at the clock yet
                self._unbound(ticket, _too_late(ticket, now), now)
                continue
            if not self._lets_in(attempts):
                return
            avoided = frozenset(attempts.avoided)
            if avoided in in_vain:
                place += 1
                continue
            try:
                pick = self._pick(attempts, ticket.request_id, ticket.key, len(line) - 1, now, attempts.avoided)
                if pick is None:
                    if not avoided:
                        return
                    in_vain.add(avoided)  # those behind it may go where it has been
                    continue
                last = line.at(-1)
                if pick.for_last and pick.replica.id not in last.attempts.tried and self._lets_in(last.attempts):
                    ticket = last
                    if now >= ticket.until:
                        self._unbound(ticket, _too_late(ticket, now), now)
                        continue
                bound = self._begin(ticket.attempts, pick, now)
            except UnboundError as error:
                self._unbound(ticket, error, now)
                continue
            self._bound(ticket, bound, now)

    def _turn_away(self, ticket: Ticket, error: UnboundError, now: float) -> None:
        """It has a slot that was not worth it while it could wait, if there is one, else `error`."""
        attempts, bound = ticket.attempts, None
        try:
            if self._lets_in(attempts):
                pick = self._pick(attempts, ticket.request_id, ticket.key, 0, now, attempts.avoided, may_wait=False)
                if pick is not None:
                    bound = self._begin(attempts, pick, now)
        except UnboundError as worse:
            error = worse
        if bound is None:
            self._unbound(ticket, error, now)
        else:
            self._bound(ticket, bound, now)

    def _bound(self, ticket: Ticket, bound: Bound, now: float) -> None:
        assert self.line is not None and ticket.waiter is not None
        self.line.leave(ticket, now)
        ticket.waiter.bound(bound[0], bound[1], now)

    def _unbound(self, ticket: Ticket, error: UnboundError, now: float) -> None:
        assert self.line is not None and ticket.waiter is not None
        self.line.leave(ticket, now)
        ticket.waiter.unbound(error, now)

    # -- what the floor above does

    @abstractmethod
    def _lets_in(self, attempts: Attempts) -> bool:
        """Whether the limit does; it asks only for a request's first attempt."""

    @abstractmethod
    def _pick(
        self, attempts: Attempts, request_id: str, key: str | None, waiting: int, now: float, avoided: set[str],
        *, may_wait: bool = True,
    ) -> Pick | None:  # fmt: skip
        """The policy's choice among those that are not `avoided`, while there are others; None: nobody for now.

        Raises:
            UnboundError: there is no attempt to be had.
        """

    @abstractmethod
    def _begin(self, attempts: Attempts, pick: Pick, now: float) -> Bound:
        """Begin the attempt.

        Raises:
            UnboundError: the policy raised.
        """


def _too_late(ticket: Ticket, now: float) -> UnboundError:
    """What one hears whose time in line is up."""
    if now >= ticket.attempts.deadline:
        return UnboundError("deadline", "no slot was free before the request's deadline")
    return UnboundError("shed", "no slot was free within the longest wait")
