"""One attempt at a replica: the connection that it goes by, and the moments that its latency follows from."""

import asyncio
from typing import Protocol

from services.router.dispatch import Dispatcher
from services.router.patience import NEVER_S
from services.router.policy import Outcome
from services.router.replica import Replica
from services.router.wire.pool import Pool
from services.router.wire.replica import Connection


class Owner(Protocol):
    """Whose attempt it is: a request."""

    def connected(self, attempt: "Attempt", made: Connection | BaseException) -> None:
        """The attempt has a connection, or there is a reason why it has none."""

    def heard(self, attempt: "Attempt") -> None:
        """More of the answer is here, or the connection is gone."""

    def sendable(self) -> None:
        """The replica has read: more of the body can be passed on."""


class Attempt:
    """What is known of it; all moments on the monotonic clock."""

    __slots__ = (
        "_owner", "answer_at", "answered", "asked_at", "began", "beside", "connecting", "connection", "due",
        "give_up_at", "limit_s", "missed_s", "number", "polled", "replica", "works_since",
    )  # fmt: skip

    def __init__(
        self, owner: Owner, replica: Replica, limit_s: float, now: float, number: int, *, beside: bool
    ) -> None:
        """It begins as the request's `number`th, `beside` another one.

        It may take `limit_s` from the moment that the replica has the whole request.
        """
        self._owner = owner
        self.replica = replica
        self.number = number
        self.beside = beside
        self.limit_s = limit_s
        self.due = now + limit_s
        """When its time is up, unless the request's body is being passed on."""
        self.give_up_at = NEVER_S
        """When it is given up, if another may follow."""
        self.began = now
        self.asked_at: float | None = now
        """When the replica had the whole request; None while the client still sends it."""
        self.answer_at = 0.0
        """When the answer began; 0 = there is nothing of it."""
        self.answered: Outcome | None = None
        """As what, once its answer is being passed on."""
        self.works_since: float | None = now
        """Since when the replica has it to do; None: it rests, while its client sends the body or reads the answer."""
        self.connection: Connection | None = None
        self.connecting: asyncio.Task[None] | None = None
        self.missed_s = 0.0
        """What the loop had missed, all in all, when the connection was asked for."""
        self.polled = False
        """Whether it has been given time once more, since the loop may have been late."""

    def connected(self, made: Connection | BaseException) -> None:
        """There is a connection, or a reason why there is none."""
        self.connecting = None
        self._owner.connected(self, made)

    def heard(self) -> None:
        """More of the answer is here: see `connection`."""
        self._owner.heard(self)

    def sendable(self) -> None:
        """More of the request can be written."""
        self._owner.sendable()

    def rests(self, dispatcher: Dispatcher, now: float) -> None:
        """The client still sends the body: nobody works on it."""
        if (since := self.works_since) is not None:
            self.works_since = None
            dispatcher.rests(self.replica, now - since, now)

    def works(self, dispatcher: Dispatcher, now: float) -> None:
        """If it rested: from now on the replica has something to do, or does not read."""
        if self.works_since is None:
            self.works_since = now
            dispatcher.works(self.replica, now)

    def restarts(self, dispatcher: Dispatcher, now: float) -> None:
        """What the replica takes for it begins now."""
        since, self.works_since = self.works_since, now
        if since is None:
            dispatcher.works(self.replica, now)
        else:
            dispatcher.restarts(self.replica, now - since, now)

    def answers(self, dispatcher: Dispatcher, outcome: Outcome, now: float) -> None:
        """Its answer is on its way to the client; a good one that comes before the body is whole tells no time."""
        self.answered = outcome
        if self.asked_at is None and outcome == "ok":
            self.rests(dispatcher, now)
            return
        latency_s = self._known_s(dispatcher, now)
        self.works_since = None
        dispatcher.answers(self.replica, outcome, latency_s, now, is_retry=self.number > 1)

    def finish(self, dispatcher: Dispatcher, outcome: Outcome, now: float, reason: str) -> None:
        """It has ended."""
        latency_s = self.latency_s(now) if self.answered is not None else self._known_s(dispatcher, now)
        dispatcher.finish(
            self.replica, outcome, latency_s, now, reason, is_retry=self.number > 1, answered=self.answered
        )

    def _known_s(self, dispatcher: Dispatcher, now: float) -> float:
        """`latency_s`, but nothing while the body is not whole, however long its client has taken for it."""
        if self.asked_at is not None:
            return self.latency_s(now)
        self.restarts(dispatcher, now)
        return 0.0

    def leave(self, pool: Pool, *, closes: bool) -> None:
        """It has ended: give the connection back, or close it."""
        if self.connecting is not None:
            self.connecting.cancel()
            self.connecting = None
        if (connection := self.connection) is not None:
            self.connection = None
            if closes:
                connection.close()
            else:
                pool.release(connection)

    def latency_s(self, now: float) -> float:
        """What the replica took, without the client's own time for sending and reading: 0 = nothing is known."""
        asked_at, answer_at = self.asked_at, self.answer_at
        if not answer_at:
            return 0.0 if asked_at is None else now - asked_at
        if asked_at is None:  # the answer is there, and the request still incomplete
            return answer_at - self.began
        # An answer that began before the request was complete is measured by its end.
        return (answer_at if answer_at > asked_at else now) - asked_at
