"""Means over windows of time, of looks that are averages themselves. Pure: they are told the time."""

from collections import deque


class TimedMean:
    """What was seen over the last `longest_s` seconds."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._seen: deque[tuple[float, float, float]] = deque()
        """From when to when, and what."""

    def keep(self, longest_s: float) -> None:
        """From now on so many seconds are kept; of what was let go before, nothing comes back."""
        self._longest_s = longest_s

    def add(self, value: float, since: float, now: float) -> None:
        """`value` was the mean from `since` to `now`."""
        self._seen.append((since, now, value))
        while self._seen[0][1] <= now - self._longest_s:
            self._seen.popleft()

    def over(self, window_s: float, now: float) -> float | None:
        """The mean of the last `window_s` seconds, as far as they were seen; None = they were not."""
        begin = now - window_s
        parts = [(until - max(since, begin), value) for since, until, value in self._seen if until > begin]
        length_s = sum(part_s for part_s, _ in parts)
        return sum(part_s * value for part_s, value in parts) / length_s if length_s > 0 else None

    def seen_s(self, window_s: float, now: float) -> float:
        """How much of the last `window_s` seconds was seen."""
        begin = now - window_s
        return sum(until - max(since, begin) for since, until, _ in self._seen if until > begin)
