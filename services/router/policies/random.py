"""Any replica, by chance."""

import random
from collections.abc import Sequence
from typing import ClassVar

from services.router.policies import Candidate, Outcome, Pick, RequestInfo, drawn


class RandomPick:
    """A candidate with a chance in proportion to its weight, blind to load (Envoy's RANDOM, but for the weights).

    Each replica of n then sees its own 1/n of a Poisson stream: independent queues, the reference for every policy
    that looks at load.
    """

    name: ClassVar[str] = "random"

    def __init__(self, *, rng: random.Random) -> None:
        """`rng` draws."""
        self._rng = rng

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick:
        """One draw, always."""
        u = self._rng.random()
        return Pick(candidates[drawn([candidate.weight for candidate in candidates], u)], "drawn")

    def on_start(self, replica: Candidate, now: float) -> None:
        """Nothing is learnt from it."""

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """Nothing is learnt from it."""
