"""What the data plane counts: every request once, by how it ended."""

import logging
import time

from services.journal import tell
from services.router.latencies import Latencies
from services.router.telemetry import CLIENTS, Telemetry
from services.tracing import RequestTrace

COUNTED = (
    "requests", "retries", "hedges", "hedge_wins", "rejected", "cancelled", "broken", "exhausted", "moved", "late",
)  # fmt: skip
"""What `/stats` tells of all requests since the beginning."""
CLASSES = {status: f"{status // 100}xx" for status in range(100, 600)}


class Accounts:
    """Counts of one router."""

    def __init__(self, telemetry: Telemetry) -> None:
        """Everything is zero; `telemetry` gets the same for Prometheus."""
        self.telemetry = telemetry
        self.in_flight = 0
        self.draining = False
        """Every answer is now the last on its connection, and says so."""
        self.totals: dict[str, int] = dict.fromkeys(COUNTED, 0)
        self.responses: dict[str, int] = {}
        self.latencies = Latencies()
        """Of the requests that were answered, from their arrival here."""

    def came(self) -> None:
        """A request is here."""
        self.in_flight += 1
        self.totals["requests"] += 1

    def answered(self, status: int, began: float, trace: RequestTrace | None) -> None:
        """It has been answered."""
        self.in_flight -= 1
        seconds = time.monotonic() - began
        self.latencies.add(status, seconds)
        self._answered(status, seconds, trace)

    def _answered(self, status: int, seconds: float, trace: RequestTrace | None = None) -> None:
        status_class = CLASSES[status]
        self.responses[status_class] = self.responses.get(status_class, 0) + 1
        if trace is None:
            self.telemetry.ended(status_class, seconds)
        else:
            self.telemetry.ended(status_class, seconds, trace.trace_id)
            trace.ended(status)

    def unanswered(self, end: str, began: float, trace: RequestTrace | None) -> None:
        """It has ended without an answer, or with a part of one: `cancelled` by its client, or `broken`."""
        self.in_flight -= 1
        self.totals[end] += 1
        self.telemetry.ended(end, time.monotonic() - began, None if trace is None else trace.trace_id)
        if trace is not None:
            trace.ended(None, end)

    def retried(self, *, beside: bool) -> None:
        """An attempt after a request's first begins: after one that failed, or `beside` one that is slow."""
        if beside:
            self.totals["hedges"] += 1
            self.telemetry.hedges.inc()
        else:
            self.totals["retries"] += 1
            self.telemetry.retries.inc()

    def hedge_won(self) -> None:
        """An attempt that was made beside another one has the answer."""
        self.totals["hedge_wins"] += 1
        self.telemetry.hedge_wins.inc()

    def moved(self) -> None:
        """A request no longer waits for a replica that has left the rotation."""
        self.totals["moved"] += 1
        self.telemetry.moved.inc()

    def late(self) -> None:
        """A time-out was due while what it waited for lay in the socket: the router was late, not its peer."""
        self.totals["late"] += 1
        self.telemetry.late.inc()

    def rejected(self, reason: str) -> None:
        """The router answers for itself."""
        self.totals["rejected"] += 1
        self.telemetry.rejected(reason)

    def refused(self, status: int) -> None:
        """What could not be read as a request has been answered."""
        self.totals["requests"] += 1
        self._answered(status, 0.0)

    def exhausted(self, error: str) -> None:
        """A connection could not be made for want of something of the router's own (`EMFILE`, ...)."""
        self.totals["exhausted"] += 1
        self.telemetry.exhausted(error)
        tell("exhausted", logging.ERROR, lacks=error)

    def turned_away(self) -> None:
        """A client has been refused that there is no descriptor for."""
        self.exhausted(CLIENTS)
        self.rejected("exhausted")
