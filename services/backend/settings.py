"""What a replica can be told, with defaults, units and bounds."""

from dataclasses import dataclass

from services.backend.work_queue import DISCIPLINES
from services.door.access import ID

MAX_DEMAND_MS = 60_000.0
"""Longest service demand of a request; a longer one is answered 422."""
KINDS = ("sleep", "cpu")
ON_HANGUP = ("cancel", "finish")
PARENT_S = 0.5
"""How often a replica looks whether its parent is still there, seconds."""
DRAIN_S = 5.0
"""Longest wait for requests in flight after SIGTERM, seconds."""
SETTLE_S = 0.1
"""Requests that the router sent before it heard of the draining still arrive for so long, seconds."""
DISTRIBUTIONS = ("exponential", "lognormal", "constant")


@dataclass(frozen=True)
class ReplicaSettings:
    """One replica."""

    id: str = "r1"
    concurrency: int = 2
    """Slots: requests served at the same time."""
    queue_limit: int = 100
    """Requests that may wait; one more is answered 503 at once."""
    speed: float = 1.0
    """Service time = demand / speed."""
    kind: str = "sleep"
    """`sleep` waits the demand out, `cpu` burns it."""
    discipline: str = "fifo"
    """`fifo`: a line before the slots; `ps`: processor sharing (kind `sleep` only)."""
    on_hangup: str = "cancel"
    """What becomes of work whose client has hung up: `cancel` frees the slot, `finish` works on for nobody."""
    seed: int = 0
    replica_noise: float = 0.0
    """Probability that an attempt's demand is drawn anew instead of taken from the request."""
    demand_mean_ms: float = 50.0
    """Mean of a drawn demand (no header, or noise), milliseconds."""
    demand_distribution: str = "exponential"
    demand_sigma: float = 1.0
    """Standard deviation of the logarithm; lognormal only."""
    weight: float = 1.0
    """Announced to the router."""

    def validate(self) -> None:
        """Check choices and bounds.

        Raises:
            ValueError: with the option, its value and what it may be.
        """
        if not ID.fullmatch(self.id):
            raise ValueError(f"id={self.id}: up to 64 letters, digits, dots, dashes and underscores")
        for name, choices in (
            ("kind", KINDS),
            ("discipline", DISCIPLINES),
            ("on_hangup", ON_HANGUP),
            ("demand_distribution", DISTRIBUTIONS),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)}: must be one of {', '.join(choices)}")
        if self.discipline != "fifo" and self.kind != "sleep":
            raise ValueError(f"discipline={self.discipline}: goes with kind=sleep only")
        for name, low, high in (
            ("concurrency", 1, 1024),
            ("queue_limit", 0, 100_000),
            ("speed", 0.01, 100),
            ("replica_noise", 0, 1),
            ("demand_mean_ms", 0.01, MAX_DEMAND_MS),
            ("demand_sigma", 0.01, 3),
            ("weight", 0.001, 1000),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}={getattr(self, name):g}: must be between {low:g} and {high:g}")
