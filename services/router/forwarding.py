"""Headers on their way through a proxy (RFC 9110, section 7.6)."""

import itertools
import os

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
VIA = "1.1 aegis"

_prefix = os.urandom(4).hex()
_numbers = itertools.count(1)


def end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """The headers that go on: none that belong to this hop, named so by `Connection` or by the RFC."""
    dropped = HOP_BY_HOP
    named = headers.getall("Connection", ())
    if named:
        dropped = HOP_BY_HOP | {token.strip().lower() for value in named for token in value.split(",")}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def to_replica(headers: CIMultiDictProxy[str], client: str | None, scheme: str) -> CIMultiDict[str]:
    """The request headers that a replica gets."""
    passed = end_to_end(headers)
    passed.popall("Expect", None)
    passed["Via"] = _appended(passed.popall("Via", ()), VIA)
    passed["X-Forwarded-For"] = _appended(passed.popall("X-Forwarded-For", ()), client or "unknown")
    passed.setdefault("X-Forwarded-Proto", scheme)
    if (host := headers.get("Host")) is not None:
        passed.setdefault("X-Forwarded-Host", host)
    if "X-Request-Id" not in passed:
        passed["X-Request-Id"] = f"{_prefix}-{next(_numbers)}"
    return passed


def _appended(values: list[str] | tuple[()], value: str) -> str:
    return ", ".join((*values, value))
