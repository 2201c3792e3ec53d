"""Envoy's LEAST_REQUEST with equal weights: the chances of each host."""

from collections.abc import Sequence
from typing import ClassVar

from experiments.references import Drawn, Offer, Possible, State

REDRAWS = 8
"""`host_selection_retry_max_attempts` of the configurations that Aegis writes (experiments/exporting/envoy.py)."""


def redrawn(chances: dict[int, float], tried: Sequence[int]) -> dict[int, float]:
    """The chances of a retry, by those of one draw: it draws again while it has drawn one of `tried`, `REDRAWS` times.

    Source: Envoy's load_balancer_impl.cc (`chooseHost`): what is left at the last draw is taken as it is.
    """
    again = sum(chance for n, chance in chances.items() if n in tried)
    accepted = sum(again**draw for draw in range(REDRAWS + 1))
    return {n: chance * (again**REDRAWS if n in tried else accepted) for n, chance in chances.items()}


class EnvoyLeastRequest(Drawn):
    """`choices` hosts drawn with replacement, of which the first with the fewest active requests is taken.

    0 = all of them are looked at (`selection_method: FULL_SCAN`), ties drawn evenly. Source: Envoy's
    least_request_lb.cc (`unweightedHostPickNChoices`, `unweightedHostPickFullScan`). With unequal weights it schedules
    by deadlines, weight / (active + 1)^bias, from a random start: what it could not have done is not known here then.
    A request counts once it is on a connection (`rq_active`): at the latest when the host has it. A retry draws anew
    while the host has been tried, `REDRAWS` times (`previous_hosts`), and then takes whomever it drew.
    """

    name: ClassVar[str] = "envoy_least_request"

    def __init__(self, *, weights: tuple[float, ...], choices: int = 2) -> None:
        """`choices`: `choice_count`, 2 by default there; 0 = FULL_SCAN."""
        if len(set(weights)) > 1:
            raise ValueError(
                "envoy_least_request: with unequal weights Envoy schedules from a random start that nobody is told: "
                "give equal weights"
            )
        if choices != 0 and not 2 <= choices <= 64:
            raise ValueError(f"choices={choices}: must be 0 (FULL_SCAN) or between 2 and 64")
        self._choices = choices

    def picks(self, state: State, offer: Offer) -> Sequence[Possible]:
        """Exact: i wins where no draw is below it and it is the first of its load among them."""
        counts = [offer.counts[n] for n in offer.offered]
        once = [self._chance(counts, count) for count in counts]
        chances = redrawn(dict(zip(offer.offered, once, strict=True)), offer.tried)
        return [(n, chance, state) for n, chance in chances.items() if chance > 0]

    def _chance(self, counts: list[int], count: int) -> float:
        """Of one host that has `count`, by symmetry the share of its tie group."""
        ties, above = counts.count(count), sum(other > count for other in counts)
        if self._choices == 0:
            return 1 / ties if count == min(counts) else 0.0
        n = len(counts)
        at_least, higher = ((ties + above) / n) ** self._choices, (above / n) ** self._choices
        return (at_least - higher) / ties
