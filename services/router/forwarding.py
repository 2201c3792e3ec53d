"""Headers on their way through a proxy (RFC 9110, section 7.6)."""

import itertools
import os

from aiohttp import HttpVersion, HttpVersion11, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

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
PSEUDONYM = "aegis"
"""The router's name in `Via`."""
VIA = f"1.1 {PSEUDONYM}"
"""Of the router's own answers."""

_prefix = os.urandom(4).hex()
_numbers = itertools.count(1)


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


def origin_form(target: str) -> str | None:
    """The path and query to ask a replica for, from a request's target (RFC 9112, section 3.2).

    None for what is not passed on: CONNECT's `host:port`, and `*`, which asks about the proxy itself.
    """
    if target.startswith("/"):
        return target
    try:
        url = URL(target, encoded=True)
    except ValueError:
        return None
    return url.raw_path_qs if url.scheme in ("http", "https") else None
