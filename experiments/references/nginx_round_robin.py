"""nginx' default: smooth weighted round robin."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from experiments.references import Offer, Possible, State, anybody, cycle


def smooth(
    credits: tuple[float, ...], among: Sequence[int], weights: Sequence[float]
) -> tuple[int, tuple[float, ...]]:
    """One turn: each gets its weight, the largest credit wins, the first of equal ones, and pays what all got.

    Source: ngx_http_upstream_round_robin.c (`ngx_http_upstream_get_peer`), since 1.3.1. Weights 5, 1, 1 give
    a a b a c a a.
    """
    changed = list(credits)
    best = among[0]
    for n in among:
        changed[n] += weights[n]
        if changed[n] > changed[best]:
            best = n
    changed[best] -= sum(weights[n] for n in among)
    return best, tuple(changed)


class NginxRoundRobin:
    """One worker's rotation, which starts from credits of 0 and may have had any number of turns before.

    A failure lowers the weight that counts until the server has had some turns (`effective_weight`), by `max_fails`,
    and a server that is left out keeps its credit: from the first failed attempt on it is not judged.
    """

    name: ClassVar[str] = "nginx_round_robin"
    draws: ClassVar[bool] = False

    def __init__(self, *, weights: tuple[float, ...]) -> None:
        """`weights` as configured."""
        self._weights = weights
        self._all = tuple(range(len(weights)))

    def begin(self, is_first: bool, is_clean: bool) -> Iterable[State]:
        """Any turn of the round; nobody knows where there were failures."""
        if not is_clean:
            return (None,)
        return cycle((0.0,) * len(self._weights), lambda state: smooth(state, self._all, self._weights)[1])

    def picks(self, state: State, offer: Offer) -> Sequence[Possible]:
        """The one whose turn it is."""
        if state is None:
            return [(n, 1.0, None) for n in offer.untried]
        if len(offer.offered) < len(self._all):
            return anybody(offer)
        replica, after = smooth(state, offer.untried, self._weights)  # type: ignore[arg-type]
        return [(replica, 1.0, after)]

    def finished(self, state: State, replica: int, counts: tuple[int, ...], is_ok: bool | None) -> State:
        """A failure changes weights."""
        return state if is_ok else None

    def turned(self, state: State, replica: int, is_in: bool, counts: tuple[int, ...]) -> State:
        """Unknown from here on."""
        return None
