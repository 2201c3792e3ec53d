"""The replicas of a run: what one can do, and the second tier that those before it call."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from experiments.plan.workload import CallDemandSettings
from services.backend.settings import CHECKS, KINDS, ON_HANGUP, SLOTS
from services.backend.work_queue import DISCIPLINES
from services.bounds import Bounds, Choices
from services.router.settings import RouterSettings

BY_SPEED = "by_speed"
"""Of `replica.weights`."""


@dataclass
class ReplicaConfig:
    """What one replica can do."""

    concurrency: Annotated[int, Bounds(1, 1024)] = 2
    """Requests served at the same time (slots)."""
    queue_limit: Annotated[int, Bounds(0, 100_000)] = 100
    """Requests that may wait; one more is answered 503."""
    speeds: list[float] = field(default_factory=list)
    """One factor a replica (service time = demand / speed); empty = all 1.0. Typed without `replicas`, it says how many
    replicas there are; where that is another number than the scenario's, a line tells."""
    weights: Any = field(default_factory=list)
    """One a replica, its share of the requests relative to the others, as every policy takes it; `by_speed` = the
    speeds; empty = all 1.0."""
    kind: Annotated[str, Choices(*KINDS)] = "sleep"
    """How the demand is spent: `sleep` or `cpu`."""
    discipline: Annotated[str, Choices(*DISCIPLINES)] = "fifo"
    """`fifo`, or `ps`: processor sharing, all requests at once at min(1, slots / requests) of the speed."""
    on_hangup: Annotated[str, Choices(*ON_HANGUP)] = "cancel"
    """Work whose client has hung up is given up (`cancel`), or done for nobody (`finish`)."""
    checks: Annotated[str, Choices(*CHECKS)] = "aside"
    """Health checks are answered at once (`aside`), or stand in the work queue (`queue`)."""


@dataclass
class TierConfig:
    """A second tier: replicas `b1`, `b2`, ... behind a router of their own, called by those that the load is sent to
    (docs/second_tier.md)."""

    replicas: Annotated[int, Bounds(0, 10_000)] = 0
    """How many there are; 0 = there is no second tier."""
    fanout: Annotated[int, Bounds(1, 1000)] = 1
    """Calls that a request makes once its own work is done, side by side; each is a request of its own to the tier's
    router."""
    wait: Annotated[int | None, Bounds(1, 1000)] = None
    """So many calls have to be answered ok before the request goes on: a quorum; the others are cancelled. Unset =
    all."""
    hit_rate: Annotated[float, Bounds(0, 1)] = 0.0
    """Share of the calls that a look-aside cache spares, drawn for each place of each request."""
    slot: Annotated[str, Choices(*SLOTS)] = "held"
    """While the calls are under way the request's slot is `held`, as by a thread, or `free` for another request."""
    timeout_s: Annotated[float, Bounds(0.01, 600)] = 10.0
    """Seconds after which a call is given up."""
    demand: CallDemandSettings = field(default_factory=CallDemandSettings)
    """Of a call."""
    replica: ReplicaConfig = field(default_factory=ReplicaConfig)
    """Of the second tier."""
    policy: dict[str, Any] = field(default_factory=lambda: {"name": "adaptive"})
    """Which of its replicas a call goes to, with that policy's options: `tier.policy.name=round_robin`, or a group's
    file by `+policy@tier.policy=round_robin`."""
    router: RouterSettings = field(default_factory=RouterSettings)
    """Of the second tier; a group's file by `+router@tier.router=no_retries`."""

    @property
    def ids(self) -> list[str]:
        """The ids of its replicas."""
        return [f"b{number}" for number in range(1, self.replicas + 1)]
