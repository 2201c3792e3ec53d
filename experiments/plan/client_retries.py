"""What clients do about a request that failed. Light: the generator's processes read it, too."""

from dataclasses import dataclass
from typing import Annotated

from services.bounds import Bounds


@dataclass
class ClientRetrySettings:
    """What clients do about a request that failed."""

    max_attempts: Annotated[int, Bounds(1, 100)] = 1
    """Times that a request is sent at most; 1 = once. It fails if the last one does."""
    attempt_s: Annotated[float | None, Bounds(above=0, most=600)] = None
    """Seconds after which one of them is given up, and the next may follow; unset = `load.timeout_s`, which all of them
    together have."""
    backoff_base_s: Annotated[float, Bounds(0, 60)] = 0.1
    """Longest pause before the second one, seconds; the double before each further. Drawn from 0 to that (full
    jitter)."""
    backoff_max_s: Annotated[float, Bounds(0, 600)] = 10.0
    """No longer pause than this, seconds."""
    budget: Annotated[float | None, Bounds(0, 10)] = None
    """Retries for each request, as a ratio over the last 10 s, of all clients of a generator process; unset = any."""
    post: bool = False
    """A POST request is sent again however it failed. Else only where its connection was refused: nothing was sent."""
