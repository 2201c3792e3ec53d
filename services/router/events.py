"""What happens to the fleet: remembered for `/events`, counted for `/metrics`, told in the log."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from services.journal import tell

CAPACITY = 10_000
MAX_TEXT_CHARACTERS = 300
"""Of a detail; what a replica made the client say may be longer."""
KINDS = (
    "registered", "readmitted", "ejected", "draining", "drained", "removed", "expired", "moved", "panic", "panic_over",
)  # fmt: skip
"""What can happen to a replica; `moved`: requests that waited for it in vain were tried elsewhere; by its last two, to
all of them."""
LEAVES = frozenset({"ejected", "expired", "removed"})
"""Upon these, requests wait for it in vain."""
HARMFUL = frozenset({"ejected", "expired", "panic"})
"""What nobody asked for."""


class EventLog:
    """The last events, numbered from 1."""

    def __init__(self, say: Callable[..., None] = tell) -> None:
        """`say` tells each in the log, as `services.journal.tell` does."""
        self._say = say
        self._events: deque[dict[str, Any]] = deque(maxlen=CAPACITY)
        self._last = 0
        self.counts: Counter[str] = Counter()
        """Events by kind, those that are forgotten included."""
        self.on_leave: Callable[[str], object] = lambda _: None
        """Called with the id of a replica that has left the rotation."""

    def emit(self, event: str, replica: str, now: float, **detail: object) -> None:
        """Add one, at `now` on the monotonic clock."""
        self._last += 1
        self.counts[event] += 1
        detail = {k: v[:MAX_TEXT_CHARACTERS] if isinstance(v, str) else v for k, v in detail.items()}
        self._events.append(
            {
                "seq": self._last,
                "monotonic_s": now,
                "unix_s": time.time(),
                "event": event,
                "replica": replica,
                **detail,
            }
        )
        level = logging.WARNING if event in HARMFUL else logging.INFO
        self._say(event, level, replica=replica, **detail)
        if event in LEAVES:
            self.on_leave(replica)

    def since(self, seq: int) -> dict[str, Any]:
        """The events after number `seq`, and the number to ask with next."""
        return {"events": [event for event in self._events if event["seq"] > seq], "next": self._last}
