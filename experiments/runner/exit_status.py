"""How a run and a sweep end, as scripts and DVC's stage read it."""

from collections.abc import Iterable
from enum import IntEnum


class ExitStatus(IntEnum):
    """Of `python -m experiments.run`."""

    COMPLETE = 0
    """Complete, and the measurement is valid."""
    FAILED = 1
    """It failed."""
    WRONG = 2
    """The configuration is wrong; nothing was started."""
    INVALID = 3
    """Complete, but the measurement is not valid."""
    UNMET = 4
    """Complete and valid, but an `expect` did not hold, or cannot be said to."""
    INTERRUPTED = 130
    """Interrupted by SIGINT (128 and its number, as shells say it)."""
    TERMINATED = 143
    """Interrupted by SIGTERM."""

    @classmethod
    def of_all(cls, statuses: Iterable[int]) -> "ExitStatus":
        """A sweep's: failed where one job failed, else invalid where one is, else unmet, else complete."""
        seen = set(statuses)
        return next((status for status in (cls.FAILED, cls.INVALID, cls.UNMET) if status in seen), cls.COMPLETE)
