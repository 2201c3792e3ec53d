"""A replica by chance, in proportion to its weight."""

from collections.abc import Sequence
from typing import ClassVar

from experiments.references import Drawn, Offer, Possible, State


class RandomReference(Drawn):
    """Blind to load, a retry goes elsewhere: Aegis' `random`, HAProxy's `random(1)`, nginx' `random`."""

    name: ClassVar[str] = "random"

    def __init__(self, *, weights: tuple[float, ...]) -> None:
        """`weights` are the replicas'."""
        self._weights = weights

    def picks(self, state: State, offer: Offer) -> Sequence[Possible]:
        """In proportion to the weights of those that may be asked."""
        total = sum(self._weights[n] for n in offer.untried)
        return [(n, self._weights[n] / total, state) for n in offer.untried]
