"""Bytes that are nearly HTTP, cut into pieces anywhere, and the wire's two parsers with nothing around them."""

import asyncio
import itertools
from collections.abc import Iterable, Sequence

from hypothesis import strategies as st

from services.router.wire.messages import Answer, Header
from services.router.wire.outbox import Outbox
from services.router.wire.reading import Reading
from services.router.wire.replica import Connection

ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n ", b"")
LINES = (
    b"Host: x", b"Host: y", b"Host:", b"Content-Length: 3", b"Content-Length: 0", b"Content-Length: 03",
    b"Content-Length: +3", b"Content-Length: 3, 3", b"content-length : 3", b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked",
    b"transfer-encoding:\tchunked", b"Transfer-Encoding: chunked, chunked", b"Connection: close",
    b"Connection: keep-alive, x-a", b"Connection: upgrade", b"Upgrade: h2c", b"Expect: 100-continue", b"X-A: b",
    b"X-A: \xff\x80", b"X-A: \x01", b"X-A: a\x00b", b"X-\xff: a", b": a", b"X-A", b"Trailer: X-A", b"TE: trailers",
)  # fmt: skip
REQUESTS = (
    b"GET / HTTP/1.1", b"POST /a HTTP/1.1", b"HEAD /?q HTTP/1.1", b"GET http://h/p HTTP/1.1", b"GET / HTTP/1.0",
    b"GET / RTSP/1.0", b"SOURCE / ICE/1.0", b"GET /", b"OPTIONS * HTTP/1.1", b"CONNECT h:1 HTTP/1.1",
    b"GET  / HTTP/1.1", b"G\x01T / HTTP/1.1", b"GET /\x7f HTTP/1.1", b"PRI * HTTP/2.0", b"GET / HTTP/1.2", b"",
)  # fmt: skip
ANSWERS = (
    b"HTTP/1.1 200 OK", b"HTTP/1.1 204 No", b"HTTP/1.1 304 Not", b"HTTP/1.1 100 Go", b"HTTP/1.1 101 Up",
    b"HTTP/1.0 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 999 X", b"HTTP/1.1 20 X", b"HTTP/1.1 200 a\x01", b"HTTP/2 200 OK",
    b"RTSP/1.0 200 OK", b"ICY 200 OK", b"HTTP/1.1 200 \xff",
)  # fmt: skip
BODIES = (
    b"", b"abc", b"abcGET / HTTP/1.1\r\nHost: x\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"3;a=b\r\nabc\r\n0\r\nX-T: t\r\n\r\n",
    b"3\nabc\n0\n\n", b"3\r\nabcd\r\n0\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n", b"-1\r\n", b"ffffffffffffffff1\r\n", b"0\r\n",
    b"3 \r\nabc\r\n0\r\n\r\n", b"\r\n",
)  # fmt: skip


GOOD = (b"X-A: b\r\n", b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n", b"Content-Length: 0\r\n", b"")
LENGTHS = (b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")


def _messages(first: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """From good ones to nonsense."""
    line = st.tuples(st.sampled_from(LINES), st.sampled_from(ENDS)).map(b"".join)
    ends = st.sampled_from((b"\r\n", b"\r\n", b"\r\n", b"\n", b""))
    bad = st.tuples(
        st.sampled_from(first), st.sampled_from(ENDS), st.lists(line, max_size=5).map(b"".join), ends,
        st.sampled_from(BODIES),
    ).map(b"".join)  # fmt: skip
    begin = st.sampled_from(first[:4]).map(lambda line: line + b"\r\nHost: x\r\n")
    usual = st.tuples(st.sampled_from(LINES), st.just(b"\r\n")).map(b"".join)
    nearly = st.tuples(begin, st.lists(usual, max_size=3).map(b"".join), st.just(b"\r\n"), st.sampled_from(BODIES))
    short = st.tuples(begin, st.sampled_from(GOOD), st.just(b"\r\n"))
    long = st.tuples(begin, st.sampled_from(GOOD[:3]), st.sampled_from(LENGTHS))
    return st.one_of(bad, nearly.map(b"".join), short.map(b"".join), long.map(b"".join))


def _streams(first: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Some messages, and in some a byte or two too many."""
    message = _messages(first)
    wrong = st.tuples(message, st.integers(0, 300), st.binary(min_size=1, max_size=2)).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
    )
    return st.lists(st.one_of(message, message, message, wrong), min_size=1, max_size=3).map(b"".join)


REQUEST_STREAMS = _streams(REQUESTS)
ANSWER_STREAMS = _streams(ANSWERS)
CUTS = st.lists(st.integers(0, 400), max_size=6)


def pieces(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The stream, cut at those places."""
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(stream)}), len(stream)]
    return [stream[begin:end] for begin, end in itertools.pairwise(places) if end > begin]


class Read:
    """What has been read of one message."""

    def __init__(self, first: tuple[bytes | int, ...], headers: list[Header], body: bytes, complete: bool) -> None:
        """`first` is what its first line says."""
        self.told = (first, [(name, value) for _, name, value in headers])
        self.body = body
        self.complete = complete

    def __eq__(self, other: object) -> bool:
        """To the byte."""
        return isinstance(other, Read) and vars(self) == vars(other)

    def __repr__(self) -> str:
        """For a test's report."""
        return f"{self.told} {self.body!r} {self.complete}"


def requests(stream: bytes, cuts: Iterable[int] = ()) -> tuple[list[Read], bool]:
    """The requests that a client's bytes are read as, up to the first that is refused; whether one is."""
    reading = Reading()
    for piece in pieces(stream, cuts):
        if not reading._is_deaf:
            reading._read(piece)
    found = []
    for request in reading._waiting:
        if request.fault is not None:
            return found, True
        first = (request.method, request.target, request.version.encode(), request.keep_alive)
        found.append(Read(first, request.headers, b"".join(request.body), request.complete))
    return found, False


class _Transport(asyncio.Transport):
    closed = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        """A descriptor that is never looked at."""
        return self if name == "socket" else default

    def fileno(self) -> int:
        """Of nobody's file."""
        return 0

    def is_closing(self) -> bool:
        """Whether the connection was given up."""
        return self.closed

    def abort(self) -> None:
        """Give it up."""
        self.closed = True


class _Asker:
    """Asks once, and hears."""

    outbox = Outbox(lambda _: None)

    def gone(self, connection: Connection) -> None:
        """The connection has told."""

    def heard(self) -> None:
        """It is looked at afterwards."""

    def sendable(self) -> None:
        """Nothing is sent."""


def answer(stream: bytes, cuts: Iterable[int] = (), to_head: bool = False) -> tuple[Read | None, str | None, bool]:
    """What a replica's bytes are read as: the answer, why there is none, and whether another one could follow."""
    asker = _Asker()
    connection = Connection(asker, "http://h:1", b"h:1")
    connection.connection_made(_Transport())
    connection.ask(asker, to_head)
    whole: Answer | None = None
    for piece in pieces(stream, cuts):
        connection.data_received(piece)
        whole = connection.answer
        if connection.wrong is not None or (whole is not None and whole.complete):
            break  # the answer's side ends the attempt
    read = None
    if whole is not None:
        first = (whole.status, whole.reason, whole.version.encode())
        read = Read(first, whole.headers, b"".join(whole.body), whole.complete)
    return read, connection.wrong, connection.leave()


