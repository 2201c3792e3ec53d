"""One request on its way through the simulated system, and what becomes of it."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from experiments.simulator.agenda import Agenda
    from services.backend.work_queue import Job
    from services.router.replica import Replica
    from services.router.retries import Attempts

NEVER: Final = float("-inf")
OK: Final = 0
HTTP_ERROR: Final = 1
TIMEOUT: Final = 2
REFUSED: Final = 3
RESET: Final = 4
DROPPED: Final = 5
"""Places in `record.schema.OUTCOMES`, as constants that a compiler knows."""
WON: Final = 0
LOST: Final = 1
"""Likewise in `record.schema.HEDGES`."""
UNREACHABLE: Final = "unreachable"
"""Why an attempt has no reply: there was no connection in time, though nobody refused one."""
IDLE: Final = 0
UNDER_WAY: Final = 1
PAUSING: Final = 2
"""What a flight does: nothing, an attempt, or it waits for the moment of its next one."""


class Owner(Protocol):
    """Who takes a request, and sends its attempts."""

    def arrive(self, flight: Flight, now: float) -> None:
        """The request is here."""

    def settle(self, flight: Flight, now: float) -> None:
        """The reply to its attempt is here, or its limit, or neither: an event that does not count any more."""


class Node(Protocol):
    """Who works on an attempt: a replica."""

    number: int
    """Its place in the records."""

    def arrive(self, flight: Flight, now: float) -> None:
        """An attempt is here."""

    def go_on(self, flight: Flight, now: float) -> None:
        """Its sender waits longer than it had said: until its `limit_at`."""

    def release(self, flight: Flight, now: float, *, served: bool) -> None:
        """Its sender has the reply, or (not `served`) has hung up."""


class Place(Protocol):
    """Where a request stands in its owner's line."""

    def leave(self, now: float) -> None:
        """Its client waits no longer."""


class Flight:
    """A request under way, or a second attempt of one beside the first; all moments in seconds from the run's start."""

    __slots__ = (
        "attempts", "began", "beside", "client_limit_at", "count", "demand_s", "due", "expires", "from_node_s",
        "hard_limit_at", "id", "is_hedge", "is_idempotent", "is_late", "is_over", "job", "key", "lead", "limit_at",
        "node", "number", "owner", "reply", "send", "state", "target", "to_client_s", "to_node_s", "turn_by",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        key: str | None,
        demand_s: float,
        client_limit_at: float,
        to_client_s: float,
        to_node_s: float,
        from_node_s: float,
        owner: Owner,
    ) -> None:
        """Seconds that its answer takes from the owner to the client, and that an attempt takes to a node and back."""
        self.number = number
        self.owner = owner
        self.id = str(number)
        self.key = key
        self.demand_s = demand_s
        self.client_limit_at = client_limit_at
        """When the client does not wait any longer."""
        self.expires: float | None = None
        """By when its owner is to answer, where it has said so."""
        self.to_client_s = to_client_s
        self.to_node_s = to_node_s
        self.from_node_s = from_node_s
        self.send = 1
        """How often its client has sent it by now."""
        self.is_idempotent = True
        """Whether it may be made again once it was sent."""
        self.is_over = False
        """Whether the client has an answer, or has given up."""
        self.attempts: Attempts | None = None
        self.node: Node | None = None
        self.job: Job | None = None
        self.reply: int | str = 0
        """A status, or why there is none: `connect`, `reset`, `unreachable`."""
        self.state = IDLE
        self.count = 0
        """The number of its attempt, from 1 on; 0 = nobody counts."""
        self.is_hedge = False
        """Whether that was made beside another one."""
        self.lead: Flight | None = None
        """Of a second attempt: the request's own flight."""
        self.beside: Flight | None = None
        """Of a request's own flight: the one that a second attempt takes."""

    # Set with every attempt, before anybody reads them:
    target: Replica
    began: float
    limit_at: float
    """When whoever sent the attempt does not wait any longer, or asks itself whether to."""
    turn_by: float
    """Later its turn at a replica is too late; infinite = nobody has said so."""
    hard_limit_at: float
    """When a router does not wait any longer, whatever it may do instead."""
    due: float
    """The moment of the one event that still counts; minus infinity = none does."""
    is_late: bool
    """Whether that event is the limit."""

    @property
    def attempt(self) -> str:
        """Which attempt is under way, as random draws have it."""
        number = str(self.count) if self.count else "1"
        return number if self.send == 1 else f"{self.send}.{number}"

    def other(self) -> Flight | None:
        """The one beside it that is under way, or that waits for its turn."""
        other = self.lead if self.lead is not None else self.beside
        return other if other is not None and other.state != IDLE else None

    def stands(self, place: Place) -> None:
        """It stands in its owner's line."""

    def second(self) -> Flight:
        """One for an attempt of the same request beside this one."""
        other = self.lead if self.lead is not None else self.beside
        if other is None:
            other = Flight(
                self.number, self.key, self.demand_s, self.client_limit_at, self.to_client_s, self.to_node_s,
                self.from_node_s, self.owner,
            )  # fmt: skip
            other.id, other.attempts, other.lead, self.beside = self.id, self.attempts, self, other
            other.expires, other.send = self.expires, self.send
        return other

    def reply_comes(self, at: float, reply: int | str, agenda: Agenda) -> None:
        """The reply will be there at `at`, unless its sender waits no longer."""
        if at > self.limit_at:
            self.await_limit(agenda.now, agenda)
            return
        self.reply, self.is_late, self.due = reply, False, at
        agenda.at(at, self.owner.settle, self)

    def await_limit(self, now: float, agenda: Agenda) -> None:
        """For all that is known now there will be no reply in time."""
        self.is_late, self.due = True, max(self.limit_at, now)
        agenda.at(self.due, self.owner.settle, self)


class Records:
    """The columns of requests.parquet, one slot a request, filled as requests end; what is null is NaN, 0 or -1."""

    def __init__(self, count: int) -> None:
        nan = array("d", [float("nan")])
        self.completed_s = nan * count
        self.queue_s = nan * count
        self.service_s = nan * count
        self.status = array("h", [0]) * count
        self.outcome = array("b", [DROPPED]) * count
        self.replica = array("i", [-1]) * count
        self.attempts = array("h", [0]) * count
        self.hedge = array("b", [-1]) * count
        """Places in `record.schema.HEDGES`; -1 = there was no second attempt beside another."""
        self.failed = 0
        self.ended = 0
        self.on_end: Callable[[Flight, float], None] | None = None
        """Hears of every end."""

    def end(
        self, flight: Flight, at: float, outcome: int, status: int = 0, replica: int = -1, *, is_hedge: bool = False
    ) -> None:
        """The client heard of it at `at`; `replica` is the number of the one that answered, perhaps a hedge."""
        if flight.is_over:
            return
        flight.is_over = True
        number = flight.number
        self.completed_s[number] = at
        self.outcome[number] = outcome
        self.status[number] = status
        self.replica[number] = replica
        if flight.attempts is not None:
            self.attempts[number] = flight.attempts.count
            if flight.attempts.hedges and status:  # as the live client, which reads it in the answer
                self.hedge[number] = WON if is_hedge else LOST
        self.ended += 1
        if outcome != OK:
            self.failed += 1
        if self.on_end is not None:
            self.on_end(flight, at)

    def served(self, number: int, queue_s: float, service_s: float) -> None:
        """What the replica says of a request that it has served."""
        self.queue_s[number] = queue_s
        self.service_s[number] = service_s
