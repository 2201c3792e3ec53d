"""Whether what the router tells is news: else it is no reason for anything. Pure."""

import json
from typing import Any

ROUNDING_S = 1e-3
"""So much less is none: it is a sum of figures that are rounded."""


def read(text: str) -> Any:  # noqa: ANN401 - JSON
    """JSON without the NaN and the infinities that Python would take, and that no comparison holds against.

    Raises:
        ValueError: it is none.
    """
    return json.loads(text, parse_constant=_refuse)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


class News:
    """Holds each answer of the router's `/stats` against the one before.

    A router that hangs, or a cache in between, may give the same answer again and again: its counters then say that
    nothing is under way, and a scaler would take everybody away.
    """

    def __init__(self) -> None:
        """There was none before."""
        self._last: tuple[float, float, float] | None = None
        """Of the last one that was news."""

    def check(self, stats: dict[str, Any]) -> None:
        """Refuse what is old, or runs backwards; a router that has begun anew may.

        Raises:
            KeyError, TypeError, ValueError: it is no news; why.
        """
        began, at, work = (float(stats[name]) for name in ("began_s", "monotonic_s", "work_seconds_total"))
        last = self._last
        if last is not None and last[0] == began:
            if at <= last[1]:
                raise ValueError(f"statistics of {at:g} s on its clock, no later than those of the look before")
            if work < last[2] - ROUNDING_S:
                raise ValueError(f"work_seconds_total has gone back from {last[2]:g} to {work:g}")
        self._last = began, at, work
