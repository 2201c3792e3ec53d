"""HAProxy's `roundrobin`."""

from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple

from experiments.references import Offer, Possible, State, cycle

SCALE = 16
"""What a configured weight counts (BE_WEIGHT_SCALE)."""
MOST = 256 * SCALE
"""The highest weight, so scaled (SRV_EWGHT_MAX)."""
RANGE = 256
"""Steps between two places (SRV_UWGHT_RANGE)."""
FIRST, NOW, NEXT = range(3)
"""The trees: who has not been asked in this round, who will be again in it, who only in the next one."""


class Place(NamedTuple):
    """Where a server stands."""

    tree: int
    key: int
    entered: int
    """Servers of one key are asked in the order in which they came to it."""
    position: int
    rest: int


class Tree(NamedTuple):
    """The group's state."""

    position: int
    places: tuple[Place, ...]


class HaproxyRoundrobin:
    """Servers stand at places of a round that is as long as the sum of weights; each is next asked sum / weight later.

    Source: lb_fwrr.c (`fwrr_get_next_server`, `fwrr_update_position`, `fwrr_queue_srv`). Starts in the order of the
    configuration, heavy ones first; may have had any number of turns before. Of one thread. A server that comes back
    is put in where nobody sees it, and one that is avoided is put in again: from there on it is not judged.
    """

    name: ClassVar[str] = "haproxy_roundrobin"
    draws: ClassVar[bool] = False

    def __init__(self, *, weights: tuple[float, ...]) -> None:
        """`weights` as configured."""
        if any(weight != int(weight) or not 1 <= weight <= 256 for weight in weights):
            raise ValueError("haproxy_roundrobin: weights are whole numbers from 1 to 256")
        is_even = len(set(weights)) == 1  # then the scale only makes the round longer, and not another one
        self._weights = [1 if is_even else int(weight) * SCALE for weight in weights]
        self._total = sum(self._weights)

    def begin(self, is_first: bool, is_clean: bool) -> Iterable[State]:
        """Any turn from the start on; nobody knows where the rotation has changed."""
        if not is_clean:
            return (None,)
        places = tuple(Place(FIRST, MOST - weight, n, 0, 0) for n, weight in enumerate(self._weights))
        return cycle(Tree(self._total, places), lambda state: self._turn(state)[1])

    def _turn(self, tree: Tree) -> tuple[int, Tree]:
        """Who is asked, and the state after it."""
        found = self._first(tree)
        if found is None:
            switched = {NEXT: FIRST, FIRST: NEXT, NOW: NOW}
            tree = Tree(self._total, tuple(place._replace(tree=switched[place.tree]) for place in tree.places))
            found = self._first(tree)
            assert found is not None
        weight, place = self._weights[found], tree.places[found]
        step, rest = divmod(self._total, weight)
        position, rest = (tree.position, rest) if place.tree == FIRST else (place.position, place.rest + rest)
        position += step
        if rest >= weight:
            position, rest = position + 1, rest - weight
        if position >= 2 * self._total:
            kind, position, order = NEXT, position - self._total, MOST - weight
        else:
            kind, order = NOW, RANGE * position + (MOST + rest - weight) // SCALE
        places = list(tree.places)
        places[found] = Place(kind, order, len(places), position, rest)
        entered = sorted(range(len(places)), key=lambda n: places[n].entered)
        ranks = {n: rank for rank, n in enumerate(entered)}
        places = [place._replace(entered=ranks[n]) for n, place in enumerate(places)]
        return found, Tree(tree.position + 1, tuple(places))

    def _first(self, tree: Tree) -> int | None:
        """Whose place has come; else who has not been asked yet, else who stands next."""
        now, first = (
            min((n for n, place in enumerate(tree.places) if place.tree == kind), default=None,
                key=lambda n: (tree.places[n].key, tree.places[n].entered))
            for kind in (NOW, FIRST)
        )  # fmt: skip
        if now is not None and tree.places[now].position <= tree.position:
            return now
        return first if first is not None else now

    def picks(self, state: State, offer: Offer) -> Sequence[Possible]:
        """The one whose turn it is."""
        if state is None or offer.tried or len(offer.offered) < len(self._weights):
            among = [n for n in offer.offered if n not in offer.tried[-1:]] or offer.offered
            return [(n, 1.0, None) for n in among]
        assert isinstance(state, Tree)
        replica, after = self._turn(state)
        return [(replica, 1.0, after)]

    def finished(self, state: State, replica: int, counts: tuple[int, ...], is_ok: bool | None) -> State:
        """Blind to load."""
        return state

    def turned(self, state: State, replica: int, is_in: bool, counts: tuple[int, ...]) -> State:
        """Unknown from here on."""
        return None
