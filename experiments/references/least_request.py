"""Aegis' `least_request`, by what it is to do: the chances of each replica."""

from collections.abc import Sequence
from math import comb
from typing import ClassVar

from experiments.references import Drawn, Offer, Possible, State


class LeastRequestReference(Drawn):
    """The least (in_flight + 1) / weight of all, or of `choices` drawn without replacement; ties favour nobody.

    services/router/policies/least_request.py. Of k drawn of n, i wins with the chance that all others drawn are above
    it, or that it is the first of those with its load.
    """

    name: ClassVar[str] = "least_request"

    def __init__(self, *, weights: tuple[float, ...], choices: int = 0, error_penalty_s: float = 1.0) -> None:
        """As the policy's own options."""
        if choices != 0 and not 2 <= choices <= 64:
            raise ValueError(f"choices={choices}: must be 0 (all replicas) or between 2 and 64")
        self._weights = weights
        self._choices = choices
        self.penalty_s = error_penalty_s

    def picks(self, state: State, offer: Offer) -> Sequence[Possible]:
        """Exact, by counting the draws."""
        among = offer.untried
        loads = [(offer.counts[n] + 1) / self._weights[n] for n in among]
        drawn = min(self._choices or len(among), len(among))
        draws = comb(len(among), drawn)
        found: list[Possible] = []
        for n, load in zip(among, loads, strict=True):
            ties = loads.count(load)
            above = sum(other > load for other in loads)
            # It is among those drawn with t - 1 others of its load and the rest above: it wins one in t of these.
            chance = sum(
                comb(ties - 1, t - 1) * comb(above, drawn - t) / t for t in range(1, min(ties, drawn) + 1)
            ) / draws  # fmt: skip
            if chance > 0:
                found.append((n, chance, state))
        return found
