"""A request that stands in a router's line, in virtual time."""

from __future__ import annotations

from typing import Protocol

from experiments.simulator.agenda import Agenda
from experiments.simulator.request import Flight, Place
from services.router.dispatch import Dispatcher
from services.router.replica import Replica
from services.router.waiting import Bound, Ticket, UnboundError, Waiter


class Sender(Protocol):
    """The router."""

    def send(self, flight: Flight, replica: Replica, limit_s: float, now: float) -> None:
        """An attempt has begun."""

    def refuse(self, flight: Flight, error: UnboundError, now: float) -> None:
        """There is none."""

    def left(self, flight: Flight, now: float) -> None:
        """Its client waits no longer."""

    def may_look(self, flight: Flight, standing: Standing) -> bool:
        """Whether the router runs, and has the request still; a paused one looks as soon as it goes on."""


class Standing(Waiter, Place):
    """One request."""

    def __init__(self, router: Sender, dispatcher: Dispatcher, flight: Flight, agenda: Agenda) -> None:
        """It does not stand there yet."""
        self._router = router
        self._dispatcher = dispatcher
        self._flight = flight
        self._agenda = agenda
        self._ticket: Ticket | None = None

    def ask(self, now: float) -> Bound | None:
        """Who takes it at once; None: it stands in line.

        Raises:
            UnboundError: nobody takes it, and waiting does not help.
        """
        flight = self._flight
        assert flight.attempts is not None
        bound = self._dispatcher.bind(flight.attempts, flight.id, flight.key, now, self)
        if not isinstance(bound, Ticket):
            return bound
        self._ticket = bound
        flight.stands(self)
        self._agenda.at(max(now, min(bound.until, flight.client_limit_at)), self.look, None)
        return None

    def look(self, _: None, now: float) -> None:
        """Its time is up, if it stands there still."""
        ticket = self._ticket
        if ticket is None or not ticket.is_in_line or not self._router.may_look(self._flight, self):
            return
        if now >= self._flight.client_limit_at:
            self._dispatcher.leave(ticket, now)
            self._router.left(self._flight, now)
        else:
            self._dispatcher.expire(ticket, now)

    def leave(self, now: float) -> None:
        """Its client waits no longer."""
        if self._ticket is not None and self._ticket.is_in_line:
            self._dispatcher.leave(self._ticket, now)

    def bound(self, replica: Replica, limit_s: float, now: float) -> None:
        """It has a slot."""
        self._router.send(self._flight, replica, limit_s, now)

    def unbound(self, error: UnboundError, now: float) -> None:
        """It gets none."""
        self._router.refuse(self._flight, error, now)
