"""Envoy's ROUND_ROBIN with equal weights."""

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar

from experiments.references import Offer, Possible, State, anybody

REDRAWS = 8
"""As `envoy_least_request` has it."""


class EnvoyRoundRobin:
    """An index that begins anywhere and grows by one a pick, modulo the number of hosts that may be asked.

    Source: Envoy's load_balancer_impl.h (`RoundRobinLoadBalancer::unweightedHostPick`, `rr_indexes_`, `seed_`). With
    unequal weights it schedules by deadlines from a random start, which is not known here. A retry that falls on a host
    that has been tried takes the next one, up to `REDRAWS` times (`previous_hosts`).
    """

    name: ClassVar[str] = "envoy_round_robin"
    draws: ClassVar[bool] = False

    def __init__(self, *, weights: tuple[float, ...]) -> None:
        """`weights` must be equal."""
        if len(set(weights)) > 1:
            raise ValueError(
                "envoy_round_robin: with unequal weights Envoy schedules from a random start that nobody is told: "
                "give equal weights"
            )
        self._round = math.lcm(*range(1, len(weights) + 1))
        """After so many picks the index is the same for any number of hosts."""

    def begin(self, is_first: bool, is_clean: bool) -> Iterable[State]:
        """Any index."""
        return range(self._round)

    def picks(self, state: State, offer: Offer) -> Sequence[Possible]:
        """The one whose turn it is."""
        if state is None:
            return anybody(offer)
        assert isinstance(state, int)
        for steps in range(REDRAWS + 1):
            replica = offer.offered[(state + steps) % len(offer.offered)]
            if replica not in offer.tried or steps == REDRAWS:
                break
        return [(replica, 1.0, (state + steps + 1) % self._round)]

    def finished(self, state: State, replica: int, counts: tuple[int, ...], is_ok: bool | None) -> State:
        """Blind to load."""
        return state

    def turned(self, state: State, replica: int, is_in: bool, counts: tuple[int, ...]) -> State:
        """The index stays."""
        return state
