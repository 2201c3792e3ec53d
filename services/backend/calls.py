"""What a replica asks of a second tier for one request: which calls, and when it has enough of their answers. Pure.

A call's id, its demand and whether the cache has its answer are drawn by its place among the request's calls, not by
who makes it: a request that is tried again elsewhere asks the same, under ids of its own.
"""

from dataclasses import dataclass

from services.backend.draws import drawn_ms
from services.backend.faults import FaultSet
from services.backend.settings import ReplicaSettings
from services.draws import uniform

ENOUGH = 200
"""What a gathering ends with that has the answers it needs; else it ends with the status of the failure."""
OVERLOADED = 503
FAILED = 502
"""A call was refused, cut or answered with an error."""
LATE = 504
"""It was not answered in time."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that has to be made."""

    id: str
    key: str | None
    demand_ms: float
    """Of the second tier's replica, at speed 1."""


class Gathering:
    """The answers to one request's calls, as they come in."""

    __slots__ = ("_left", "_needed", "status")

    def __init__(self, needed: int, made: int) -> None:
        """`needed` of the `made` calls have to be answered ok."""
        self._needed = needed
        self._left = made
        self.status: int | None = None
        """How it has ended; None = it has not."""

    def answered(self, status: int) -> bool:
        """A call has ended; returns whether all of them have, for what matters: the others are not waited for."""
        self._left -= 1
        if status < 400:
            self._needed -= 1
        if self._needed <= 0:
            self.status = ENOUGH
        elif self._left < self._needed:
            self.status = status if status in (OVERLOADED, LATE) else FAILED
        return self.status is not None


def wanted(
    settings: ReplicaSettings, request_id: str, attempt: str, key: str | None, active: FaultSet
) -> tuple[list[Wanted], int]:
    """The calls of a request that the cache does not spare, and how many of them have to be answered ok.

    Args:
        settings: the replica's.
        request_id: the request's.
        attempt: its number, from "1" on: the k-th call of the a-th attempt is `<id>.<(a - 1) * fanout + k>`.
        key: the request's; each place has a key of its own.
        active: the replica's faults; `cache_loss` empties the cache.
    """
    fanout, seed = settings.fanout, settings.seed
    needed = settings.wait or fanout
    hit_rate = 0.0 if "cache_loss" in active else settings.hit_rate
    first = (int(attempt) - 1) * fanout if attempt.isdecimal() and len(attempt) < 6 else 0
    calls = []
    for place in range(1, fanout + 1):
        about = f"{request_id}.{place}"
        if hit_rate > 0 and uniform(seed, about, "", "", "cache") < hit_rate:
            needed -= 1
            continue
        demand_ms = drawn_ms(
            settings.call_distribution,
            settings.call_mean_ms,
            settings.call_sigma,
            uniform(seed, about, "", "", "call"),
        )
        id_ = f"{request_id}.{first + place}" if first else about
        calls.append(Wanted(id_, None if key is None else f"{key}.{place}", demand_ms))
    return (calls, needed) if needed > 0 else ([], 0)
