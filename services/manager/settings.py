"""What holds for every scaler, with defaults, units and bounds."""

from dataclasses import dataclass
from typing import Annotated

from services.bounds import Bounds, hold


@dataclass
class ScalingSettings:
    """Bounds, tolerance, windows and rate limits around a scaler's wish."""

    min_replicas: int = 1
    """No fewer replicas, whatever the scaler wishes; at most as many as the engine runs."""
    max_replicas: int = 6
    """No more replicas, likewise."""
    interval_s: Annotated[float, Bounds(0.1, 600)] = 1.0
    """Seconds between two decisions (Kubernetes: 15)."""
    tolerance: Annotated[float, Bounds(0, 1)] = 0.1
    """A metric within this share of its target, over those that it is of, changes nothing (Kubernetes' default)."""
    stabilization_up_s: Annotated[float, Bounds(0, 3600)] = 0.0
    """Scaling up takes the lowest wish of so many seconds (Kubernetes: 0)."""
    stabilization_down_s: Annotated[float, Bounds(0, 3600)] = 5.0
    """Scaling down takes the highest wish of so many seconds (Kubernetes: 300; a run here lasts a minute)."""
    max_up: int = 2
    """At most so many replicas more in one decision."""
    max_down: int = 1
    """At most so many fewer in one decision."""
    max_starting: Annotated[int, Bounds(1, 10_000)] = 16
    """At most so many replicas start at the same time, those of a run's beginning too (Kubernetes' ReplicaSet: 500;
    here they share one machine's cores)."""
    self_heal: bool = True
    """Start a replica again when its process ended by itself."""

    def validate(self, most_replicas: int = 64) -> None:
        """Check every bound; `most_replicas` is what an engine can run.

        Raises:
            ValueError: with the key, its value and its bounds.
        """
        for name in ("min_replicas", "max_replicas", "max_up", "max_down"):
            Bounds(1, most_replicas).check(f"autoscaling.{name}", getattr(self, name))
        hold(self, "autoscaling")
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"autoscaling.min_replicas={self.min_replicas}: must not exceed max_replicas={self.max_replicas}"
            )
