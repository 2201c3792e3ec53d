"""Keeps requests in flight per slot near a target, by Kubernetes' formula."""

from services.manager.scalers import Observation


class TargetTracking:
    """desired = current * metric / target (HorizontalPodAutoscaler, "Algorithm details").

    The metric is requests in flight per slot of the replicas in rotation, all of the work over all of their slots (as
    Kubernetes' utilisation is usage over requests). Replicas that are not ready carry none of it: `current` are those
    in rotation, and whoever joins or leaves does not change the number that the work needs. What the page says of pods
    that are not ready yet, of the tolerance and of the next whole number up is the wrapper's (`limits`).
    """

    name = "target_tracking"

    def __init__(self, *, target: float = 0.6) -> None:
        """`target`: requests in flight per slot, waiting ones included; above 0."""
        if not 0.01 <= target <= 100:
            raise ValueError(f"scaler.target={target:g}: must be between 0.01 and 100")
        self._target = target

    def decide(self, observation: Observation, now: float) -> float | None:
        """The number by the formula; None where no replica is in rotation, or nothing was seen before."""
        ready, slots = observation.ready, sum(replica.slots for replica in observation.replicas if replica.ready)
        if observation.in_flight is None or not ready:
            return None
        return ready * (observation.in_flight / slots) / self._target
