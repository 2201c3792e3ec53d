"""What a replica can be told, with defaults, units and bounds."""

from dataclasses import dataclass
from typing import Annotated

from services.backend.work_queue import DISCIPLINES
from services.bounds import Bounds, Choices, hold
from services.door.access import ID

MAX_DEMAND_MS = 60_000.0
"""Longest service demand of a request; a longer one is answered 422."""
MAX_DEADLINE_MS = 86_400_000.0
"""Longest time that a request can say it is waited for; a longer one is answered 422."""
KINDS = ("sleep", "cpu")
ON_HANGUP = ("cancel", "finish")
CHECKS = ("aside", "queue")
PARENT_S = 0.5
"""How often a replica looks whether its parent is still there, seconds."""
DRAIN_S = 5.0
"""Longest wait for requests in flight after SIGTERM, seconds."""
SETTLE_S = 0.1
"""Shortest wait after SIGTERM: requests of those that ask a replica directly may be on their way, seconds."""
DISTRIBUTIONS = ("exponential", "lognormal", "constant")
SLOTS = ("held", "free")


@dataclass(frozen=True)
class ReplicaSettings:
    """One replica."""

    id: str = "r1"
    concurrency: Annotated[int, Bounds(1, 1024)] = 2
    """Slots: requests served at the same time."""
    queue_limit: Annotated[int, Bounds(0, 100_000)] = 100
    """Requests that may wait; one more is answered 503 at once."""
    speed: Annotated[float, Bounds(0.01, 100)] = 1.0
    """Service time = demand / speed."""
    kind: Annotated[str, Choices(*KINDS)] = "sleep"
    """`sleep` waits the demand out, `cpu` burns it."""
    discipline: Annotated[str, Choices(*DISCIPLINES)] = "fifo"
    """`fifo`: a line before the slots; `ps`: processor sharing (kind `sleep` only)."""
    on_hangup: Annotated[str, Choices(*ON_HANGUP)] = "cancel"
    """What becomes of work whose client has hung up: `cancel` frees the slot, `finish` works on for nobody."""
    checks: Annotated[str, Choices(*CHECKS)] = "aside"
    """How a health check is answered: `aside`, at once, or as the work is (`queue`): behind what stands in line.
    It takes no slot's time; where the line is full it fails."""
    seed: int = 0
    replica_noise: Annotated[float, Bounds(0, 1)] = 0.0
    """Probability that an attempt's demand is drawn anew instead of taken from the request."""
    demand_mean_ms: Annotated[float, Bounds(0.01, MAX_DEMAND_MS)] = 50.0
    """Mean of a drawn demand (no header, or noise), milliseconds."""
    demand_distribution: Annotated[str, Choices(*DISTRIBUTIONS)] = "exponential"
    demand_sigma: Annotated[float, Bounds(0.01, 3)] = 1.0
    """Standard deviation of the logarithm; lognormal only."""
    weight: Annotated[float, Bounds(0.001, 1000)] = 1.0
    """Announced to the router."""
    fanout: Annotated[int, Bounds(0, 1000)] = 0
    """Calls that a request makes of a second tier; 0 = none."""
    wait: Annotated[int, Bounds(0, 1000)] = 0
    """How many of them have to be answered ok before the request goes on: a quorum; 0 = all."""
    hit_rate: Annotated[float, Bounds(0, 1)] = 0.0
    """Share of the calls that a look-aside cache spares."""
    slot: Annotated[str, Choices(*SLOTS)] = "held"
    """While a request waits for its calls, its slot is `held`, as a thread is, or `free` for another one."""
    call_timeout_s: Annotated[float, Bounds(0.01, 600)] = 10.0
    """A call is given up after so many seconds."""
    call_mean_ms: Annotated[float, Bounds(0.01, MAX_DEMAND_MS)] = 50.0
    """Mean of a call's demand, milliseconds."""
    call_distribution: Annotated[str, Choices(*DISTRIBUTIONS)] = "exponential"
    call_sigma: Annotated[float, Bounds(0.01, 3)] = 1.0
    """Standard deviation of the logarithm; lognormal only."""

    def validate(self) -> None:
        """Check choices and bounds.

        Raises:
            ValueError: with the option, its value and what it may be.
        """
        if not ID.fullmatch(self.id):
            raise ValueError(f"id={self.id}: up to 64 letters, digits, dots, dashes and underscores")
        hold(self)
        if self.discipline != "fifo" and self.kind != "sleep":
            raise ValueError(f"discipline={self.discipline}: goes with kind=sleep only")
        self.check_calls()

    def check_calls(self) -> None:
        """What does not go with calls of a second tier.

        Raises:
            ValueError: with the option, its value and what it may be.
        """
        if self.wait > self.fanout:
            raise ValueError(f"wait={self.wait}: must be at most fanout={self.fanout}, the calls that there are")
        if self.fanout and self.slot == "held":
            for option, only in (("kind", "sleep"), ("discipline", "fifo"), ("checks", "aside")):
                if (value := getattr(self, option)) != only:
                    raise ValueError(f"{option}={value}: must be {only} where slots are held, or slot=free")
