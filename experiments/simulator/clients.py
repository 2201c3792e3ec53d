"""Clients in virtual time that ask again: an answer is the last one only where they leave it at that."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from experiments.simulator.request import OK, Flight, Records
from record.schema import OUTCOMES

if TYPE_CHECKING:
    from experiments.load.retries import ClientRetries
    from experiments.simulator.agenda import Agenda

Ended = tuple[Flight, float, int, int, int, bool]
"""What `Records.end` is told."""


class PersistentRecords(Records):
    """The records of a load whose clients do so; a request ends with its last attempt."""

    def __init__(self, count: int, retries: ClientRetries, agenda: Agenda, to_owner_s: float) -> None:
        """An attempt takes `to_owner_s` seconds to whom takes it."""
        super().__init__(count)
        self.sends = array("h", [1]) * count
        self.retries = retries
        self._agenda = agenda
        self._to_owner_s = to_owner_s
        self._first_s: dict[int, float] = {}
        """When those that are sent again were sent first, seconds."""

    def end(
        self, flight: Flight, at: float, outcome: int, status: int = 0, replica: int = -1, *, is_hedge: bool = False
    ) -> None:
        """The client heard of it at `at`."""
        if flight.is_over:
            return
        if outcome == OK:
            self._first_s.pop(flight.number, None)
            super().end(flight, at, outcome, status, replica, is_hedge=is_hedge)
        else:
            flight.is_over = True
            ended: Ended = (flight, at, outcome, status, replica, is_hedge)
            self._agenda.at(max(at, self._agenda.now), self._decide, ended)

    def _decide(self, ended: Ended, now: float) -> None:
        flight, at, outcome, status, replica, is_hedge = ended
        first_s = self._first_s.get(flight.number, flight.client_limit_at - self.retries.limit_s(0.0))
        pause_s = self.retries.pause_s(
            flight.number, flight.send, OUTCOMES[outcome], status, now - first_s, now, is_post=not flight.is_idempotent
        )
        if pause_s is None:
            flight.is_over = False
            self._first_s.pop(flight.number, None)
            super().end(flight, at, outcome, status, replica, is_hedge=is_hedge)
        else:
            self._first_s[flight.number] = first_s
            self._agenda.at(now + pause_s, self._send, flight)

    def _send(self, before: Flight, now: float) -> None:
        limit_at = now + self.retries.limit_s(now - self._first_s[before.number])
        flight = Flight(
            before.number, before.key, before.demand_s, limit_at, before.to_client_s, before.to_node_s,
            before.from_node_s, before.owner,
        )  # fmt: skip
        flight.is_idempotent, flight.expires, flight.send = before.is_idempotent, before.expires, before.send + 1
        self.sends[before.number] = flight.send
        self._agenda.at(now + self._to_owner_s, flight.owner.arrive, flight)
