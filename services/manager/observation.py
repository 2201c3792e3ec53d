"""What a scaler may look at, made of the router's statistics by `deciding`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """What was seen of one replica."""

    id: str
    in_flight: float | None
    """Mean number of requests in flight here since the last look; None = it was not seen, or nothing was before."""
    slots: int | None
    """Requests that it serves at a time; None = nobody knows yet, since it has not registered."""
    ready: bool
    """Whether it is in rotation at this look."""
    rate_rps: float | None = None
    """Requests a second that were sent here since the last look; None likewise."""
    busy: float | None = None
    """Mean number of slots in use since the last look; likewise."""
    cpu: float | None = None
    """CPU cores that its process used between its last two words to the router; None = it has not said it twice."""

    @property
    def queue(self) -> float | None:
        """Mean number of requests that waited here for a slot; None likewise."""
        return None if self.in_flight is None or self.busy is None else self.in_flight - self.busy


@dataclass(frozen=True, slots=True)
class Observation:
    """What a scaler may look at."""

    replicas: Sequence[ReplicaLoad]
    """Those that there are, starting ones too; without those that are drained to be fewer."""
    current: int
    """Replicas that are wanted now."""
    in_flight: float | None
    """Mean number of requests in flight since the last look at all replicas in rotation or draining, those that have
    left meanwhile included: all the work there was, counted once. None = there was no look before, or one that somebody
    else has started has left since."""
    rate_rps: float | None = None
    """Requests a second that were sent to all replicas since the last look, repeated ones too; without those of one
    that has left since. None = there was no look before."""
    startup_s: float | None = None
    """Seconds from a start to rotation, the mean of the last ones; it was asked for at a look and seen at one, so up to
    an interval more than it was. None = nobody has started yet."""
    offered_rps: float | None = None
    """Requests a second that came to the router since the last look, refused ones too; None = there was no look
    before."""
    busy: float | None = None
    """Mean number of slots in use since the last look at those of the manager's in rotation or draining; likewise."""
    cpu: float | None = None
    """CPU cores that those in rotation use; None = one of them has not said it twice."""
    latencies: Mapping[float, int] | None = None
    """Answers since the last look by the upper edge of their latency's bin, milliseconds; None likewise."""
    age_s: float = 0.0
    """How old all these metrics are, seconds."""
    window_s: float | None = None
    """Over how long they were averaged, seconds; None = since the last look."""
    time_factor: float = 1.0
    """So many of the seconds above and of `now` pass in one of the run's, of which all that is counted a second is."""

    @property
    def ready(self) -> int:
        """How many of them are in rotation."""
        return sum(replica.ready for replica in self.replicas)

    @property
    def queue(self) -> float | None:
        """Mean number of requests that waited, for a slot or in the router's line; None = it is not known."""
        return None if self.in_flight is None or self.busy is None else max(0.0, self.in_flight - self.busy)

    @property
    def p95_ms(self) -> float | None:
        """The latency that 95 % of the answers did not exceed, milliseconds, up to 2 % more; None = there was none."""
        return None if self.latencies is None else percentile(self.latencies, 0.95)

    @property
    def slots_each(self) -> float:
        """Slots of a replica, the mean of those in rotation: of one that starts nobody knows yet; 1 where none is."""
        slots = self.slots_ready
        return sum(slots) / len(slots) if slots else 1.0

    @property
    def slots_ready(self) -> list[int]:
        """Slots of each in rotation."""
        return [replica.slots for replica in self.replicas if replica.ready and replica.slots is not None]


def percentile(counts: Mapping[float, int], share: float) -> float | None:
    """The smallest upper edge that `share` of what was counted does not exceed; None = nothing was."""
    wanted = math.ceil(round(share * sum(counts.values()), 6))
    seen = 0
    for edge in sorted(edge for edge, count in counts.items() if count):
        seen += counts[edge]
        if seen >= wanted:
            return edge
    return None
