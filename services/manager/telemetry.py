"""The manager's Prometheus metrics; every label has few values."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from services.exposition import new_registry
from services.manager.control import Control
from services.manager.engines import Running
from services.manager.limits import KINDS


class Telemetry(Collector):
    """Reads the control loop when it is asked."""

    def __init__(self, control: Control) -> None:
        """One registry a manager."""
        self._control = control
        self._running: int | None = None
        self.registry = new_registry()
        self.registry.register(self)

    def look_at(self, replicas: Sequence[Running] | None) -> None:
        """Set what is of this moment; None = the engine cannot tell."""
        self._running = None if replicas is None else sum(replica.state == "running" for replica in replicas)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The families, made anew; what is not known (no answer of the router, the scaler cannot tell) is left out."""
        control, deciding = self._control, self._control.deciding
        limits = control.limits.settings
        demanded = deciding.demanded if control.enabled else None
        for name, text, value in (
            ("desired", "Replicas wanted, within the limits", control.desired),
            ("demanded", "Replicas that the scaler asked for last, before any limit but its own", demanded),
            ("ready", "The manager's replicas that the router had in rotation at the last look", deciding.ready),
            ("running", "Replicas that the engine runs", self._running),
            ("min", "Fewest replicas that the limits allow", limits.min_replicas),
            ("max", "Most replicas that the limits allow", limits.max_replicas),
        ):
            family = GaugeMetricFamily(f"aegis_manager_{name}_replicas", text)
            if value is not None:
                family.add_metric([], value)
            yield family
        yield GaugeMetricFamily(
            "aegis_manager_acts",
            "1 where the engine starts and drains replicas, 0 where it only looks",
            control.engine.acts,
        )
        yield GaugeMetricFamily("aegis_manager_autoscaler_enabled", "1 while the scaler decides", control.enabled)
        decisions = CounterMetricFamily("aegis_manager_decisions", "Decisions by reason", labels=["reason"])
        for kind in KINDS:
            decisions.add_metric([kind], deciding.counts[kind])
        yield decisions
        for name, text in (
            ("failed_looks", "Looks that the router did not answer, or answered with nonsense"),
            ("engine_errors", "Times that what runs the replicas did not do what it was asked"),
            ("starts", "Starts of replicas that were begun"),
        ):
            yield CounterMetricFamily(f"aegis_manager_{name}", text, control.counts[name])
        for name, text, event in (
            ("failed_starts", "Starts of replicas that did not come up, or were refused", "start_failed"),
            ("ended_replicas", "Replicas whose process ended by itself", "replica_ended"),
        ):
            yield CounterMetricFamily(f"aegis_manager_{name}", text, deciding.planning.counts[event])
