"""Kubernetes' HorizontalPodAutoscaler, autoscaling/v2, with its own windows and rates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from services.bounds import Bounds
from services.manager.kubernetes.behavior import DEFAULTS, read
from services.manager.kubernetes.counting import Initialisation, Pod, Tolerances, most
from services.manager.kubernetes.metrics import read_metrics
from services.manager.scalers import Observation

METRICS: list[Any] = [{"type": "Resource", "name": "in_flight", "target": "Utilization", "value": 60}]
"""Sixty per cent of the slots, as `target_tracking`."""


class Hpa:
    """What kube-controller-manager does at each sync (horizontal.go, replica_calculator.go; as of v1.33).

    Each metric asks for a number, and the highest counts; where one cannot be had, nobody is taken away for the others.
    `Resource` metrics are of slots, as CPU is of what was requested: a replica that is not ready, or has just become
    so, counts as idle where the others ask for more, one without numbers as idle upwards and as full downwards. Of
    `Pods` metrics readiness is not asked. `External` ones are of all replicas together. Then the windows, then the
    policies of `behavior`; bounds are `autoscaling.min_replicas` and `max_replicas`. Not here: an HPA without
    `behavior`, which has a limit of its own upwards (twice, or to 4), and container metrics.
    """

    name: ClassVar[str] = "hpa"
    bounded_only: ClassVar[bool] = True
    every_s: ClassVar[float] = 15.0
    """--horizontal-pod-autoscaler-sync-period."""

    def __init__(
        self,
        *,
        metrics: list[Any] = METRICS,
        behavior: dict[str, Any] = DEFAULTS,
        initialization_s: float = 300.0,
        readiness_delay_s: float = 30.0,
    ) -> None:
        """`metrics`: a list of {type, name, target, value}: type Resource or Pods, name in_flight, busy, cpu, rate_rps
        or queue, or type External and also offered_rps or p95_ms (services/manager/signals.py); target Utilization
        (per cent of slots), AverageValue (a replica) or Value (all together); `behavior`:
        the API's section of that name, in its words and with its defaults; `initialization_s`: for so long from its
        start a replica's Resource metric is believed only once it was ready for a whole look
        (--horizontal-pod-autoscaler-cpu-initialization-period); `readiness_delay_s`: one that ceased to be ready within
        so long from its start counts as never ready (--horizontal-pod-autoscaler-initial-readiness-delay).
        """
        Bounds(0, 3600).check("scaler.initialization_s", initialization_s)
        Bounds(0, 3600).check("scaler.readiness_delay_s", readiness_delay_s)
        self._metrics = read_metrics(metrics, "scaler.metrics")
        self.reads = frozenset(metric.name for metric in self._metrics)
        self._behavior = read(behavior, "scaler.behavior")
        self._tolerances = Tolerances(self._behavior.down.tolerance, self._behavior.up.tolerance)
        self._new = Initialisation(initialization_s, readiness_delay_s)
        self._pods = Watched()
        self._current: int | None = None
        self._decided: int | None = None
        """Its own last number; None = it did not decide."""
        self._at = 0.0
        self.why = ""

    def decide(self, observation: Observation, now: float) -> float | None:
        """The number after windows and policies; None where metrics are missing (`most`)."""
        current = observation.current
        if self._current is not None and self._decided is not None:
            self._note(current - self._current, self._decided - self._current)
        states = self._pods.look(observation, now)
        self._current, self._decided, self._at = current, None, now
        self._behavior.begin(current, now)
        asked = [metric.count(observation, states, self._tolerances, now, self._new) for metric in self._metrics]
        number = most(asked, current)
        if number is None:
            self.why = "a metric is missing, and no other asks for more"
            return None
        stable = self._behavior.stabilised(number, current, now)
        self._decided = self._behavior.limited(stable, current, now)
        self.why = said(asked, number, stable, self._decided, current)
        return float(self._decided)

    def _note(self, change: int, decided: int) -> None:
        """What was changed after the last look, as far as it was decided here: others' changes do not count."""
        if change * decided > 0:
            self._behavior.note(min(change, decided) if change > 0 else max(change, decided), self._at)

    def stand_back(self) -> None:
        """Somebody else sets the number instead of the last decision."""
        self._decided = None


def said(asked: Sequence[int | None], number: int, stable: int, limited: int, current: int) -> str:
    """How the number came about."""
    each = ", ".join("none" if count is None else str(count) for count in asked)
    text = f"the metric asks for {each}" if len(asked) == 1 else f"the metrics ask for {each}, the highest counts"
    if stable != number:
        way = "scaleDown" if stable > number else "scaleUp"
        text += f"; {way}.stabilizationWindowSeconds: {stable}"
    if limited != stable:
        way = "scaleUp" if stable > current else "scaleDown"
        text += f"; {way}'s policies: {limited} by now"
    return text


class Watched:
    """When replicas came, and when their readiness changed last: what the API says of pods, seen from outside."""

    def __init__(self) -> None:
        self._known: dict[str, Pod] | None = None
        self._at = 0.0

    def look(self, observation: Observation, now: float) -> Mapping[str, Pod]:
        """By replica, without a metric. Those of the first look that are ready have been there for long."""
        known, self._known = self._known, {}
        window_s = now - self._at if known is not None else 0.0
        if observation.window_s is not None:
            window_s = observation.window_s
        sampled_s = now - observation.age_s
        for replica in observation.replicas:
            before = (known or {}).get(replica.id)
            if before is None:
                is_old = known is None and replica.ready
                began = float("-inf") if is_old else now
                pod = Pod(replica.id, None, started_s=began, changed_s=began, ready=replica.ready)
            elif before.ready != replica.ready:
                pod = Pod(replica.id, None, started_s=before.started_s, changed_s=now, ready=replica.ready)
            else:
                pod = before
            self._known[replica.id] = pod
        self._at = now
        return {
            id_: replace(pod, sampled_s=sampled_s, window_s=window_s) for id_, pod in self._known.items()
        }
