"""Policies as a proxy's decisions are held against them, one a file: `mine.py` has a class with `name = "mine"`.

A reference is made with the weights of the replicas, in the order of the proxy's configuration; its other keyword
arguments are its options. States are values that can be compared and hashed; None stands for one that nobody knows, and
whoever is picked there is right.

    name, draws            of its file; whether it decides by chance, by what is in flight alone, without a state
    begin(is_first, is_clean)     the states that it may be in: before the first decision that is seen, or anywhere;
                                  if no attempt has failed so far and the rotation never changed, or whatever happened
    picks(state, offer)    who may be picked now, each with its chance (1 where it does not draw) and the state after it
    finished(state, replica, counts, is_ok)     the state once an attempt has ended; `counts` without it; `is_ok` None:
                                  nobody can tell whether it failed, and the state has to hold for both
    turned(state, replica, is_in, counts)       the state once a replica has joined or left the rotation

`penalty_s` (optional): for how long a failed attempt still counts, seconds.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, cast

from services.plugins import Point

REFERENCES = Point(__name__, __path__, "references", "policy", ("begin", "picks", "finished", "turned"), ("draws",))


class Offer(NamedTuple):
    """What a policy may choose from, and by what."""

    offered: tuple[int, ...]
    """Who is in rotation, in the order of the configuration; never empty."""
    tried: tuple[int, ...]
    """Whom the request has been sent to, in that order."""
    counts: tuple[int, ...]
    """Requests in flight, of every replica."""

    @property
    def untried(self) -> tuple[int, ...]:
        """Those offered that the request has not been sent to; all of them where it has been sent to all."""
        return tuple(n for n in self.offered if n not in self.tried) or self.offered if self.tried else self.offered


State = Hashable
Possible = tuple[int, float, State]
"""A replica, the chance that it is picked, the state after that."""


class Reference(Protocol):
    """The shape of every reference."""

    name: ClassVar[str]
    draws: ClassVar[bool]

    def begin(self, is_first: bool, is_clean: bool) -> Iterable[State]:
        """The states that it may be in at a moment before which nothing is known of it."""

    def picks(self, state: State, offer: Offer) -> Sequence[Possible]:
        """Who may be picked."""

    def finished(self, state: State, replica: int, counts: tuple[int, ...], is_ok: bool | None) -> State:
        """The state once an attempt has ended."""

    def turned(self, state: State, replica: int, is_in: bool, counts: tuple[int, ...]) -> State:
        """The state once a replica has joined or left."""


class Drawn:
    """What references that draw have in common: no state."""

    draws: ClassVar[bool] = True

    def begin(self, is_first: bool, is_clean: bool) -> Iterable[State]:
        """One, always."""
        return (0,)

    def finished(self, state: State, replica: int, counts: tuple[int, ...], is_ok: bool | None) -> State:
        """The same."""
        return state

    def turned(self, state: State, replica: int, is_in: bool, counts: tuple[int, ...]) -> State:
        """The same."""
        return state


def create(name: str, weights: Sequence[float], options: dict[str, Any]) -> Reference:
    """The reference `name` for replicas of these weights.

    Raises:
        ValueError: an unknown name or option, or a wrong value; names the choices.
    """
    return cast(Reference, REFERENCES.create(name, options, weights=tuple(weights)))


def anybody(offer: Offer) -> list[Possible]:
    """Everybody, where the state is not known; nor is it afterwards."""
    return [(replica, 1.0, None) for replica in offer.offered]


def cycle(start: Any, step: Any, longest: int = 4096) -> list[Any]:  # noqa: ANN401 - a state and a function of one
    """The states from `start` on by `step`, until one comes again; one that nobody knows where they are too many."""
    known: dict[Any, None] = {}
    state = start
    while state not in known:
        known[state] = None
        if len(known) > longest:
            return [None]
        state = step(state)
    return list(known)
