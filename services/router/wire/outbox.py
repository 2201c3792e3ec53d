"""What is written in one turn of the event loop is sent at its end, in one go.

A write wakes whoever waits for it at the other end. On a busy router that is most of what a write costs: between two
writes lies the next request's computing, so that each peer has gone back to sleep before the next write comes, and the
core's caches have been the kernel's. Written together, one wake-up serves many (measured in docs/policies.md; Envoy
leaves its writes for the end of a turn, too: `ConnectionImpl::write` activates a write event).
"""

import asyncio
from collections.abc import Callable

LARGE_BYTES = 16_384
"""A piece of this size is written at once, so that a peer that does not read is felt before more is read for it. Of
smaller ones a connection has one a turn: a read that does not fill its buffer ends the connection's turn (libuv)."""


class Outbox:
    """The writes of one turn, in their order."""

    __slots__ = ("_call_soon", "_waiting")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """`call_soon` of the loop: called back once the turn is over."""
        self._call_soon = call_soon
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write at the end of the turn, after what is to be written already."""
        waiting = self._waiting
        if len(data) >= LARGE_BYTES:
            self.flush()
            transport.write(data)
            return
        if not waiting:
            self._call_soon(self.flush)
        waiting.append((transport, data))

    def flush(self) -> None:
        """Write now: before a connection is closed, or looked at for what it has not sent."""
        waiting = self._waiting
        if not waiting:
            return
        self._waiting = []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)
