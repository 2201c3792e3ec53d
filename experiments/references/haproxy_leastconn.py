"""HAProxy's `leastconn`."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from experiments.references import Offer, Possible, State

SCALE = 16
"""What a configured weight counts (BE_WEIGHT_SCALE)."""
MOST = 256 * SCALE
"""The highest weight, so scaled (SRV_EWGHT_MAX)."""
TIES = ("longest", "any")
ANY_SINCE = (3, 2)
"""From this version on ties are broken by chance."""


def key(count: int, weight: float) -> int:
    """A server's place in the tree: (connections + 1) / weight, 0 without any, a whole number.

    Source: lb_fwlc.c (`fwlc_queue_srv`, `fwlc_srv_reposition`) of 2.4 and later.
    """
    return (count + 1) * MOST // int(weight * SCALE) if count else 0


class HaproxyLeastconn:
    """The server with the least key; of equal ones, up to 3.1, the one that has stood there longest.

    A server is put behind its equals whenever its key changes, when a request comes or goes. A state is the order in
    which servers were last put in; those that were not yet are before them, in an order that nobody knows. Since 3.2
    (haproxy 9fe72bba3) equals stand in several lists, one of which is drawn for who comes and for who is taken: any of
    them is right. Of one thread. A retry avoids the server of the attempt before it (`option redispatch 1`).
    """

    name: ClassVar[str] = "haproxy_leastconn"
    draws: ClassVar[bool] = False

    def __init__(self, *, weights: tuple[float, ...], ties: str = "longest") -> None:
        """`weights` as configured; `ties`: `any` since 3.2."""
        if ties not in TIES:
            raise ValueError(f"ties={ties}: must be {' or '.join(TIES)}")
        if any(weight != int(weight) or not 1 <= weight <= 256 for weight in weights):
            raise ValueError("haproxy_leastconn: weights are whole numbers from 1 to 256")
        self._weights = weights
        self._start: State = () if ties == "longest" else None

    def begin(self, is_first: bool, is_clean: bool) -> Iterable[State]:
        """Nobody has been put in yet; who was does not matter where any is right."""
        return (self._start,)

    def _moved(self, state: State, replica: int, before: int, after: int) -> State:
        if state is None or key(before, self._weights[replica]) == key(after, self._weights[replica]):
            return state
        assert isinstance(state, tuple)
        return (*(n for n in state if n != replica), replica)

    def picks(self, state: State, offer: Offer) -> Sequence[Possible]:
        """The first of the tree that is not to be avoided."""
        keys = {n: key(offer.counts[n], self._weights[n]) for n in offer.offered}
        among = [n for n in offer.offered if n not in offer.tried[-1:]] or list(offer.offered)
        least = min(keys[n] for n in among)
        equal = [n for n in among if keys[n] == least]
        if state is not None:
            assert isinstance(state, tuple)
            never = [n for n in equal if n not in state]
            equal = never or [next(n for n in state if n in equal)]
        return [(n, 1.0, self._moved(state, n, offer.counts[n], offer.counts[n] + 1)) for n in equal]

    def finished(self, state: State, replica: int, counts: tuple[int, ...], is_ok: bool | None) -> State:
        """It is put in anew."""
        return self._moved(state, replica, counts[replica] + 1, counts[replica])

    def turned(self, state: State, replica: int, is_in: bool, counts: tuple[int, ...]) -> State:
        """Whoever comes back is put in."""
        if state is None or not is_in:
            return state
        assert isinstance(state, tuple)
        return (*(n for n in state if n != replica), replica)
