"""The line at the router: requests that wait until a replica has a free slot. Pure: it is told the time.

Whoever stands in it leaves by a slot, by its own time (`until`), by being shed where the line is full, or because its
client hangs up or nobody is in rotation any more; `Dispatcher` sees to that.
"""

from bisect import insort
from typing import Protocol

from services.router.replica import Replica
from services.router.retries import Attempts

ORDERS = ("fifo", "lifo", "deadline")
FOREVER = float("inf")
Bound = tuple[Replica, float]
"""Whose attempt has begun, and the seconds that it may take."""
UNBOUND_STATUS = {"no_replica": 503, "policy": 500, "limit": 503, "full": 503, "shed": 503, "deadline": 504}
"""What the client is answered where there was no attempt, by the reason."""


class UnboundError(Exception):
    """A request gets no attempt."""

    def __init__(self, reason: str, text: str) -> None:
        """`reason` is a key of `UNBOUND_STATUS`."""
        super().__init__(text)
        self.reason = reason


class Waiter(Protocol):
    """Who waits; `bound` or `unbound` is called, once, unless it has left."""

    def bound(self, replica: Replica, limit_s: float, now: float) -> None:
        """Its attempt has begun at `replica`, and may take `limit_s` seconds."""

    def unbound(self, error: UnboundError, now: float) -> None:
        """It gets none."""

    def has_gone(self) -> bool:
        """Asked before it is called: whether nobody waits any more, unheard; then it is not called."""
        return False


class Standing(Waiter):
    """Who has just come: it is told by the return of `bind`."""

    def __init__(self) -> None:
        self.now: Bound | None = None
        self.error: UnboundError | None = None

    def bound(self, replica: Replica, limit_s: float, now: float) -> None:
        """It need not wait."""
        self.now = replica, limit_s

    def unbound(self, error: UnboundError, now: float) -> None:
        """It must not."""
        self.error = error


class Ticket:
    """A place in the line."""

    __slots__ = ("attempts", "is_in_line", "key", "place", "request_id", "since", "until", "waiter")

    def __init__(
        self, attempts: Attempts, request_id: str, key: str | None, since: float, until: float, place: tuple[float, int]
    ) -> None:
        """`place` orders the line."""
        self.attempts = attempts
        self.request_id = request_id
        self.key = key
        self.since = since
        """When it came, seconds."""
        self.until = until
        """When it leaves in any case, seconds."""
        self.place = place
        self.waiter: Waiter | None = None
        self.is_in_line = False

    def __lt__(self, other: "Ticket") -> bool:
        """Whether it comes first."""
        return self.place < other.place


class Line:
    """Those who wait, in the order in which they get slots.

    `fifo`: whoever came first. `lifo`: whoever came last; under overload a few wait for ever and the others hardly at
    all (Maurer, Fail at scale, ACM Queue 13, 2015). `deadline`: whose time is up first (earliest deadline first: Liu
    and Layland, JACM 20, 1973), which is `fifo` where all have as long. A request that is tried again has the place
    that it had. Where the line is full, the last one in this order is shed.
    """

    def __init__(self, order: str, limit: int, longest_s: float, *, takes_all: bool = True) -> None:
        """Nobody waits.

        Args:
            order: one of `ORDERS`.
            limit: so many may wait.
            longest_s: so long each may wait at most, seconds; 0 = as long as the request may take.
            takes_all: whoever finds no room at the replicas stands in it; else only whom the policy has wait.
        """
        self.takes_all = takes_all
        self._order = order
        self._limit = limit
        self._longest_s = longest_s
        self._line: list[Ticket] = []
        self._number = 0
        self._seconds = self._at = 0.0

    def __len__(self) -> int:
        """Those who wait."""
        return len(self._line)

    @property
    def is_too_long(self) -> bool:
        """Whether there is no room for the last one."""
        return len(self._line) > self._limit

    def seconds(self, now: float) -> float:
        """Request-seconds that were spent in line until `now`."""
        if now > self._at:
            self._seconds += len(self._line) * (now - self._at)
            self._at = now
        return self._seconds

    def at(self, place: int) -> Ticket:
        """Who stands there; 0 = who is next."""
        return self._line[place]

    def add(self, attempts: Attempts, request_id: str, key: str | None, now: float) -> Ticket:
        """Stand in line, if only for the moment in which the slots are looked at."""
        self.seconds(now)
        self._number += 1
        until = min(attempts.deadline, now + self._longest_s) if self._longest_s else attempts.deadline
        if self._order == "fifo":
            place = (attempts.opened, self._number)
        elif self._order == "lifo":
            place = (-attempts.opened, -self._number)
        else:
            place = (attempts.deadline, self._number)
        ticket = Ticket(attempts, request_id, key, now, until, place)
        ticket.is_in_line = True
        insort(self._line, ticket)
        return ticket

    def leave(self, ticket: Ticket, now: float) -> None:
        """It goes, if it is there still."""
        if ticket.is_in_line:
            self.seconds(now)
            ticket.is_in_line = False
            self._line.remove(ticket)
