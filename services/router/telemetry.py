"""The router's Prometheus metrics. Labels have few values; those of a replica vanish when it leaves the fleet."""

from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from services.descriptors import OWN
from services.exposition import LATENCY_S, new_registry
from services.router.events import KINDS
from services.router.fleet import Fleet
from services.router.policies import OUTCOMES
from services.router.rejections import REJECTIONS
from services.router.replica import STATES
from services.router.tallies import Counts, Times

ENDS = ("1xx", "2xx", "3xx", "4xx", "5xx", "cancelled", "broken")
"""How a request ends: the class of its status, the client hung up, or the replica broke off in the answer's body."""
CLIENTS = "clients"
"""The name of what has run out where more clients are connected than the router has descriptors for."""
ATTEMPTS = (*OUTCOMES, "exhausted")
"""How an attempt ends: what that says of the replica, or, of nobody but the router, that it lacks what a connection
needs."""


class FleetCollector(Collector):
    """What is read off the fleet when it is asked for: nothing is left of a replica that is gone."""

    def __init__(self, fleet: Fleet, events: Tally[str]) -> None:
        """`events` counts the fleet's events by kind."""
        self._fleet = fleet
        self._events = events

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The families, made anew."""
        replicas = list(self._fleet.replicas.values())
        by_state = Tally(replica.state for replica in replicas)
        count = GaugeMetricFamily("aegis_router_replicas", "Registered replicas by state", labels=["state"])
        for state in STATES:
            count.add_metric([state], by_state[state])
        yield count
        events = CounterMetricFamily("aegis_router_events", "Changes of the fleet by kind", labels=["event"])
        for event in KINDS:
            events.add_metric([event], self._events[event])
        yield events
        states = GaugeMetricFamily(
            "aegis_router_replica_state",
            "1 for the state that a replica is in, 0 for the others",
            labels=["replica", "state"],
        )
        in_flight = GaugeMetricFamily(
            "aegis_router_replica_in_flight_requests", "Attempts under way at a replica", labels=["replica"]
        )
        attempts = CounterMetricFamily(
            "aegis_router_replica_attempts", "Attempts begun at a replica", labels=["replica"]
        )
        failures = CounterMetricFamily(
            "aegis_router_replica_failures", "Attempts that count against a replica's health", labels=["replica"]
        )
        ejections = CounterMetricFamily(
            "aegis_router_replica_ejections", "Times a replica was taken out of rotation", labels=["replica"]
        )
        for replica in replicas:
            for state in STATES:
                states.add_metric([replica.id, state], replica.state == state)
            in_flight.add_metric([replica.id], replica.in_flight)
            attempts.add_metric([replica.id], replica.requests_total)
            failures.add_metric([replica.id], replica.failures_total)
            ejections.add_metric([replica.id], replica.ejections_total)
        yield from (states, in_flight, attempts, failures, ejections)


class Telemetry:
    """One registry a router."""

    def __init__(self) -> None:
        """Every counter begins at zero, so that the first increase is seen as one."""
        self.registry = new_registry()
        requests = Counts(
            "aegis_router_requests", "Requests by their end: the status' class, cancelled, broken", "outcome", ENDS
        )
        rejections = Counter(
            "aegis_router_rejections", "Answers of the router's own, by reason", ["reason"], registry=self.registry
        )
        attempts = Counts(
            "aegis_router_attempts", "Attempts that ended, by what they say of the replica", "outcome", ATTEMPTS
        )
        self.retries = Counter(
            "aegis_router_retries", "Attempts after one of the same request that failed", registry=self.registry
        )
        self.hedges = Counter(
            "aegis_router_hedges", "Attempts beside one of the same request that was slow", registry=self.registry
        )
        self.hedge_wins = Counter(
            "aegis_router_hedge_wins", "Of those, the ones that had the answer", registry=self.registry
        )
        self.moved = Counter(
            "aegis_router_moved", "Attempts given up since their replica left the rotation, and made elsewhere",
            registry=self.registry,
        )  # fmt: skip
        self.late = Counter(
            "aegis_router_late_timeouts", "Time-outs that were due while what they waited for lay unread in the socket",
            registry=self.registry,
        )  # fmt: skip
        self.loop_lag = Histogram(
            "aegis_router_loop_lag_seconds",
            "How late the router's event loop was, 50 times a second: its own delay, nobody else's",
            buckets=LATENCY_S,
            registry=self.registry,
        )
        self._duration = Times(
            "aegis_router_request_duration_seconds",
            "From a request's arrival to its end, whatever that was",
            LATENCY_S,
        )
        for tallies in (requests, attempts, self._duration):
            self.registry.register(tallies)
        self.in_flight = Gauge("aegis_router_in_flight_requests", "Requests being served", registry=self.registry)
        self.waiting = Gauge(
            "aegis_router_waiting_requests", "Requests in line for a free slot", registry=self.registry
        )
        self.limit = Gauge(
            "aegis_router_attempts_limit", "The most attempts under way for now; NaN: no limit", registry=self.registry
        )
        self._ends = requests.counts
        self._rejections = {reason: rejections.labels(reason) for reason in REJECTIONS}
        self._attempts = attempts.counts
        exhausted = Counter(
            "aegis_router_exhausted",
            "Connections that the router lacked a descriptor, a port or memory for: of attempts, checks and clients",
            ["error"],
            registry=self.registry,
        )
        self._exhausted = {error: exhausted.labels(error) for error in (*OWN.values(), CLIENTS)}

    def watch(self, fleet: Fleet, events: Tally[str]) -> None:
        """Show this fleet, too; `events` counts what happens in it by kind."""
        self.registry.register(FleetCollector(fleet, events))

    def ended(self, end: str, seconds: float, trace_id: str | None = None) -> None:
        """A request ended: a status' class (an unheard-of one counts as 5xx), `cancelled` or `broken`.

        `trace_id` is that of a trace which is kept: it becomes its bucket's exemplar.
        """
        self._ends[end if end in self._ends else "5xx"] += 1
        self._duration.observe(seconds)
        if trace_id is not None:
            self._duration.keep(seconds, trace_id)

    def rejected(self, reason: str) -> None:
        """The router answers for itself."""
        self._rejections[reason].inc()

    def attempted(self, end: str) -> None:
        """An attempt ended, in one of the ways of `ATTEMPTS`."""
        self._attempts[end] += 1

    def exhausted(self, error: str) -> None:
        """A connection could not be made for want of something here; `error` as `own_fault` names it, or `CLIENTS`."""
        self._exhausted[error].inc()
