"""A time-out that costs nothing while it is moved: its timer stays, and looks when it fires what is due by then."""

import asyncio
import time
from collections.abc import Callable


class Deadline:
    """Calls back once a moment has come; the moment may be changed for every request of a connection."""

    __slots__ = ("_armed", "_callback", "_handle", "_loop", "at")

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        """No moment is set."""
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None
        self._armed = 0.0
        self.at: float | None = None
        """When it calls back, on the monotonic clock; None = never."""

    def set(self, at: float) -> None:
        """Call back at that moment, and at no other."""
        self.at = at
        if self._handle is None:
            self._arm(at)
        elif at < self._armed:
            self._handle.cancel()
            self._arm(at)

    def clear(self) -> None:
        """Do not call back."""
        self.at = None

    def close(self) -> None:
        """Leave no timer behind."""
        self.at = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, at: float) -> None:
        self._armed = at
        self._handle = self._loop.call_later(max(0.0, at - time.monotonic()), self._fire)

    def _fire(self) -> None:
        self._handle = None
        if self.at is None:
            return
        if time.monotonic() < self.at:
            self._arm(self.at)
            return
        self.at = None
        self._callback()
