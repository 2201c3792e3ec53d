"""KEDA: a trigger wakes it and lets it sleep, in between it is an HPA on the trigger's metric."""

from typing import Any, ClassVar

from services.bounds import Bounds, Choices
from services.manager.kubernetes.behavior import DEFAULTS
from services.manager.observation import Observation
from services.manager.scalers.hpa import Hpa
from services.manager.signals import ITSELF, SIGNALS


class Keda:
    """kedacore/keda, pkg/scaling/executor/scale_scaledobjects.go at 03b6a23a64ed (v2.18), defaults of a ScaledObject.

    Its operator looks whether the trigger is active: its metric is above `activation`. Of one that is not active for
    `cooldown_s`, where `min_replicas` or `idle_replicas` is 0, nobody is wanted; at the first activity `min_replicas`
    are, one at least, and from then on an HPA with that metric as External AverageValue decides (`scaler=hpa`), never
    below `min_replicas`. Nobody cannot be had here: the bounds lift it to `autoscaling.min_replicas`, and to sleep is
    to be there. Not here: several triggers, pausing, fallback.
    """

    name: ClassVar[str] = "keda"
    bounded_only: ClassVar[bool] = True
    every_s: ClassVar[float] = Hpa.every_s
    """The HPA's; KEDA itself asks every 30 s (pollingInterval), but only whether to wake (kedacore/keda #230)."""

    def __init__(
        self,
        *,
        metric: str = "rate_rps",
        metric_type: str = "AverageValue",
        threshold: float = 5.0,
        activation: float = 0.0,
        cooldown_s: float = 300.0,
        min_replicas: int = 0,
        idle_replicas: int = -1,
        behavior: dict[str, Any] = DEFAULTS,
    ) -> None:
        """`metric`: of all replicas together, one of services/manager/signals.py; `metric_type`: AverageValue or Value,
        as of an HPA's External metric (metricType); `threshold`: of it a replica, or altogether; `activation`: above so
        much of it the trigger is active (activationThreshold); `cooldown_s`: so long after its last activity it is let
        sleep (cooldownPeriod); `min_replicas`: the fewest while it is awake (minReplicaCount); `idle_replicas`: as
        many while it sleeps (idleReplicaCount), -1 = not set; `behavior`: of the HPA, as `scaler=hpa` has it.
        """
        Choices(*SIGNALS).check("scaler.metric", metric)
        Choices("AverageValue", "Value").check("scaler.metric_type", metric_type)
        if metric in ITSELF and metric_type != "Value":
            raise ValueError(f"scaler.metric_type={metric_type}: must be Value where scaler.metric={metric}")
        Bounds(0.001, 1e6).check("scaler.threshold", threshold)
        Bounds(0, 1e6).check("scaler.activation", activation)
        Bounds(0, 3600).check("scaler.cooldown_s", cooldown_s)
        Bounds(0, 10_000).check("scaler.min_replicas", min_replicas)
        Bounds(-1, 10_000).check("scaler.idle_replicas", idle_replicas)
        if idle_replicas >= max(1, min_replicas):
            raise ValueError(f"scaler.idle_replicas={idle_replicas}: must be below scaler.min_replicas={min_replicas}")
        self._metric = metric
        self.reads = frozenset({metric})
        self._activation = activation
        self._cooldown_s = cooldown_s
        self._least = min_replicas
        self._idle = idle_replicas if idle_replicas >= 0 else None
        target = {"type": "External", "name": metric, "target": metric_type, "value": threshold}
        self._hpa = Hpa(metrics=[target], behavior=behavior)
        self._active_at: float | None = None
        self._sleeps = False
        self.why = ""

    def decide(self, observation: Observation, now: float) -> float | None:
        """The operator's number where it acts, else the HPA's; None where the metric is not there."""
        value = getattr(observation, self._metric)
        wish = self._hpa.decide(observation, now)
        if value is None:
            self.why = "its metric is missing"
            return None
        current = 0 if self._sleeps else observation.current
        is_active = value > self._activation
        number = self.act(is_active, current, now)
        if number is not None:
            self._hpa.stand_back()
            self._sleeps = number == self._asleep
            awake = "the trigger wakes" if is_active else "fewer than scaler.min_replicas"
            self.why = "the trigger sleeps" if self._sleeps else awake
            return float(number)
        self.why = self._hpa.why + ("" if is_active or self._asleep is None else "; not active, cooldown_s is not over")
        return None if wish is None else max(wish, float(self._least), 1.0)

    @property
    def _asleep(self) -> int | None:
        """How many while it sleeps; None = it never does."""
        return self._idle if self._idle is not None else 0 if self._least == 0 else None

    def act(self, is_active: bool, current: int, now: float) -> int | None:
        """What the operator sets the number to; None = it leaves it to the HPA."""
        asleep = self._asleep
        if is_active:
            self._active_at = now
            return max(1, self._least) if current == 0 or (self._idle is not None and current < self._least) else None
        if asleep is not None and current > asleep:
            is_over = self._active_at is None or self._active_at + self._cooldown_s < now
            return asleep if is_over else None
        if asleep is None and current < self._least:
            return self._least
        return asleep if asleep is not None and current <= asleep else None
