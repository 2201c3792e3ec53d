"""A rotation in an order that nobody is told: Aegis' `round_robin` with equal weights."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from experiments.references import Offer, Possible, State


class RoundRobinReference:
    """Each once a round, in the order of the first round.

    With equal weights smooth weighted round robin (services/router/policies/round_robin.py) is that, whatever credits
    it starts with. A state is whom the round has had, in order, and whether the first round is over. Once the rotation
    changes, credits decide that nobody knows: from there on it is not judged.
    """

    name: ClassVar[str] = "round_robin"
    draws: ClassVar[bool] = False

    def __init__(self, *, weights: tuple[float, ...]) -> None:
        """`weights` must be equal."""
        if len(set(weights)) > 1:
            raise ValueError("round_robin: the credits that it starts with are not known: give equal weights")
        self._count = len(weights)

    def begin(self, is_first: bool, is_clean: bool) -> Iterable[State]:
        """Nobody has had a turn; nobody knows where the rotation has changed."""
        if not is_clean:
            return (None,)
        return ((),)

    def picks(self, state: State, offer: Offer) -> Sequence[Possible]:
        """Whose turn it is; in the first round all that have not had one."""
        if state is None or offer.tried or len(offer.offered) < self._count:
            return [(n, 1.0, None) for n in offer.untried]
        assert isinstance(state, tuple)
        if len(state) < self._count:
            return [(n, 1.0, (*state, n)) for n in offer.offered if n not in state]
        return [(state[0], 1.0, (*state[1:], state[0]))]

    def finished(self, state: State, replica: int, counts: tuple[int, ...], is_ok: bool | None) -> State:
        """Blind to load."""
        return state

    def turned(self, state: State, replica: int, is_in: bool, counts: tuple[int, ...]) -> State:
        """Unknown from here on."""
        return None
