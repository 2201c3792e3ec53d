"""Whether a change is let in: its token, its page, how many were refused lately. Pure: told the time."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.door.access import TOKEN_VARIABLE, is_authorized, is_loopback
from services.token_bucket import TokenBucket

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, section 9.2.1)."""
REFUSALS_PER_S, REFUSALS_BURST = 10.0, 20.0
"""So many refused changes are told why; those above are told to wait."""
CHANGES_PER_S, CHANGES_BURST = 100.0, 200.0
"""For the ports on which people and runners change things; not for the router's, where leases are renewed."""
MAX_BODY_BYTES = 16_384
"""Largest body of a change."""
BODY_DEADLINE_S = 10.0
"""Longest time for a change's body to come."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a change that is not let in."""

    status: int
    error: str
    retry_after_s: int | None = None
    """Whole seconds, for `Retry-After` (RFC 9110, section 10.2.3)."""

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers."""
        if self.retry_after_s is not None:
            return {"Retry-After": str(self.retry_after_s)}
        return {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}


class Gate:
    """Judges changes.

    What carries the token is let in however many others were refused, so that a guesser cannot keep leases from
    being renewed; the limit bounds what guessers cost, their chance is the token's length. Nothing is kept by sender.
    """

    def __init__(self, *, limits_changes: bool, is_authorized: Callable[[str | None], bool] = is_authorized) -> None:
        """`limits_changes`: whether changes that are let in are counted, too."""
        self._is_authorized = is_authorized
        self._refusals = TokenBucket(REFUSALS_PER_S, REFUSALS_BURST)
        self._changes = TokenBucket(CHANGES_PER_S, CHANGES_BURST) if limits_changes else None

    def judge(self, method: str, authorization: str | None, origin: str | None, now: float) -> Refusal | None:
        """None where the request may go on.

        Args:
            method: of the request; reading ones always may.
            authorization: its Authorization header.
            origin: its Origin header, which browsers send with every change; asked for where there is no token.
            now: seconds, monotonic.
        """
        if method in READING:
            return None
        refusal = None
        if not self._is_authorized(authorization):
            refusal = Refusal(401, f"a bearer token is needed ({TOKEN_VARIABLE})")
        elif origin is not None and self._is_authorized(None) and not is_local_page(origin):
            refusal = Refusal(403, "a page from elsewhere may not change anything here")
        bucket = self._changes if refusal is None else self._refusals
        wait_s = 0.0 if bucket is None else bucket.take(now)
        if wait_s == 0.0:
            return refusal
        return Refusal(429, "too many changes" if refusal is None else "too many refused changes", math.ceil(wait_s))


def is_local_page(origin: str) -> bool:
    """Whether a page was served by this machine: no other site's, and none whose name was bent to this address.

    Without a token, a browser on this machine would otherwise carry changes past the loopback (OWASP, Cross-Site
    Request Forgery Prevention, "Verifying Origin"; DNS rebinding).
    """
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:
        return False
    return is_loopback(host)
