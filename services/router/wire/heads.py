"""Heads on their way through a proxy, as bytes (RFC 9110, section 7.6; RFC 9112, sections 3 and 6).

What passes does so to the byte, obs-text (0x80 to 0xff) included. Control characters, which no field may hold, are
refused by the parser; where it lets them through, in a reason phrase, they are refused here.
"""

import itertools
import os
import re
import time
from collections.abc import Mapping
from email.utils import formatdate

from services.router.wire.messages import Answer, Header, Message, Request

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110, section 7.6.1; the other two of HTTP/1.1's, RFC 2616, section 13.5.1."""
TO_REPLICA = HOP_BY_HOP | {
    b"content-length",
    b"expect",
    b"host",
    b"via",
    b"x-aegis-attempt",
    b"x-aegis-deadline-ms",
    b"x-aegis-key",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-request-id",
}
"""What is looked at, and written anew where it goes on."""
TRACE = frozenset({b"traceparent", b"tracestate"})
"""W3C Trace Context."""
TO_CLIENT = HOP_BY_HOP | {b"content-length", b"date", b"via", b"x-aegis-attempts", b"x-aegis-router-ms"}
LOOKED_AT = frozenset({b"host", b"connection", b"expect", b"upgrade", b"content-length", b"transfer-encoding"})
NOTHING_NAMED = frozenset({b"close", b"keep-alive", b""})
"""What `Connection` says of the connection itself."""
NOBODY: frozenset[bytes] = frozenset()
_prefix = os.urandom(4).hex()
_numbers = itertools.count(1)
PSEUDONYM = f"aegis-{_prefix}"
"""The router's name in `Via`, this process' own: a request that bears it has been here before."""
VIA = f"1.1 {PSEUDONYM}"
"""Of the router's own answers, and of its health checks."""
AUTHORITY = re.compile(b"[^/?#]*")
"""Of an absolute URL, what stands before its path (RFC 3986, section 3.2)."""
RTSP = frozenset(
    b"DESCRIBE ANNOUNCE SETUP PLAY PAUSE TEARDOWN GET_PARAMETER SET_PARAMETER REDIRECT RECORD FLUSH".split()
)
"""Methods that the parser knows of RTSP only (RFC 2326, section 10)."""
DEADLINE = re.compile(rb"[0-9]{1,10}(\.[0-9]{1,9})?")
MAX_DEADLINE_MS = 86_400_000.0
"""Longest time that a client can say it waits."""
CONTROL = re.compile(b"[\x00-\x08\x0a-\x1f\x7f]")
_PSEUDONYM = PSEUDONYM.encode()
_PASSED = {version: f"{version} {PSEUDONYM}".encode() for version in ("1.0", "1.1")}
"""This hop in `Via`: the protocol in which the message was received, and the pseudonym (RFC 9110, section 7.6.3)."""


def end_of(message: Message) -> tuple[int | None, bool]:
    """The length of a body, where the head tells it, and whether it is chunked (RFC 9112, section 6).

    The parser has refused both at once, a length that is none or stands there twice, and codings after `chunked`.

    Raises:
        ValueError: the body's end is told in a way that the next hop may read differently; the text says how.
    """
    length, chunked = None, False
    for lower, _, value in message.headers:
        if lower == b"content-length":
            value = value.strip()
            if not value.isdigit() or len(value) > 18:
                raise ValueError("Content-Length is no number")
            length = int(value)
        elif lower == b"transfer-encoding":
            if chunked or value.strip().lower() != b"chunked":
                raise ValueError("a Transfer-Encoding other than chunked")
            chunked = True
        elif lower == b"connection" and value.lower() not in NOTHING_NAMED:
            message.names = True
    if chunked and message.version == "1.0":
        raise ValueError("Transfer-Encoding in HTTP/1.0")
    return length, chunked


def size_of(headers: list[Header], first: bytes) -> int:
    """The size of a head whose first line holds `first`, bytes."""
    return len(first) + sum(len(name) + len(value) + 4 for _, name, value in headers)


def is_http(piece: bytes, method: bytes, target: bytes, is_behind: bool) -> bool:
    """Whether a request is of HTTP's, as far as `piece` tells, in which its first line is.

    The parser takes RTSP and ICE, whose first lines look the same, and does not say which it was. `is_behind`: other
    bytes stand before the line, and may look like one; then all that looks like it must be HTTP's.
    """
    if method in RTSP:
        return False
    if not is_behind:
        protocol = piece.split(maxsplit=3)[2:3]
        return not protocol or protocol[0].startswith(b"HTTP/")
    like = re.findall(rb"%b +%b +([A-Z]+)/" % (re.escape(method), re.escape(target)), piece)
    return bool(like) and like.count(b"HTTP") == len(like)


def read_request(request: Request) -> None:
    """Find out how a request ends, and what is wrong with it (`fault`)."""
    hosts, is_framed = 0, False
    for lower, _, value in request.headers:
        if lower not in LOOKED_AT:
            continue
        if lower == b"host":
            hosts += 1
        elif lower == b"connection":
            request.names = request.names or value.lower() not in NOTHING_NAMED
        elif lower == b"expect":
            request.expects = value.strip().lower() == b"100-continue" and request.version == "1.1"
        elif lower == b"upgrade":
            request.asks_upgrade = True
        else:
            is_framed = True
    if request.version not in _PASSED:
        request.fault = ("malformed", "its protocol is not HTTP/1.0 or 1.1")
    elif hosts > 1 or (hosts == 0 and request.version == "1.1"):  # RFC 9112, section 3.2
        request.fault = ("malformed", "there is no Host header" if hosts == 0 else "there are several Host headers")
    try:
        if is_framed:
            length, chunked = end_of(request)
            request.length, request.has_body = length, chunked or bool(length)
    except ValueError as error:
        request.fault = ("malformed", str(error))


def read_answer(answer: Answer, to_head: bool) -> None:
    """Find out how an answer ends; `to_head`: it answers a HEAD.

    Raises:
        ValueError: it cannot be passed on; the text says why.
    """
    if answer.version not in _PASSED:
        raise ValueError("its protocol is not HTTP/1.0 or 1.1")
    if not 200 <= answer.status <= 599:
        raise ValueError(f"the status {answer.status}")
    if CONTROL.search(answer.reason) is not None:
        raise ValueError("the first line holds a control character")
    answer.length, chunked = end_of(answer)
    if to_head or answer.status in (204, 304):  # RFC 9112, section 6.3: whatever its headers say
        answer.has_body = False
    else:
        answer.until_close = answer.length is None and not chunked


def _named(message: Message) -> frozenset[bytes]:
    """What `Connection` names as the hop's own, `close` and the like apart."""
    return _options(message.headers) - NOTHING_NAMED if message.names else NOBODY


def _options(headers: list[Header]) -> frozenset[bytes]:
    """What stands in `Connection`."""
    named: set[bytes] = set()
    for lower, _, value in headers:
        if lower == b"connection":
            named.update(token.strip().lower() for token in value.split(b","))
    return frozenset(named)


def stays_open(answer: Answer) -> bool:
    """Whether the replica keeps its connection after an answer that ends with its head (RFC 9112, section 9.3)."""
    named = _options(answer.headers)
    return b"close" not in named and (answer.version == "1.1" or b"keep-alive" in named)


class Passed:
    """A request's head as replicas get it, all but what differs from attempt to attempt."""

    __slots__ = ("deadline", "head", "host", "id", "key", "was_here")

    def __init__(self, request: Request, target: bytes, peer: bytes, *, is_traced: bool = False) -> None:
        """`target` in origin form; `peer` is the client's address; `is_traced`: each attempt tells its own trace."""
        lines = [request.method, b" ", target, b" HTTP/1.1\r\n"]
        host = proto = forwarded_host = None
        self.id = ""
        self.key: str | None = None
        self.deadline: bytes | None = None
        """What the client has said of how long it waits: see `deadline_s`."""
        self.was_here = False
        """Whether this router has passed the request on before: a replica of its leads back to it."""
        via = forwarded_for = b""
        named = _named(request)
        dropped = TO_REPLICA | named if named else TO_REPLICA
        if is_traced:
            dropped |= TRACE
        for lower, name, value in request.headers:
            if lower not in dropped:
                lines += (name, b": ", value, b"\r\n")
            elif lower == b"host":
                host = value
            elif lower == b"via":
                via += value + b", "
                self.was_here = self.was_here or _PSEUDONYM in value
            elif lower == b"x-forwarded-for":
                forwarded_for += value + b", "
            elif lower in named:
                continue
            elif lower == b"x-forwarded-proto":
                proto = value
            elif lower == b"x-forwarded-host":
                forwarded_host = value
            elif lower == b"x-request-id" and not self.id:
                self.id = value.decode("latin-1")
            elif lower == b"x-aegis-deadline-ms":
                self.deadline = value
            elif lower == b"x-aegis-key" and self.key is None:
                self.key = value.decode("latin-1")
                lines += (name, b": ", value, b"\r\n")
        if not request.target.startswith(b"/"):
            host = authority_of(request.target) or host
        self.host = host
        if not self.id:
            self.id = f"{_prefix}-{next(_numbers)}"
        if host is not None:
            lines += (b"Host: ", host, b"\r\nX-Forwarded-Host: ", forwarded_host or host, b"\r\n")
        if request.length is not None:
            lines.append(b"Content-Length: %d\r\n" % request.length)
        elif request.has_body:
            lines.append(b"Transfer-Encoding: chunked\r\n")
        lines += (
            b"Via: ", via, _PASSED[request.version],
            b"\r\nX-Forwarded-For: ", forwarded_for, peer,
            b"\r\nX-Forwarded-Proto: ", proto or b"http",
            b"\r\nX-Request-Id: ", self.id.encode("latin-1"),
            b"\r\nX-Aegis-Attempt: ",
        )  # fmt: skip
        self.head = b"".join(lines)

    def attempt(self, number: int, authority: bytes, more: Mapping[str, str]) -> bytes:
        """The whole head for attempt `number` at the replica at `authority`, with `more` headers."""
        if more:
            lines = "".join(f"{name}: {value}\r\n" for name, value in more.items()).encode("latin-1")
            host = b"" if self.host is not None else b"Host: %b\r\n" % authority
            return b"%b%d\r\n%b%b\r\n" % (self.head, number, host, lines)
        if self.host is None:  # HTTP/1.0 knows none (RFC 9112, section 3.2)
            return b"%b%d\r\nHost: %b\r\n\r\n" % (self.head, number, authority)
        return b"%b%d\r\n\r\n" % (self.head, number)


def deadline_s(said: bytes) -> float:
    """How long a client waits for its answer, seconds, as it has said in `X-Aegis-Deadline-Ms`.

    Raises:
        ValueError: that is no number, or out of bounds.
    """
    if DEADLINE.fullmatch(said.strip()) is None or float(said) > MAX_DEADLINE_MS:
        raise ValueError(f"X-Aegis-Deadline-Ms: must be milliseconds, a number between 0 and {MAX_DEADLINE_MS:.0f}")
    return float(said) / 1e3


def to_client(answer: Answer, own: bytes, chunked: bool, connection: bytes) -> bytes:
    """An answer's head as the client gets it.

    Args:
        answer: of a replica.
        own: the router's own lines, each with its end.
        chunked: whether the body is sent in chunks.
        connection: the line about the connection, or nothing.
    """
    lines = [b"HTTP/1.1 %d %b\r\n" % (answer.status, answer.reason)]
    dropped = TO_CLIENT
    via, dated = b"", False
    if named := _named(answer):
        dropped = TO_CLIENT | named
    for lower, name, value in answer.headers:
        if lower not in dropped:
            lines += (name, b": ", value, b"\r\n")
        elif lower == b"date":
            lines += (name, b": ", value, b"\r\n")
            dated = True
        elif lower == b"via":
            via += value + b", "
    if answer.length is not None and answer.status != 204:
        lines.append(b"Content-Length: %d\r\n" % answer.length)
    elif chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    if not dated:
        lines.append(date_line())
    lines += (b"Via: ", via, _PASSED[answer.version], b"\r\n", own, connection, b"\r\n")
    return b"".join(lines)


_date_at, _date = -1, b""


def date_line() -> bytes:
    """`Date` for an answer that came without (RFC 9110, section 6.6.1)."""
    global _date_at, _date
    if (now := int(time.time())) != _date_at:
        _date_at, _date = now, f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
    return _date


def origin_form(target: bytes) -> bytes | None:
    """The path and query to ask a replica for, from a request's target (RFC 9112, section 3.2), to the byte.

    A fragment, which no request has (section 3.2.1), is left out, as by Envoy. None for what is not passed on:
    CONNECT's `host:port`, and `*`, which asks about the proxy itself.
    """
    if b"#" in target:
        target = target.partition(b"#")[0]
    if target.startswith(b"/"):
        return target
    scheme, _, rest = target.partition(b"://")
    if scheme.lower() not in (b"http", b"https"):
        return None
    path = rest[len(AUTHORITY.match(rest)[0]) :]  # type: ignore[index] # it matches the empty one, too
    return path if path.startswith(b"/") else b"/" + path


def authority_of(target: bytes) -> bytes:
    """The host and port of a target in absolute form, which go before `Host` (RFC 9112, section 3.2.2)."""
    rest = target.partition(b"://")[2]
    return AUTHORITY.match(rest)[0].rpartition(b"@")[2]  # type: ignore[index] # it matches the empty one, too
