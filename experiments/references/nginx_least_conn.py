"""nginx' `least_conn`."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from experiments.references import Offer, Possible, State, cycle
from experiments.references.nginx_round_robin import smooth


class NginxLeastConn:
    """The least connections / weight; among equals smooth weighted round robin, whose credits only ties change.

    Source: ngx_http_upstream_least_conn_module.c. Of one worker: without a `zone` each has counts of its own. A failure
    lowers the weight by which ties are broken: from the first failed attempt on any of those with the least is right.
    """

    name: ClassVar[str] = "nginx_least_conn"
    draws: ClassVar[bool] = False

    def __init__(self, *, weights: tuple[float, ...]) -> None:
        """`weights` as configured."""
        self._weights = weights
        self._all = tuple(range(len(weights)))

    def begin(self, is_first: bool, is_clean: bool) -> Iterable[State]:
        """At first as after any number of turns among all; later nobody knows who has had turns among a few."""
        if not (is_first and is_clean):
            return (None,)
        return cycle((0.0,) * len(self._weights), lambda state: smooth(state, self._all, self._weights)[1])

    def picks(self, state: State, offer: Offer) -> Sequence[Possible]:
        """The least loaded, or whose turn it is among these."""
        loads = {n: offer.counts[n] / self._weights[n] for n in offer.untried}
        least = min(loads.values())
        equal = [n for n in offer.untried if loads[n] <= least * (1 + 1e-12)]
        if state is None:
            return [(n, 1.0, None) for n in equal]
        if len(equal) == 1:
            return [(equal[0], 1.0, state)]
        replica, after = smooth(state, equal, self._weights)  # type: ignore[arg-type]
        return [(replica, 1.0, after)]

    def finished(self, state: State, replica: int, counts: tuple[int, ...], is_ok: bool | None) -> State:
        """A failure changes how ties are broken."""
        return state if is_ok else None

    def turned(self, state: State, replica: int, is_in: bool, counts: tuple[int, ...]) -> State:
        """Whoever comes back does so after failures."""
        return None
