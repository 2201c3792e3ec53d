"""How late the event loop is, and since when bytes that are read only now have been there.

A timer is set every `BEAT_S`; what it is late by is the loop's lag: time in which nothing was read, for want of the
CPU, or because something else was computed. The kernel does not say when bytes came. While the timer is overdue, the
loop has not looked at its sockets since the moment it was due, give or take a beat: what is read then is taken to have
been there since. That is at most one stall too early (for bytes that came at its very end), and at most one beat too
late (for those that came at its beginning). Where the loop runs its timers before it looks at its sockets, as uvloop
does, a late beat holds until it has looked at them once.
"""

import asyncio
import time
from collections.abc import Callable

BEAT_S = 0.02
"""Between two beats, seconds: 50 a second cost about a thousandth of a core."""
SLACK_S = 0.002
"""Lateness that means nothing: uvloop's timers count whole milliseconds, and fire up to one late."""
WINDOW_S = 1.0
"""`recent_s` is the worst of the last one to two windows."""


class Heartbeat:
    """Measures the lag of the running loop."""

    def __init__(self, observe: Callable[[float], None] = lambda _: None) -> None:
        """`observe` is told the lag of every beat, seconds."""
        self._loop = asyncio.get_running_loop()
        self._observe = observe
        self._due = time.monotonic() + BEAT_S + SLACK_S
        self._handle = self._loop.call_later(BEAT_S, self._beat)
        self._window_at = time.monotonic()
        self._windows = (0.0, 0.0)
        self._since: float | None = None
        """Since when nothing was read that is read in this turn."""
        self._new_since: float | None = None
        """Since when nobody was let in who is let in in this turn."""
        self.worst_s = 0.0
        """The largest lag since the beginning, seconds."""
        self.total_s = 0.0
        """All lags, seconds."""

    def _beat(self) -> None:
        now = time.monotonic()
        lag = max(0.0, now - self._due)
        self._due = now + BEAT_S + SLACK_S
        self._handle = self._loop.call_later(BEAT_S, self._beat)
        self.total_s += lag
        self.worst_s = max(self.worst_s, lag)
        before, current = self._windows
        if now - self._window_at >= WINDOW_S:
            self._window_at, before, current = now, current, 0.0
        self._windows = (before, max(current, lag))
        self._observe(lag)
        if lag > 0:
            self._since = since = now - lag
            self._loop.call_soon(self._loop.call_soon, self._looked, since)  # the second of two turns follows a look

    def _looked(self, since: float) -> None:
        """What had come is read; who had come is let in with this turn. It may be late, too: then it has its own."""
        if self._since == since:
            self._since = None
        self._new_since = since
        self._loop.call_soon(self._let_in, since)

    def _let_in(self, since: float) -> None:
        if self._new_since == since:
            self._new_since = None

    @property
    def recent_s(self) -> float:
        """The largest lag of the last seconds."""
        return max(self._windows)

    def missed_s(self, now: float) -> float:
        """All lags until `now`, the one that is going on included, seconds."""
        return self.total_s + max(0.0, now - self._due)

    def arrived(self, now: float) -> float:
        """When bytes were there that are read at `now`: the same, unless the loop is late."""
        if self._since is not None:
            return self._since
        return now if now < self._due else self._due

    def connected(self, now: float) -> float:
        """When a client was there that is let in at `now`."""
        return self.arrived(now) if self._new_since is None else self._new_since

    def stop(self) -> None:
        """Leave no timer behind."""
        self._handle.cancel()
