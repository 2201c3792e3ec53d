"""Keeps requests in flight per slot near a target, by Kubernetes' formula."""

from services.manager.scalers import Observation


class TargetTracking:
    """desired = current * metric / target (HorizontalPodAutoscaler, "Algorithm details").

    The metric is the mean of in_flight / slots over the replicas. A replica that was not seen, or is not ready,
    counts as 0 when the others ask for more and as the target when they ask for fewer, which dampens both ways
    (the same page). The next whole number up and the tolerance are the wrapper's.
    """

    name = "target_tracking"

    def __init__(self, *, target: float = 0.6) -> None:
        """`target`: requests in flight per slot, waiting ones included; above 0."""
        if not 0.01 <= target <= 100:
            raise ValueError(f"scaler.target={target:g}: must be between 0.01 and 100")
        self._target = target

    def decide(self, observation: Observation, now: float) -> float | None:
        """The number by the formula; None where no replica was seen."""
        seen = [r.in_flight / r.slots for r in observation.replicas if r.ready and r.in_flight is not None]
        missing = len(observation.replicas) - len(seen)
        if not seen:
            return None
        ratio = sum(seen) / len(seen) / self._target
        if missing:
            assumed = 0.0 if ratio > 1 else self._target
            dampened = (sum(seen) + missing * assumed) / (len(seen) + missing) / self._target
            # Assumptions may slow a change, never turn it round.
            ratio = dampened if (dampened > 1) == (ratio > 1) else 1.0
        return ratio * len(observation.replicas)
