"""One client's connection: requests in, one at a time, and answers out.

What a client sends ahead (RFC 9112, section 9.3.2) is read no further than one piece, and waits for its turn.
"""

import asyncio
import time
from collections import deque
from typing import Protocol, cast

import httptools

from services.router.wire.bodies import Body, is_readable
from services.router.wire.deadline import Deadline
from services.router.wire.heads import read_request, too_large
from services.router.wire.messages import MAX_HEAD_BYTES, MAX_HEADERS, Header, Request
from services.router.wire.seam import Exchange

KEEPALIVE_S = 75.0
"""An idle connection of a client is closed after so long (nginx's default)."""
LINGER_S = 0.5
"""A client that may send no more reads its answer for so long, which a reset would take from it (RFC 9112, 9.6)."""
MAX_LINGER_BYTES = 1 << 20
"""So much of what it still sends is thrown away meanwhile; then it is cut off."""
GRACE_S = 0.02
"""What lies in a socket when a time-out is due is read first; this is how long that may take."""
MAX_KEPT_BYTES = 65_536
"""Of a body that is passed on in pieces, so much waits here; then the client is read no further."""


class House(Protocol):
    """What a connection needs to know of the place it comes to."""

    head_s: float
    """How long a head may take from its first byte on, seconds."""

    def arrived(self, now: float) -> float:
        """When bytes were there that are read at `now`."""

    def connected(self, now: float) -> float:
        """When a client was there that is let in at `now`."""

    def let_in(self, client: "Client") -> bool:
        """A client has connected; False where it has been turned away."""

    def left(self, client: "Client") -> None:
        """It is gone."""

    def begin(self, client: "Client", request: Request, began: float) -> None:
        """Serve a request whose bytes were there at `began`: the client's `exchange`, until it is `done`."""

    def refusal(self, reason: str, detail: str) -> bytes:
        """The answer to what is no request."""


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        """Nothing has come yet."""
        self._house = house
        self._loop = loop
        self.deadline = Deadline(loop, self._expired)
        self.transport: asyncio.Transport = None  # type: ignore[assignment] # as soon as it is made
        self.peer = b"unknown"
        self._parser = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        """The one whose bytes are being read."""
        self._headers: list[Header] = []
        self._target = b""
        self._waiting: deque[Request] = deque()
        self.exchange: Exchange | None = None
        self._unparsed = 0
        """Bytes since the last head or piece of a body: of half a head, or of what stands between pieces."""
        self._moved = False
        self._is_paused = False
        self.is_full = False
        """Whether it does not read as fast as it is written to."""
        self._is_deaf = False
        """Whether nothing more that it sends is looked at."""
        self._is_lingering = False
        self._began = 0.0
        """When the first byte of the head was there that is being read, or the connection was made in a late turn."""
        self._made_at = 0.0
        self._polled = False

    # -- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.peer = str(peer[0]).encode()
        self._made_at = time.monotonic()
        self._began = self._house.connected(self._made_at)
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

    def resume_writing(self) -> None:
        """It has read."""
        self.is_full = False
        if self.exchange is not None:
            self.exchange.drained()

    # -- requests in

    def data_received(self, data: bytes) -> None:
        """Read what has come, and begin with a request that is whole enough."""
        if self._is_deaf:
            self._unparsed += len(data)
            if self._is_lingering and self._unparsed > MAX_LINGER_BYTES:
                self.transport.abort()
            return
        had_none = self._request is None and not self._unparsed
        if had_none:
            self._head_begins()
        self._moved = False
        self._unparsed += len(data)
        fault: tuple[str, str] | None = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_on(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            fault = self._fault_of(error)
        if self._moved:
            self._unparsed = 0
        elif self._unparsed > MAX_HEAD_BYTES and fault is None:
            fault = ("too_large", f"a head of more than {MAX_HEAD_BYTES} bytes")
        if fault is not None:
            self._is_deaf = True
            self._found_wrong(fault)
        if self.exchange is not None:
            self.exchange.more()
        elif self._waiting:
            self._next()
        elif had_none and self._unparsed:
            self.deadline.set(time.monotonic() + self._house.head_s)
        if len(self._waiting) and not self._is_paused:
            self.pause()

    def _head_begins(self) -> None:
        now = time.monotonic()
        if now - self._made_at > GRACE_S or self._began == self._made_at:
            self._began = self._house.arrived(now)
        self._made_at = 0.0

    def _fault_of(self, error: Exception) -> tuple[str, str] | None:
        if isinstance(error.__context__, ValueError):  # raised by a callback below
            return ("too_large", str(error.__context__))
        last = self._waiting[-1] if self._waiting else None
        if self._request is None and last is not None and last.complete and not last.keep_alive:
            return None  # after its last request nothing is looked at
        return ("malformed", str(error))

    def _found_wrong(self, fault: tuple[str, str]) -> None:
        """What is being read is no request: tell who reads its body, or put it at the end of what waits."""
        request = self._request
        if request is None or request.complete:
            request = Request()
            self._waiting.append(request)
        elif request.fault is None and not request.method:  # its head is not whole
            self._waiting.append(request)
        if request.fault is None:
            request.fault = fault

    def on_url(self, target: bytes) -> None:
        """A part of a request's target; the first one begins the request."""
        if self._request is None:
            self._request = Request()
            self._headers = []
            self._target = target
        else:
            self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; after the head it is one that follows the body, and not passed on (RFC 9110, section 6.5.1)."""
        self._headers.append((name.lower(), name, value))
        if len(self._headers) > MAX_HEADERS:
            raise ValueError(f"more than {MAX_HEADERS} headers")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        request, parser = self._request, self._parser
        if request is None:
            raise ValueError("a head without a target")
        request.target = self._target
        request.headers, self._headers = self._headers, []
        request.method = parser.get_method()
        request.version = parser.get_http_version()
        request.keep_alive = parser.should_keep_alive()
        if too_large(request.headers, self._target, self._unparsed):
            request.fault = ("too_large", f"a head of more than {MAX_HEAD_BYTES} bytes")
        else:
            read_request(request)
        if request.fault is not None:
            request.keep_alive = False
        self._waiting.append(request)
        self._moved = True

    def on_body(self, piece: bytes) -> None:
        """A piece of a body."""
        request = self._request
        if request is None:
            return
        request.body.append(piece)
        request.kept_bytes += len(piece)
        self._moved = True

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._request is not None:
            self._request.complete = True
            self._request = None
        self._moved = True

    def _read_on(self, rest: bytes) -> None:
        """After `Upgrade`, which is not made, the parser reads no body, and nobody knows what follows: it is the last.

        A body is read by a new parser, which is told of its length only.
        """
        request = self._waiting[-1]
        request.asks_upgrade, request.keep_alive = True, False
        if not request.has_body or request.fault is not None:
            self._is_deaf = True
            return
        request.complete = False
        length = b"Transfer-Encoding: chunked" if request.length is None else b"Content-Length: %d" % request.length
        self._request = request
        self._parser = httptools.HttpRequestParser(Body(self.on_body, self.on_message_complete))
        try:
            self._parser.feed_data(b"POST / HTTP/1.1\r\nConnection: close\r\n%b\r\n\r\n" % length)
            self._parser.feed_data(rest)
        except httptools.HttpParserError as error:
            if not request.complete and (fault := self._fault_of(error)) is not None:
                request.fault = fault

    def _next(self) -> None:
        """Serve the next request that is here."""
        request = self._waiting.popleft()
        now = time.monotonic()
        began, self._began = self._began, now  # the next one that is here has waited for this one
        self._polled = False
        self.deadline.clear()
        if request.fault is not None and not request.method:
            self._is_deaf = True
            self.transport.write(self._house.refusal(*request.fault))
            self.linger()
            return
        if request.expects and request.has_body and not request.complete:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._house.begin(self, request, began)

    def pause(self) -> None:
        """Read no further for now."""
        if not self._is_paused and not self.transport.is_closing():
            self._is_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._is_paused and not self._waiting and not self.transport.is_closing():
            self._is_paused = False
            self.transport.resume_reading()

    def has_news(self) -> bool:
        """Whether something of the client's lies in the socket, unread."""
        return not self._is_paused and is_readable(self.transport)

    # -- answers out

    def done(self, request: Request, *, keep: bool) -> None:
        """The answer has been written; `keep`: the connection stays, as the answer has said."""
        self.exchange = None
        if self.transport.is_closing():
            return
        if not keep:
            unread = not request.complete or bool(self._waiting)
            self._is_deaf = True
            self._waiting.clear()
            if unread:
                self.linger()
            else:
                self.deadline.clear()
                self.transport.close()
            return
        self._began = now = time.monotonic()  # what is here of the next one has waited for this one, not for the router
        self.deadline.set(now + (self._house.head_s if self._unparsed else KEEPALIVE_S))
        if self._waiting:
            self._loop.call_soon(self._go_on)
        else:
            self.resume()

    def _go_on(self) -> None:
        if self.exchange is None and self._waiting and not self.transport.is_closing():
            self._next()
        self.resume()

    def linger(self) -> None:
        """Say that the answer was the last word, and let the client read it."""
        self._is_deaf = self._is_lingering = True
        self._waiting.clear()
        if self.transport.is_closing():
            return
        self.resume()
        self.transport.write_eof()
        self.deadline.set(time.monotonic() + LINGER_S)

    def abort(self) -> None:
        """Cut it off: what has been sent is not the whole."""
        self.exchange = None
        self._is_deaf = True
        self.transport.abort()

    def close_idle(self) -> None:
        """Close it unless it is being served."""
        if self.exchange is None:
            self.transport.close()

    def _expired(self) -> None:
        if self._is_lingering:
            self.transport.abort()
        elif self.exchange is not None:
            self.exchange.expired()
        elif not self._polled and self.has_news():  # the loop was late, not the client
            self._polled = True
            self.deadline.set(time.monotonic() + GRACE_S)
        elif self._unparsed:
            self.transport.write(self._house.refusal("client_timeout", f"no head within {self._house.head_s:g} s"))
            self.linger()
        else:
            self.transport.close()
