"""A rate limit: so many a second, and some at once."""


class TokenBucket:
    """So many a second, and `burst` at once."""

    def __init__(self, rate_per_s: float, burst: float) -> None:
        """Full at first."""
        self._rate = rate_per_s
        self._burst = burst
        self._level = burst
        self._at: float | None = None

    def take(self, now: float) -> float:
        """Take one: 0 where there was one, else the seconds until there will be. `now` in seconds, monotonic."""
        elapsed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._at = now
        self._level = min(self._burst, self._level + elapsed * self._rate)
        if self._level >= 1.0:
            self._level -= 1.0
            return 0.0
        return (1.0 - self._level) / self._rate
