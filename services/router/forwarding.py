"""Headers on their way through a proxy (RFC 9110, section 7.6)."""

import itertools
import os
import re

from aiohttp import HttpVersion, HttpVersion11, web
from multidict import CIMultiDict, CIMultiDictProxy

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""RFC 9110, section 7.6.1; the other two of HTTP/1.1's, RFC 2616, section 13.5.1."""
_prefix = os.urandom(4).hex()
_numbers = itertools.count(1)
PSEUDONYM = f"aegis-{_prefix}"
"""The router's name in `Via`, this process' own: a request that bears it has been here before."""
VIA = f"1.1 {PSEUDONYM}"
"""Of the router's own answers, and of its health checks."""
AUTHORITY = re.compile("[^/?#]*")
"""Of an absolute URL, what stands before its path (RFC 3986, section 3.2)."""
UNFIT = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
"""What does not pass: control characters, which no field may hold (RFC 9110, section 5.5), and bytes that are no UTF-8,
which aiohttp keeps as lone surrogates and leaves out where it writes them. UTF-8 passes as it came."""


def end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """The headers that go on: none that belong to this hop, named so by `Connection` or by the RFC."""
    dropped = HOP_BY_HOP
    named = headers.getall("Connection", ())
    if named:
        dropped = HOP_BY_HOP | {token.strip().lower() for value in named for token in value.split(",")}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def to_replica(request: web.BaseRequest) -> CIMultiDict[str]:
    """The request headers that a replica gets."""
    headers = request.headers
    passed = end_to_end(headers)
    passed.popall("Expect", None)
    passed["Via"] = passed_via(headers, request.version)
    passed["X-Forwarded-For"] = ", ".join((*headers.getall("X-Forwarded-For", ()), request.remote or "unknown"))
    passed.setdefault("X-Forwarded-Proto", request.scheme)
    if (host := headers.get("Host")) is not None:
        passed.setdefault("X-Forwarded-Host", host)
    if "X-Request-Id" not in passed:
        passed["X-Request-Id"] = f"{_prefix}-{next(_numbers)}"
    return passed


def passed_via(headers: CIMultiDictProxy[str], version: HttpVersion | None) -> str:
    """`Via` with this hop: the protocol in which the message was received, and the pseudonym (RFC 9110, 7.6.3)."""
    major, minor = version or HttpVersion11
    return ", ".join((*headers.getall("Via", ()), f"{major}.{minor} {PSEUDONYM}"))


def was_here(headers: CIMultiDictProxy[str]) -> bool:
    """Whether this router has passed the request on before: a replica of its leads back to it (RFC 9110, 7.6.3)."""
    return any(PSEUDONYM in via for via in headers.getall("Via", ()))


def unfit(headers: CIMultiDictProxy[str], line: str) -> str | None:
    """What of a message cannot be passed on as it is, a few words; None = all can. `line`: of its first line."""
    if UNFIT.search(line + "".join(headers.values())) is None:
        return None
    name = next((name for name, value in headers.items() if UNFIT.search(value)), None)
    where = "the first line" if name is None else f"the header {name[:40]}"
    return f"{where} holds a control character or a byte that is no UTF-8"


def origin_form(target: str) -> str | None:
    """The path and query to ask a replica for, from a request's target (RFC 9112, section 3.2), to the byte.

    None for what is not passed on: CONNECT's `host:port`, and `*`, which asks about the proxy itself.
    """
    if target.startswith("/"):
        return target
    scheme, _, rest = target.partition("://")
    if scheme.lower() not in ("http", "https"):
        return None
    path = rest[len(AUTHORITY.match(rest)[0]) :]  # type: ignore[index] # it matches the empty one, too
    return path if path.startswith("/") else f"/{path}"
