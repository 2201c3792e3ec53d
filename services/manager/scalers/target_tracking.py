"""Keeps a signal near a target, by Kubernetes' formula."""

from typing import ClassVar

from services.bounds import Bounds, Choices
from services.manager.observation import Observation
from services.manager.signals import SIGNALS, shared


class TargetTracking:
    """desired = current * metric / target (HorizontalPodAutoscaler, "Algorithm details").

    The metric is requests in flight per slot of the replicas in rotation, all of the work over all of their slots (as
    Kubernetes' utilisation is usage over requests), or another signal of `services.manager.signals`. Replicas that are
    not ready carry none of it: `current` are those in rotation, and whoever joins or leaves does not change the number
    that the work needs. What the page says of pods that are not ready yet, of the tolerance and of the next whole
    number up is the wrapper's (`limits`).
    """

    name: ClassVar[str] = "target_tracking"
    every_s: ClassVar[float] = 15.0
    """--horizontal-pod-autoscaler-sync-period."""

    def __init__(self, *, target: float = 0.6, metric: str = "in_flight") -> None:
        """`target`: of the metric, as requests in flight per slot, waiting ones included; above 0; `metric`: the
        signal, in_flight, busy or cpu per slot, rate_rps, offered_rps or queue per replica, or p95_ms.
        """
        Choices(*SIGNALS).check("scaler.metric", metric)
        Bounds(0.01, 1e6).check("scaler.target", target)
        self._target = target
        self._metric = metric
        self.reads = frozenset({metric})

    def decide(self, observation: Observation, now: float) -> float | None:
        """The number by the formula; None where no replica is in rotation, or nothing was seen before."""
        seen = shared(observation, self._metric)
        return None if seen is None else observation.ready * (seen[0] / seen[1]) / self._target
