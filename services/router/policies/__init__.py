"""Balancing policies, one a file: `mine.py` has a class with `name = "mine"`; its keyword arguments are its options.

A policy is a plain object: it is told the time, draws from the generator it was given, and does no I/O.

    pick(candidates, request, now) -> Pick
    on_start(replica, now); on_finish(replica, outcome, latency, now)     exactly once per attempt
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, get_args

from services.plugins import Point

POLICIES = Point(__name__, __path__, "policies", "policy", ("pick", "on_start", "on_finish"))
Outcome = Literal["ok", "error", "overloaded", "cancelled"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


class Candidate(Protocol):
    """What a policy may see of a replica."""

    @property
    def id(self) -> str:
        """Its name, stable over restarts."""

    @property
    def weight(self) -> float:
        """Its share relative to the others, above 0."""

    @property
    def in_flight(self) -> int:
        """Attempts under way through this router."""


@dataclass(slots=True)
class RequestInfo:
    """What a policy may see of a request."""

    id: str
    key: str | None
    attempt: int


@dataclass(slots=True)
class Pick:
    """A choice, and why: `turn`, `least`, `sampled`, `cold`, `only`, `drawn`."""

    replica: Candidate
    reason: str


class Policy(Protocol):
    """The shape of every policy."""

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick:
        """Choose one of `candidates` (never empty); `now` in seconds."""

    def on_start(self, replica: Candidate, now: float) -> None:
        """An attempt at `replica` begins."""

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """It ended after `latency` seconds."""


def two_of(count: int, rng: random.Random) -> tuple[int, int]:
    """Two different numbers below `count` (2 or more), every ordered pair equally likely; two draws, always."""
    first, second = int(rng.random() * count), int(rng.random() * (count - 1))
    return first, second + (second >= first)


def create(name: str, options: dict[str, Any], rng: random.Random) -> Policy:
    """The policy `name` with its options.

    Raises:
        ValueError: an unknown name or option, or a wrong value; names the choices.
    """
    return cast(Policy, POLICIES.create(name, options, rng=rng))
