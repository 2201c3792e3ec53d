"""When a replica says its word to the router, and which. Pure, for the live replica and the simulated one."""

from typing import Any

from services.backend.settings import DRAIN_S, SETTLE_S

LEASE_S = 3.0
RENEW_S = 1.0
"""A third of the lease: two renewals may be lost."""
CREATED = 201
"""The router's answer about a replica that it did not know."""


class Renewal:
    """What a replica says to its router, and when. Pure."""

    def __init__(self, about: dict[str, Any]) -> None:
        """`about` holds url, weight, concurrency, admin_url."""
        self._about = about
        self.url: str = about["url"]
        self._known = False

    @property
    def is_known(self) -> bool:
        """Whether the router has taken up its registration."""
        return self._known

    def body(self) -> dict[str, Any]:
        """The next word; a renewal says nothing of weight and state, which the router's operator may have changed."""
        about = {"url": self.url} if self._known else {**self._about, "state": "ready"}
        return {**about, "lease_s": LEASE_S}

    def pause_s(self, status: int | None) -> float:
        """Seconds until the next word, after an answer of `status` (None = there was none)."""
        if self._known and status == CREATED:  # the router began anew
            self._known = False
            return 0.0
        self._known = self._known or (status is not None and status < 300)
        return RENEW_S if self._known else RENEW_S / 4

    def farewell(self, longest_s: float) -> dict[str, Any]:
        """Ask the router to send nothing more; what is in flight may take `longest_s` seconds."""
        return {"url": self.url, "lease_s": longest_s + LEASE_S, "state": "draining"}


ASK_S = 0.1
"""Pause between two questions of a replica that drains to its router, seconds."""


class Leaving:
    """When a replica that drains looks whether it may end, so that its router is not asked for nothing. Pure."""

    def __init__(self) -> None:
        """The router has just heard of it."""
        self._ask_at = SETTLE_S

    def looks(self, elapsed_s: float, here: int) -> bool:
        """Whether `may_leave` is to be asked now, with what the router counts; as there, but without that."""
        if elapsed_s >= DRAIN_S:
            return True
        if here or elapsed_s < self._ask_at:
            return False
        self._ask_at = elapsed_s + ASK_S
        return True


def may_leave(elapsed_s: float, here: int, coming: int | None) -> bool:
    """Whether a replica that drains may end. Pure.

    Args:
        elapsed_s: seconds since the router has heard of it.
        here: requests that are here, whose bodies may still be coming.
        coming: requests that the router counts as under way here, of which nothing need have come yet: it connects, or
            waits for its client. None = not known.
    """
    if elapsed_s >= DRAIN_S:
        return True
    return elapsed_s >= SETTLE_S and not here and not coming
