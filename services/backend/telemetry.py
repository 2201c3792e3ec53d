"""A replica's Prometheus metrics; every label has few values."""

from prometheus_client import Counter, Gauge, Histogram

from services.backend.faults import PARAMETERS, FaultSet
from services.exposition import LATENCY_S, new_registry

ENDS = {
    "ok": ("200",),
    "fault": ("500", "503"),
    "overloaded": ("503",),
    "expired": ("504",),
    "downstream": ("502", "503", "504"),
    "invalid": ("422",),
    "cancelled": ("",),
}
"""How a request of work ends, with the statuses of its answer: an injected fault, a full queue, a turn that came after
the request's deadline, a second tier that failed, a header out of bounds, a client that hung up (or that a fault cut
off), who is answered nothing."""


class Telemetry:
    """One registry a replica."""

    def __init__(self, slots: int) -> None:
        """Every counter begins at zero, so that the first increase is seen as one."""
        self.registry = new_registry()
        requests = Counter(
            "aegis_replica_requests", "Requests of work by end and status", ["outcome", "code"], registry=self.registry
        )
        self._ends = {(end, code): requests.labels(end, code) for end, codes in ENDS.items() for code in codes}
        self.queue = self._histogram("queue", "Planned time in line of requests served")
        self.service = self._histogram("service", "Planned time in service of requests served")
        self.late = self._histogram("timer_lateness", "What the event loop's timer added to the planned end")
        self._in_flight = self._gauge("in_flight_requests", "Requests here, also those held by a fault or still coming")
        self._waiting = self._gauge("waiting_requests", "Requests in line, before the slots")
        self._busy = self._gauge("busy_slots", "Slots that are serving")
        self._gauge("slots", "Requests that can be served at the same time").set(slots)
        active = Gauge("aegis_replica_fault_active", "1 while the fault is set", ["kind"], registry=self.registry)
        self._faults = {kind: active.labels(kind) for kind in PARAMETERS}

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"aegis_replica_{name}_seconds", text, buckets=LATENCY_S, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"aegis_replica_{name}", text, registry=self.registry)

    def ended(self, end: str, code: str = "") -> None:
        """A request of work ended, answered with `code`."""
        self._ends[end, code].inc()

    def look_at(self, in_flight: int, waiting: int, busy: int, faults: FaultSet) -> None:
        """Set what is of this moment."""
        self._in_flight.set(in_flight)
        self._waiting.set(waiting)
        self._busy.set(busy)
        for kind, gauge in self._faults.items():
            gauge.set(kind in faults)
