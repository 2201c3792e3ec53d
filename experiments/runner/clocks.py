"""How far another clock is from this process's monotonic one.

The other clock was read somewhere between question and answer. Held against the middle of the two its offset is known
to half the round trip, however long each way took; of several exchanges the shortest says most. Cristian,
Probabilistic clock synchronization, Distributed Computing 3 (1989), with no least delay assumed.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from record.shapes import ClockEntry

EXCHANGES = 8
"""Questions a clock is asked at a time: enough that one of them meets idle processes."""


@dataclass(frozen=True, slots=True)
class Offset:
    """The other clock minus this one, and how far from that it may be at most; both in seconds."""

    seconds: float
    uncertainty_s: float

    def since(self, earlier: "Offset") -> "Offset":
        """What the offset has changed by."""
        return Offset(self.seconds - earlier.seconds, self.uncertainty_s + earlier.uncertainty_s)


def estimate(exchanges: Sequence[tuple[float, float, float]]) -> Offset:
    """The offset of a clock that was asked at least once.

    Args:
        exchanges: (asked, its reading, answered) in seconds, the first and the last on this process's clock.
    """
    asked, reading, answered = min(exchanges, key=lambda exchange: exchange[2] - exchange[0])
    return Offset(reading - (asked + answered) / 2, (answered - asked) / 2)


def wall_clock() -> Offset:
    """The time of day (seconds since 1970) minus the monotonic clock.

    NTP slews both alike: the difference changes when the time of day is set, or while the machine sleeps.
    """
    return estimate([(time.monotonic(), time.time(), time.monotonic()) for _ in range(EXCHANGES)])


def as_entry(clock: str, at: str, offset: Offset | None) -> ClockEntry:
    """An entry of the manifest's `clocks`, in milliseconds; None = the clock did not answer."""
    known = (None, None) if offset is None else (offset.seconds, offset.uncertainty_s)
    milliseconds = [None if value is None else round(value * 1e3, 6) for value in known]
    return {"clock": clock, "at": at, "offset_ms": milliseconds[0], "uncertainty_ms": milliseconds[1]}
