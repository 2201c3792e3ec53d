"""Envoy's RANDOM: every host alike, whatever its weight."""

from collections.abc import Sequence
from typing import ClassVar

from experiments.references import Drawn, Offer, Possible, State
from experiments.references.envoy_least_request import redrawn


class EnvoyRandom(Drawn):
    """A host drawn evenly; a retry draws anew while the host has been tried, and then takes whomever it drew.

    Source: Envoy's random_lb.cc (`peekOrChoose`: a random number modulo the hosts that may be asked), which knows no
    weights; load_balancer_impl.cc (`chooseHost`: `hostSelectionRetryCount` draws more, the last one is taken).
    """

    name: ClassVar[str] = "envoy_random"

    def __init__(self, *, weights: tuple[float, ...]) -> None:
        """`weights` play no part."""

    def picks(self, state: State, offer: Offer) -> Sequence[Possible]:
        """One in so many each, of a first attempt."""
        chances = redrawn({n: 1 / len(offer.offered) for n in offer.offered}, offer.tried)
        return [(n, chance, state) for n, chance in chances.items()]
