"""What a client sends, read as requests: their heads, bodies and ends, and what is wrong with them (RFC 9112)."""

from collections import deque

import httptools

from services.router.wire.bodies import Body
from services.router.wire.heads import is_http, read_request, size_of
from services.router.wire.messages import MAX_HEAD_BYTES, MAX_HEADERS, Header, Request


class Reading:
    """The requests of one connection, as their bytes come; a parser calls what begins with `on_`."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._parser = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        """The one whose bytes are being read."""
        self._waiting: deque[Request] = deque()
        """Those whose heads are here, and that have not begun to be served."""
        self._is_deaf = False
        """Whether nothing more that it sends is looked at."""
        self._headers: list[Header] = []
        self._target = b""
        self._piece = self._line = b""
        """What is read just now; those pieces that hold the first line of the head that is being read."""
        self._is_first = self._is_behind = False
        """Whether a head that begins now begins its piece; whether the one that is being read did not."""
        self._unparsed = 0
        """Bytes since the last head or piece of a body: of half a head, or of what stands between pieces; no fewer."""
        self._too_many = 0
        """How many of those may be another's: half a head came in a piece with the end of what was before it."""
        self._moved = False

    def _read(self, data: bytes) -> None:
        """Read a piece."""
        self._piece = data
        self._is_first = self._request is None
        if self._line and not self._headers:
            self._line += data
        self._moved = False
        self._unparsed += len(data)
        fault: tuple[str, str] | None = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_on(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            fault = self._fault_of(error)
        self._piece = b""
        request = self._request
        if request is None or (self._moved and request.method):
            self._unparsed = self._too_many = 0
        elif self._moved:  # the next head has begun
            self._unparsed = len(data)
            before_line = data.rfind(b"\n") + 1  # what follows is the head's, and the parser has not told of it
            self._too_many = max(0, before_line - size_of(self._headers, self._target))
        elif self._unparsed - self._too_many > MAX_HEAD_BYTES and fault is None:
            fault = ("too_large", f"a head of more than {MAX_HEAD_BYTES} bytes")
        if fault is not None:
            self._is_deaf = True
            self._found_wrong(fault)

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

    def on_message_begin(self) -> None:
        """The first byte of a request; line ends before it are none of it (RFC 9112, section 2.2)."""
        self._request = Request()
        self._headers = []
        self._target = b""
        self._line = self._piece
        self._is_behind, self._is_first = not self._is_first, False

    def on_url(self, target: bytes) -> None:
        """A part of a request's target."""
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
        if (version := parser.get_http_version()) != "1.1":
            request.version = version
        request.keep_alive = parser.should_keep_alive()
        line, self._line = self._line, b""
        if self._unparsed > MAX_HEAD_BYTES and size_of(request.headers, self._target) > MAX_HEAD_BYTES:
            request.fault = ("too_large", f"a head of more than {MAX_HEAD_BYTES} bytes")
        elif request.version != "1.1" and not is_http(line, request.method, self._target, self._is_behind):
            request.fault = ("malformed", "its protocol is not HTTP/1.0 or 1.1")
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
