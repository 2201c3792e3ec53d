"""What the router answers by itself, and why."""

import json
from dataclasses import dataclass

from services.router.dispatch import FAILURE_STATUS
from services.router.waiting import UNBOUND_STATUS
from services.router.wire.heads import VIA, date_line

REJECTIONS = {
    **FAILURE_STATUS,
    **UNBOUND_STATUS,
    "client_timeout": 408,
    "malformed": 400,
    "too_large": 431,
    "target": 501,
    "loop": 508,
    "bad_answer": 502,
    "exhausted": 503,
}
"""Why the router answers for itself, with the status that it answers."""
PHRASES = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    508: "Loop Detected",
}
RETRY_AFTER_S = 1


@dataclass(slots=True)
class Failure:
    """Why there is no answer of a replica's to pass on."""

    reason: str
    """A key of `REJECTIONS`."""
    detail: str
    sent: bool
    """Whether any of the request may have reached the replica."""


def own_answer(reason: str, detail: str, own: bytes, connection: bytes, *, to_head: bool = False) -> bytes:
    """An answer of the router's own.

    Args:
        reason: a key of `REJECTIONS`.
        detail: in words.
        own: further header lines, each with its end.
        connection: the line about the connection, or nothing.
        to_head: it answers a HEAD, and has no body.
    """
    status = REJECTIONS[reason]
    body = json.dumps({"error": detail, "reason": reason}).encode()
    retry = b"Retry-After: %d\r\n" % RETRY_AFTER_S if status == 503 else b""
    head = (
        f"HTTP/1.1 {status} {PHRASES[status]}\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nVia: {VIA}\r\n"
    ).encode()
    return b"%b%b%b%b%b\r\n%b" % (head, date_line(), retry, own, connection, b"" if to_head else body)
