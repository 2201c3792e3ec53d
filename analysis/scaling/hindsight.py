"""The best schedule of replicas for whoever knows the whole course of the demand, and what another one cost beside it.

The cost of a schedule is the replica-seconds that are paid, those of starting replicas included, and `price` for every
replica-second that is missing. A start takes `startup_s`; a stop is at once and free, as is the choice of how many
there are at the beginning: so it is a bound that holds for every scaler, whatever it began with.

This is the right-sizing of data centres (Lin, Wierman, Andrew and Thereska, Dynamic Right-Sizing for Power-Proportional
Data Centers, INFOCOM 2011) with the start as its switching cost. Of a cost that is convex in the number of replicas and
a price on its rises, each replica can be taken by itself, the k-th needed wherever the demand is k or more: the levels
of an optimum lie within each other, and their sum is one (the coarea formula; Hochbaum, An efficient algorithm for
image segmentation, Markov random fields and related problems, Journal of the ACM 48, 2001). Alone, each is a ski rental
that knows the winter: there from one change of the demand to the next or not, a start of `startup_s` between. A replica
that is wanted again within less than a start is never stopped, as to keep it costs less than the start itself, so that
every start of an optimum has the time that it takes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.scaling.elasticity import Counts, Seconds

LEVELS = 256
"""So many replicas at a time, to keep the tables of a day small."""


@dataclass(frozen=True)
class Terms:
    """What holds for every schedule of a run."""

    startup_s: float
    """From the moment at which a replica is asked for to that at which it is ready."""
    price: float
    """Replica-seconds that a missing one costs, at least 1: below that nobody would run any."""
    least: int
    """Replicas that there must be."""
    most: int
    """Replicas that there may be."""


@dataclass(frozen=True)
class Cost:
    """What a schedule costs."""

    replica_seconds: float
    """Paid, those that start included."""
    shortage_replica_seconds: float
    """Missing."""
    price: float

    @property
    def total(self) -> float:
        """In replica-seconds."""
        return self.replica_seconds + self.price * self.shortage_replica_seconds


@dataclass(frozen=True)
class Schedule:
    """The best one."""

    ready: Counts
    """Replicas that serve, a row each."""
    starts: int
    cost: Cost


def cost_of(demanded: Counts, ready: Counts, paid: Counts, width_s: Seconds, price: float) -> Cost:
    """What a schedule costs that was played.

    Args:
        demanded: replicas that are needed, shape (n,).
        ready: replicas that serve, shape (n,).
        paid: those and the ones that start, shape (n,).
        width_s: seconds that each row lasts, shape (n,).
        price: of a missing replica-second.
    """
    missing = np.maximum(demanded - ready, 0)
    return Cost(float((paid * width_s).sum()), float((missing * width_s).sum()), price)


def hindsight(demanded: Counts, width_s: Seconds, terms: Terms) -> Schedule:
    """The cheapest schedule; of several that are, the one with the most replicas.

    Args:
        demanded: replicas that are needed, shape (n,), n > 0.
        width_s: seconds that each row lasts, shape (n,).
        terms: its.

    Raises:
        ValueError: the price is below 1, or the bounds leave no number.
    """
    if terms.price < 1 or terms.startup_s < 0 or not 0 <= terms.least <= terms.most:
        raise ValueError(f"{terms}: a price of 1 at least, no negative start, and 0 <= least <= most")
    begins = np.flatnonzero(np.diff(demanded, prepend=demanded[0] - 1))
    needed, length_s = demanded[begins], np.add.reduceat(width_s, begins)
    always = min(terms.most, max(terms.least, int(needed.min())))
    sometimes = np.arange(always + 1, min(terms.most, int(needed.max())) + 1)
    counts = np.full(len(needed), always, np.int64)
    for first in range(0, len(sometimes), LEVELS):
        counts += _is_there(needed, length_s, sometimes[first : first + LEVELS], terms).sum(axis=1)
    ready = np.repeat(counts, np.diff(begins, append=len(demanded)))
    starts = int(np.maximum(np.diff(counts), 0).sum())
    served = cost_of(demanded, ready, ready, width_s, terms.price)
    paid = served.replica_seconds + terms.startup_s * starts
    return Schedule(ready, starts, Cost(paid, served.shortage_replica_seconds, terms.price))


def _is_there(needed: Counts, length_s: Seconds, levels: Counts, terms: Terms) -> NDArray[np.bool_]:
    """Whether each level's replica is there in each stretch of equal demand, shape (stretches, levels).

    The cheapest way to each stretch, with the replica (`there`) and without (`gone`), from the one before; then back.
    """
    there, gone = np.zeros(len(levels)), np.zeros(len(levels))
    was_there = np.empty((2, len(needed), len(levels)), dtype=bool)
    for number, (count, seconds) in enumerate(zip(needed.tolist(), length_s.tolist(), strict=True)):
        started = gone + terms.startup_s
        was_there[1, number], was_there[0, number] = there <= started, there <= gone
        there, gone = (
            np.minimum(there, started) + seconds,
            np.minimum(there, gone) + terms.price * seconds * (levels <= count),
        )
    chosen = np.empty(was_there.shape[1:], dtype=bool)
    state = there <= gone
    for number in range(len(needed) - 1, -1, -1):
        chosen[number] = state
        state = np.where(state, was_there[1, number], was_there[0, number])
    return chosen
