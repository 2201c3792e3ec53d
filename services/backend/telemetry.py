"""A replica's Prometheus metrics; every label has few values."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = tuple(round(0.001 * 10 ** (step / 5), 6) for step in range(22))
"""Seconds, five to the decade from 1 ms to 16 s."""


class Telemetry:
    """One registry a replica."""

    def __init__(self) -> None:
        """Every counter begins at zero."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "aegis_backend_requests", "Requests by end", ["outcome"], registry=self.registry
        )  # outcome: ok, fault, overloaded, cancelled
        self.queue = self._histogram("queue", "Planned time in line")
        self.service = self._histogram("service", "Planned time in service")
        self.late = self._histogram("timer_lateness", "What the event loop's timer added to the planned end")
        self.in_flight = Gauge("aegis_backend_in_flight", "Requests in line or in service", registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"aegis_backend_{name}_seconds", text, buckets=BUCKETS, registry=self.registry)
