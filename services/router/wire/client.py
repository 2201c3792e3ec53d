"""One client's connection: requests in, one at a time, and answers out.

What a client sends ahead (RFC 9112, section 9.3.2) is read no further than one piece, and waits for its turn.
"""

import asyncio
import time
from typing import Protocol, cast

from services.router.wire.bodies import has_hung_up, is_readable
from services.router.wire.closing import Farewell, Unread, cut, reset
from services.router.wire.deadline import Deadline
from services.router.wire.messages import Request
from services.router.wire.outbox import Outbox
from services.router.wire.reading import Reading
from services.router.wire.seam import Exchange

KEEPALIVE_S = 75.0
"""An idle connection of a client is closed after so long (nginx's default)."""
GRACE_S = 0.02
"""What lies in a socket when a time-out is due is read first; this is how long that may take."""
MAX_KEPT_BYTES = 65_536
"""Of a body that is passed on in pieces, so much waits here; then the client is read no further."""


class House(Protocol):
    """What a connection needs to know of the place it comes to."""

    head_s: float
    """How long a head may take from its first byte on, seconds."""
    idle_s: float
    """How long a client may read nothing of what it has been written, seconds."""
    outbox: Outbox
    """Of all clients."""

    def arrived(self, now: float) -> float:
        """When bytes were there that are read at `now`."""

    def connected(self, now: float) -> float:
        """When a client was there that is let in at `now`."""

    def let_in(self, client: "Client") -> bool:
        """A client has connected; False where it has been turned away."""

    def left(self, client: "Client") -> None:
        """It is gone."""

    def begin(self, client: "Client", request: Request, began: float) -> None:
        """Serve a request whose head was there at `began`: the client's `exchange`, until it is `done`."""

    def refusal(self, reason: str, detail: str) -> bytes:
        """The answer to what is no request."""


class Client(Reading, asyncio.Protocol):
    """One connection."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        """Nothing has come yet."""
        super().__init__()
        self._house = house
        self._loop = loop
        self.deadline = Deadline(loop, self._expired)
        self.transport: asyncio.Transport = None  # type: ignore[assignment] # as soon as it is made
        self.peer = b"unknown"
        self.exchange: Exchange | None = None
        self._is_paused = False
        self.is_full = False
        """Whether it does not read as fast as it is written to."""
        self._unread: Unread = None  # type: ignore[assignment] # as soon as it has to read first
        self._farewell: Farewell | None = None
        self._free_at = 0.0
        """Since when what has come of the next request waits for nobody else."""
        self._made_at = self._let_in_at = 0.0
        self._polled = False

    # -- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.peer = str(peer[0]).encode()
        self._made_at = time.monotonic()
        self._let_in_at = self._house.connected(self._made_at)
        if self._house.let_in(self):
            self.deadline.set(self._made_at + KEEPALIVE_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._is_deaf = True
        self.deadline.close()
        self._house.left(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.gone()
        self._waiting.clear()
        self._parser = self._request = None  # type: ignore[assignment] # a circle of references less

    def pause_writing(self) -> None:
        """So much is written that the client has to read first."""
        self.is_full = True
        if self.exchange is not None:
            self.exchange.full()
        elif self._farewell is None:
            self._stall(time.monotonic())

    def resume_writing(self) -> None:
        """It has read."""
        self.is_full = False
        if self.exchange is not None:
            self.exchange.drained()
        elif self._farewell is None:
            self._free_at = now = time.monotonic()
            self._wait(now)
            self._go_on()

    # -- requests in

    def data_received(self, data: bytes) -> None:
        """Read what has come, and begin with a request that is whole enough."""
        if self._is_deaf:
            if self._farewell is not None:
                self._farewell.received(len(data))
            return
        now = time.monotonic() if self.exchange is None else 0.0
        had_none = self._request is None
        self._read(data)
        if self.exchange is not None:
            self.exchange.more()
        elif self._waiting:
            if not self.is_full:
                self._next(self._arrived(now))
        elif had_none and self._request is not None:
            self.deadline.set(now + self._house.head_s)
        if len(self._waiting) and not self._is_paused:
            self.pause()

    def _arrived(self, now: float) -> float:
        """When the piece was there that is read at `now`."""
        made_at, self._made_at = self._made_at, 0.0
        if now - made_at > GRACE_S or self._let_in_at == made_at:
            return self._house.arrived(now)
        return self._let_in_at  # in a late turn

    def _next(self, began: float) -> None:
        """Serve the next request that is here; it has waited for the router since `began`."""
        request = self._waiting.popleft()
        self._polled = False
        self.deadline.clear()
        if request.fault is not None and not request.method:
            self._is_deaf = True
            self.write(self._house.refusal(*request.fault))
            self.linger()
            return
        if request.fault is None and request.expects and request.has_body and not request.complete:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._house.begin(self, request, began)

    def pause(self) -> None:
        """Read no further for now."""
        if not self._is_paused and not self.transport.is_closing():
            self._is_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on; but nothing new from a client that has to read first."""
        if self.is_full and self.exchange is None:
            return
        if self._is_paused and not self._waiting and not self.transport.is_closing():
            self._is_paused = False
            self.transport.resume_reading()

    def has_news(self) -> bool:
        """Whether something of the client's lies in the socket, unread."""
        return not self._is_paused and is_readable(self.transport)

    def has_hung_up(self) -> bool:
        """Whether it has while it was read no further; then it is cut off, and its exchange hears of it."""
        if not self._is_paused or not has_hung_up(self.transport):
            return False
        self.transport.abort()
        return True

    # -- answers out

    def write(self, data: bytes) -> None:
        """Write a part of an answer, with this turn's others."""
        self._house.outbox.write(self.transport, data)

    def done(self, request: Request, *, keep: bool) -> None:
        """The answer has been written; `keep`: the connection stays, as the answer has said."""
        self.exchange = None
        if self.transport.is_closing():
            return
        if not keep:
            unread = not request.complete or bool(self._waiting)
            if unread:
                self.linger()
            else:
                self._close()
            return
        self._free_at = now = time.monotonic()
        if self.is_full:
            self._stall(now)
            return
        self._wait(now)
        if self._waiting:
            self._loop.call_soon(self._go_on)
        else:
            self.resume()

    def _stall(self, now: float) -> None:
        """Nothing of it is served or read until it has read."""
        self.pause()
        self._unread = Unread(self.transport, now)
        self.deadline.set(now + self._house.idle_s)

    def _wait(self, now: float) -> None:
        """What is not here of the next request has its time from now on."""
        self.deadline.set(now + (self._house.head_s if self._unparsed else KEEPALIVE_S))

    def _go_on(self) -> None:
        if self.exchange is None and self._waiting and not self.is_full and not self.transport.is_closing():
            self._next(self._free_at)
        self.resume()

    def linger(self) -> None:
        """Say that the answer was the last word, and let the client read it."""
        if not self.transport.is_closing():
            self._is_paused = False
            self._end().linger()

    def _close(self) -> None:
        """Close, when all has been written."""
        self._end().close()

    def _end(self) -> Farewell:
        self._house.outbox.flush()
        self._is_deaf = True
        self._waiting.clear()
        if self._farewell is None:
            self._farewell = Farewell(self.transport, self.deadline, self._house.idle_s)
        return self._farewell

    def abort(self) -> None:
        """Cut it off: what has been sent is not the whole."""
        self.exchange = None
        self._is_deaf = True
        reset(self.transport)

    def close_idle(self) -> None:
        """Close it unless it is being served."""
        if self.exchange is None:
            self._close()

    def cut(self) -> None:
        """Close it whatever becomes of its answer."""
        self._house.outbox.flush()
        if self.exchange is not None:
            reset(self.transport)
        else:
            cut(self.transport)

    def _expired(self) -> None:
        if self._farewell is not None:
            self._farewell.expired()
        elif self.exchange is not None:
            self.exchange.expired()
        elif self.is_full:
            now = time.monotonic()
            if self._unread.unmoved_s(now) < self._house.idle_s:  # it reads, if slowly
                self.deadline.set(now + self._house.idle_s)
            else:
                self.abort()
        elif not self._polled and self.has_news():  # the loop was late, not the client
            self._polled = True
            self.deadline.set(time.monotonic() + GRACE_S)
        elif self._unparsed:
            self.write(self._house.refusal("client_timeout", f"no head within {self._house.head_s:g} s"))
            self.linger()
        else:
            self._close()
