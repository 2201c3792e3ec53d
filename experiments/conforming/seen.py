"""What is known of a proxy's decisions from outside: who was picked, and each moment between two bounds, seconds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple


class Span(NamedTuple):
    """Something happened at some moment from `low` to `high`, seconds."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """One decision, and what became of it."""

    request: int
    number: int
    """From 1 within the request."""
    replica: int
    """Who was picked: its place in `Seen.ids`."""
    picked: Span
    ended: Span
    """When the proxy no longer counted it."""
    is_ok: bool | None = True
    """Whether the proxy took it for answered without an error; None = nobody can tell, as where its client gave up."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A replica came into the rotation, or left it; `is_in` None: from here on nobody can tell."""

    replica: int
    at: Span
    is_in: bool | None


@dataclass
class Seen:
    """All of one proxy's decisions."""

    ids: tuple[str, ...]
    weights: tuple[float, ...]
    attempts: list[Attempt]
    turns: list[Turn] = field(default_factory=list)
    panic: float = 0.0
    """Below this share in rotation the proxy asks all."""
    blind: list[Span] = field(default_factory=list)
    """Requests of which nobody knows whom they went to, from when to when each."""
    gaps: list[Span] = field(default_factory=list)
    """When nobody knows what was in flight, however much; after each it is another state that nobody knows either."""

    def __post_init__(self) -> None:
        """Attempts in the order in which the earliest moment of their decision comes, causes before effects."""
        by_request: dict[int, list[Attempt]] = {}
        for attempt in sorted(self.attempts, key=lambda attempt: attempt.number):
            by_request.setdefault(attempt.request, []).append(attempt)
        self.attempts = [attempt for group in by_request.values() for attempt in _caused(group)]
        self.attempts.sort(key=lambda attempt: (attempt.picked.low, attempt.picked.high))

    def tried(self) -> list[tuple[int, ...]]:
        """Whom each attempt's request had been sent to before, in that order."""
        replicas: dict[int, dict[int, int]] = {}
        for attempt in self.attempts:
            replicas.setdefault(attempt.request, {})[attempt.number] = attempt.replica
        return [
            tuple(replica for number, replica in sorted(replicas[attempt.request].items()) if number < attempt.number)
            for attempt in self.attempts
        ]


def doubts(attempts: Sequence[Attempt], blind: Sequence[Span], hurt: Mapping[int, float], count: int) -> list[Turn]:
    """Of a proxy that does not say whom it takes out, and when: from when on each of `count` replicas may be out.

    From its first attempt on that was not surely good, or from the moment in `hurt`; all from the first request on of
    which nobody knows whom it went to.
    """
    first = dict(hurt)
    for attempt in attempts:
        if attempt.is_ok is not True:
            first[attempt.replica] = min(first.get(attempt.replica, math.inf), attempt.picked.low)
    unknown = min((span.low for span in blind), default=math.inf)
    moments = [(place, min(first.get(place, math.inf), unknown)) for place in range(count)]
    return [Turn(place, Span(at, at), None) for place, at in moments if at < math.inf]


def _caused(attempts: Sequence[Attempt]) -> list[Attempt]:
    """One request's attempts, none of which ends before it began, or begins before the one before it has ended."""
    found: list[Attempt] = []
    earliest = -math.inf
    for attempt, following in zip(attempts, [*attempts[1:], None], strict=True):
        low = max(earliest, attempt.picked.low)
        picked = Span(low, max(low, attempt.picked.high))
        latest = math.inf if following is None else max(low, following.picked.high)
        end = min(max(attempt.ended.low, low), latest)
        ended = Span(end, min(max(attempt.ended.high, end), latest))
        found.append(replace(attempt, picked=picked, ended=ended))
        earliest = end
    return found


def offered(rotation: Sequence[bool], panic: float) -> tuple[int, ...]:
    """Who may be picked of those that are in rotation: all where they are fewer than the share `panic`, or none."""
    among = tuple(n for n, is_in in enumerate(rotation) if is_in)
    return among if among and len(among) >= panic * len(rotation) else tuple(range(len(rotation)))
