"""The router's Prometheus metrics; every label has few values."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.router.fleet import Fleet

BUCKETS = tuple(round(0.001 * 10 ** (step / 5), 6) for step in range(22))
"""Seconds, five to the decade from 1 ms to 16 s."""


class Telemetry:
    """One registry a router."""

    def __init__(self) -> None:
        """Every counter begins at zero."""
        self.registry = CollectorRegistry()
        self.requests = Counter("aegis_router_requests", "Requests answered", ["code_class"], registry=self.registry)
        self.retries = Counter("aegis_router_retries", "Attempts after the first", registry=self.registry)
        self.rejected = Counter(
            "aegis_router_rejected", "Requests that no replica answered", ["reason"], registry=self.registry
        )
        self.cancelled = Counter("aegis_router_cancelled", "Requests whose client hung up", registry=self.registry)
        self.broken = Counter(
            "aegis_router_broken",
            "Answers that a replica broke off when they were on their way",
            registry=self.registry,
        )
        self.duration = Histogram(
            "aegis_router_request_duration_seconds",
            "Until the answer was passed on",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge("aegis_router_in_flight", "Requests being served", registry=self.registry)
        self._replicas = Gauge("aegis_router_replicas", "Replicas by state", ["state"], registry=self.registry)
        self._codes = {code: self.requests.labels(f"{code}xx") for code in range(1, 6)}

    def answered(self, status: int, seconds: float) -> None:
        """A request was answered."""
        self._codes.get(status // 100, self._codes[5]).inc()
        self.duration.observe(seconds)

    def look_at(self, fleet: Fleet) -> None:
        """Set what is read off the fleet."""
        for state in ("pending", "ready", "ejected", "draining"):
            self._replicas.labels(state).set(sum(replica.state == state for replica in fleet.replicas.values()))
