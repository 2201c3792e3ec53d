"""No scaling: the number stays as it was set."""

from services.manager.scalers import Observation


class NoScaler:
    """Wants what there is."""

    name = "none"

    def decide(self, observation: Observation, now: float) -> float | None:
        """The present number."""
        return float(observation.current)
