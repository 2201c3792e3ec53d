"""The router's memory of what happened, for `/events`."""

import time
from collections import Counter, deque
from typing import Any

CAPACITY = 10_000
MAX_TEXT_CHARACTERS = 300
"""Of a detail; what a replica made the client say may be longer."""
KINDS = ("registered", "readmitted", "ejected", "draining", "drained", "removed", "expired")
"""What can happen to a replica."""


class EventLog:
    """The last events, numbered from 1."""

    def __init__(self) -> None:
        self._events: deque[dict[str, Any]] = deque(maxlen=CAPACITY)
        self._last = 0
        self.counts: Counter[str] = Counter()
        """Events by kind, those that are forgotten included."""

    def emit(self, event: str, replica: str, now: float, **detail: object) -> None:
        """Add one, at `now` on the monotonic clock."""
        self._last += 1
        self.counts[event] += 1
        self._events.append(
            {
                "seq": self._last,
                "monotonic_s": now,
                "unix_s": time.time(),
                "event": event,
                "replica": replica,
                **{k: v[:MAX_TEXT_CHARACTERS] if isinstance(v, str) else v for k, v in detail.items()},
            }
        )

    def since(self, seq: int) -> dict[str, Any]:
        """The events after number `seq`, and the number to ask with next."""
        return {"events": [event for event in self._events if event["seq"] > seq], "next": self._last}
