"""Policies with a memory: whether any order that the stamps allow leads to the decisions that were seen.

A world is what may have happened so far: which events are over, and the policy's state after them. From each world
every event goes on that may be next: its earliest moment is not after the latest one of any that is still to come, and
what must come before it has. A decision goes on only where the policy may pick so. Where no world is left, the decision
was impossible, whatever the order: there is no such thing as a false alarm, as long as the stamps hold and the
reference is right. What is never judged: order within one moment, which all worlds have.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from experiments.conforming.seen import Seen, Span, offered
from experiments.references import Offer, Reference, State

MOST_WORLDS = 400
"""Beyond so many the stamps say too little: it goes on from the next moment that none of them spans."""
MOST_ROTATIONS = 64
"""Where so many replicas may be in rotation or out of it that there are more, whoever is picked is right."""
PICK, END, TURN = range(3)


class World(NamedTuple):
    """One of those that may be."""

    first: int
    """All events before it are over."""
    over: int
    """Bits of those from it on that are over, too."""
    state: State
    counts: tuple[int, ...]
    rotation: tuple[bool | None, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    kind: int
    at: Span
    of: int
    """The attempt's or turn's place in `Seen`."""
    after: int
    """The event that comes before it in any order; -1 = none."""


@dataclass(frozen=True)
class Impossible:
    """A decision that could not have been made."""

    attempt: int
    """Its place in `Seen.attempts`."""
    possible: tuple[int, ...]
    """Whom the policy could have picked instead, in any of the orders."""
    counts: tuple[tuple[int, int], ...]
    """The fewest and the most requests in flight, of every replica."""
    out: tuple[int, ...]
    """Who may have been out of rotation."""


@dataclass
class Replayed:
    """What came of it."""

    impossible: list[Impossible]
    judged: int
    """Decisions of which not all would have been right."""
    unjudged: int
    most: int
    """The most worlds at a time."""


def events_of(seen: Seen) -> list[Event]:
    """All events in the order of their earliest moments, with what must come before each."""
    pairs: list[tuple[int, Span, int]] = []
    for n, attempt in enumerate(seen.attempts):
        pairs.append((PICK, attempt.picked, n))
        pairs.append((END, attempt.ended, n))
    pairs += [(TURN, turn.at, n) for n, turn in enumerate(seen.turns)]
    pairs.sort(key=lambda pair: (pair[1].low, pair[0] != PICK, pair[1].high))
    place = {(kind, of): n for n, (kind, _, of) in enumerate(pairs)}
    by_request = {(attempt.request, attempt.number): n for n, attempt in enumerate(seen.attempts)}
    found = []
    for kind, at, of in pairs:
        after = -1
        if kind == END:
            after = place[PICK, of]
        elif kind == PICK:
            attempt = seen.attempts[of]
            before = by_request.get((attempt.request, attempt.number - 1))
            after = -1 if before is None else place[END, before]
        found.append(Event(kind, at, of, after))
    return found


class Replay:
    """One reference over all that was seen."""

    def __init__(self, seen: Seen, reference: Reference) -> None:
        """Nothing has happened yet."""
        self._seen = seen
        self._reference = reference
        self._events = events_of(seen)
        self._blind = (*seen.blind, *seen.gaps)
        self._tried = seen.tried()
        self._is_told: set[int] = set()

    def run(self) -> Replayed:
        """Play all of it."""
        done = Replayed([], 0, 0, 1)
        worlds = set(self._begin(0))
        for layer in range(len(self._events)):
            if not worlds:
                break
            if layer < min(world.first + world.over.bit_count() for world in worlds):
                continue  # it has gone on from a later moment
            if any(self._is_blind(world.first) for world in worlds):
                worlds = set(self._resume(worlds))
                continue
            following: set[World] = set()
            stuck: list[tuple[World, int]] = []
            for world in worlds:
                for place in self._next(world):
                    after = list(self._after(world, place))
                    following.update(after)
                    if not after:
                        stuck.append((world, place))
            done.most = max(done.most, len(following))
            if following and len(following) <= MOST_WORLDS:
                worlds = following
                continue
            if stuck and not following:
                done.impossible.append(self._impossible(stuck))
            worlds = set(self._resume(worlds))
        done.judged = len(self._is_told)
        done.unjudged = len(self._seen.attempts) - done.judged
        return done

    def _begin(self, cut: int) -> Iterator[World]:
        """Where all events before `cut` are over and none of the others has begun."""
        counts = [0] * len(self._seen.ids)
        rotation: list[bool | None] = [True] * len(counts)
        for event in self._events[:cut]:
            if event.kind == TURN:
                turn = self._seen.turns[event.of]
                rotation[turn.replica] = turn.is_in
            else:
                counts[self._seen.attempts[event.of].replica] += 1 if event.kind == PICK else -1
        is_clean = all(
            self._seen.attempts[event.of].is_ok if event.kind == END else event.kind == PICK
            for event in self._events[:cut]
        ) and not any(span.low < self._events[cut].at.low for span in self._blind)
        for state in self._reference.begin(cut == 0, is_clean):
            yield World(cut, 0, state, tuple(counts), tuple(rotation))

    def _resume(self, worlds: set[World]) -> Iterator[World]:
        """From the next moment that no stamp spans, with a state that nobody knows."""
        reached = max(world.first + world.over.bit_length() for world in worlds) + 1
        latest = max((event.at.high for event in self._events[:reached]), default=0.0)
        for cut in range(reached, len(self._events)):
            if latest < self._events[cut].at.low and not self._is_blind(cut):
                return self._begin(cut)
            latest = max(latest, self._events[cut].at.high)
        return iter(())

    def _is_blind(self, place: int) -> bool:
        """Whether something that nobody knows may have come between the event and the one before it, or after it."""
        low, high = self._events[place - 1].at.low if place else -math.inf, self._events[place].at.high
        return any(span.low <= high and span.high >= low for span in self._blind)

    def _next(self, world: World) -> Iterator[int]:
        """The events that may be next."""
        horizon = math.inf
        found = []
        place, over = world.first, world.over
        while place < len(self._events):
            event = self._events[place]
            if event.at.low > horizon:
                break
            if not over & 1:
                horizon = min(horizon, event.at.high)
                found.append(place)
            place, over = place + 1, over >> 1
        for place in found:
            before = self._events[place].after
            is_free = before < world.first or (world.over >> (before - world.first)) & 1
            if self._events[place].at.low <= horizon and is_free:
                yield place

    def _after(self, world: World, place: int) -> Iterator[World]:
        """The worlds after that event; none where the decision is not possible in this one."""
        event = self._events[place]
        first, over = world.first, world.over | 1 << (place - world.first)
        while over & 1:
            first, over = first + 1, over >> 1
        if event.kind == TURN:
            turn = self._seen.turns[event.of]
            rotation = _with(world.rotation, turn.replica, turn.is_in)
            state = None if turn.is_in is None else self._turned(world, turn.replica, turn.is_in)
            yield World(first, over, state, world.counts, rotation)
            return
        attempt = self._seen.attempts[event.of]
        if event.kind == END:
            counts = _with(world.counts, attempt.replica, world.counts[attempt.replica] - 1)
            state = self._finished(world, attempt.replica, counts, attempt.is_ok)
            yield World(first, over, state, counts, world.rotation)
            return
        counts = _with(world.counts, attempt.replica, world.counts[attempt.replica] + 1)
        for state, replicas in self._possible(world, event.of):
            if attempt.replica in replicas:
                yield World(first, over, state, counts, world.rotation)

    def _finished(self, world: World, replica: int, counts: tuple[int, ...], is_ok: bool | None) -> State:
        return None if world.state is None else self._reference.finished(world.state, replica, counts, is_ok)

    def _turned(self, world: World, replica: int, is_in: bool) -> State:
        return None if world.state is None else self._reference.turned(world.state, replica, is_in, world.counts)

    def _possible(self, world: World, attempt: int) -> Iterator[tuple[State, tuple[int, ...]]]:
        """Who may be picked, by the state that it leads to."""
        unknown = [n for n, is_in in enumerate(world.rotation) if is_in is None]
        if 2 ** len(unknown) > MOST_ROTATIONS:
            yield from ((None, (n,)) for n in range(len(world.rotation)))
            return
        free: set[int] = set()
        for guess in product((True, False), repeat=len(unknown)):
            rotation = [bool(is_in) for is_in in world.rotation]
            for n, is_in in zip(unknown, guess, strict=True):
                rotation[n] = is_in
            offer = Offer(offered(rotation, self._seen.panic), self._tried[attempt], world.counts)
            found = self._reference.picks(world.state, offer)
            for replica, _, state in found:
                free.add(replica)
                yield state, (replica,)
        if len(free) < len(world.rotation):
            self._is_told.add(attempt)

    def _impossible(self, stuck: list[tuple[World, int]]) -> Impossible:
        """The decision at which the last worlds ended: of several the one that could wait least."""
        place = min((place for _, place in stuck), key=lambda place: (self._events[place].at.high, place))
        attempt = self._events[place].of
        worlds = [world for world, at in stuck if at == place]
        possible = {n for world in worlds for _, replicas in self._possible(world, attempt) for n in replicas}
        columns = list(zip(*(world.counts for world in worlds), strict=True))
        out = tuple(n for n in range(len(columns)) if any(not world.rotation[n] for world in worlds))
        return Impossible(attempt, tuple(sorted(possible)), tuple((min(c), max(c)) for c in columns), out)


def _with(values: tuple, place: int, value: object) -> tuple:  # type: ignore[type-arg]
    """The same with another value at one place."""
    return (*values[:place], value, *values[place + 1 :])
