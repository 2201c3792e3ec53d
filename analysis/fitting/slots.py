"""How many slots a host has, by what its services would be if it had so many.

With the right number the implied services (`inversion`) are draws from one distribution; with fewer some are negative,
with more some contain waiting, and their density spreads. The density of the departures under c slots is the product
of the services' densities, so that numbers of slots compare by likelihood. No family is assumed: each host's services
are coded by a histogram over logarithmic cells with the estimator of Krichevsky and Trofimov (The performance of
universal encoding, IEEE Trans. Inf. Theory 27, 1981), which pays for its own parameters. By Gibbs' inequality the
expected score of a wrong number is never above that of the right one.

A number of slots is given up where its likelihood is `ODDS` times smaller than the best one's, and where the
difference, block of time by block of time, is not just one block's (Vuong, Likelihood ratio tests for model selection
and non-nested hypotheses, Econometrica 57, 1989). As many slots as there ever were requests at a host means that
nobody waited: where that number is not given up, there is no upper bound.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from analysis.fitting.inversion import Floats, Ints, Present, presence, services_s

CELLS = 64
"""Of the histogram, over the range of the services' logarithms."""
SHORTEST = 1e-3
"""Services below this share of the median duration count as that long: they are rounding."""
ODDS = 20.0
"""A number of slots that is less likely than the best by this factor is given up."""
WOULD_WAIT = 5
"""Where so few requests would have waited, no larger number of slots is tried but the one with which nobody would."""
AT_ONCE = 32
"""Numbers of slots that are scored in one go, a matter of memory."""
LOOKED_AT = 20_000
"""Requests of a host that numbers of slots are scored by: the busiest stretch of so many. Ten times fewer decide."""
NOISE_Z = 1.0
"""A difference must be so many of its standard errors, as well."""
STRAYS = 0.002
"""Share of requests that may overtake others for no other reason than a clock that jumps."""
MOST_TRIED = 1024
"""Slots of a replica (`replica.concurrency`)."""
BLOCKS = 24
"""Stretches of time over which a difference is looked at."""


@dataclass(frozen=True)
class HostLog:
    """The served requests of one host, in order; shape (n,) each."""

    arrivals_s: Floats
    departures_s: Floats
    found: Ints
    overtaken: Ints

    @property
    def most_present(self) -> int:
        """Requests that were ever at the host at once: with so many slots nobody would have waited."""
        return int(self.found.max()) + 1


class Candidates(NamedTuple):
    """Numbers of slots with what speaks for each."""

    slots: tuple[int, ...]
    scores: Floats
    """Log-likelihood by block of time, shape (BLOCKS, len(slots))."""

    @property
    def total(self) -> Floats:
        """Log-likelihood, shape (len(slots),)."""
        return np.asarray(self.scores.sum(axis=0))

    @property
    def best(self) -> int:
        """The likeliest number of slots."""
        return self.slots[int(self.total.argmax())]

    def kept(self, odds: float = ODDS, noise_z: float = NOISE_Z) -> list[int]:
        """The numbers that are not given up, ascending."""
        against = self.scores - self.scores[:, [int(self.total.argmax())]]
        off = against.sum(axis=0)
        error = against.std(axis=0, ddof=1) * math.sqrt(len(against))
        out = (off < -math.log(odds)) & (off < -noise_z * error)
        return [slots for slots, is_out in zip(self.slots, out, strict=True) if not is_out]


def host_log(arrivals_s: Floats, departures_s: Floats, step_s: float) -> HostLog:
    """Who met whom at a host; arguments as for `presence`, whose order is kept."""
    present: Present = presence(arrivals_s, departures_s, 2 * step_s)
    return HostLog(arrivals_s, departures_s, present.found, present.overtaken)


def least_slots(overtaken: Ints) -> int:
    """Fewer slots than this cannot explain the order of the answers: who has overtaken k has met k + 1 slots."""
    return int(np.quantile(overtaken, 1 - STRAYS, method="lower")) + 1


def candidates(hosts: Sequence[HostLog], step_s: float) -> Candidates:
    """Score the numbers of slots that all hosts may have, up to as many as were ever needed, which stands last: with it
    nobody waits."""
    hosts = [busiest(host) for host in hosts]
    low = max(1, max(least_slots(host.overtaken) for host in hosts) // 2)  # answers that jitter overtake, too
    most = min(MOST_TRIED, max(host.most_present for host in hosts))
    low = min(low, most)
    edges = [cells_of(host, step_s) for host in hosts]
    known: dict[int, Floats] = {}

    def look(slots: list[int]) -> None:
        columns = np.zeros((BLOCKS, len(slots)))
        for host, cells in zip(hosts, edges, strict=True):
            columns += _scores(host, slots, cells)
        for place, each in enumerate(slots):
            known[each] = columns[:, place]

    look([most])
    enough = max(_needed(host.found) for host in hosts)
    for slots in range(low, min(most, enough + 1), AT_ONCE):
        look(list(range(slots, min(most, enough + 1, slots + AT_ONCE))))
    tried = tuple(sorted(known))
    return Candidates(tried, np.stack([known[each] for each in tried], axis=1))


def _needed(found: Ints) -> int:
    """With so many slots `WOULD_WAIT` requests at most would have waited."""
    return int(np.sort(found)[max(0, len(found) - 1 - WOULD_WAIT)]) + 1


def busiest(host: HostLog) -> HostLog:
    """The stretch of `LOOKED_AT` requests that found most at the host."""
    if len(host.found) <= LOOKED_AT:
        return host
    met = np.concatenate([[0], np.cumsum(host.found)])
    begin = int((met[LOOKED_AT:] - met[:-LOOKED_AT]).argmax())
    part = slice(begin, begin + LOOKED_AT)
    return HostLog(host.arrivals_s[part], host.departures_s[part], host.found[part], host.overtaken[part])


def cells_of(host: HostLog, step_s: float) -> Floats:
    """The histogram's edges, seconds: logarithmic, but no cell narrower than the clock's step; mirrored below zero."""
    lasted_s = host.departures_s - host.arrivals_s
    least = max(step_s / 2, SHORTEST * float(np.median(lasted_s)), 1e-9)
    most = max(float(lasted_s.max()) + step_s, 2 * least)
    ratio = (most / least) ** (1 / CELLS)
    edges = [least]
    while edges[-1] < most:
        edges.append(max(edges[-1] * ratio, edges[-1] + step_s) + 1e-12)
    return np.array([*(-edge for edge in reversed(edges)), *edges])


def _scores(host: HostLog, slots: list[int], edges: Floats) -> Floats:
    """Log-likelihood by block, shape (BLOCKS, len(slots))."""
    implied = services_s(host.arrivals_s, host.departures_s, slots)
    return np.stack([coded(implied[:, place], edges) for place in range(len(slots))], axis=1)


def coded(services: Floats, edges: Floats) -> Floats:
    """The log-likelihood of services by their own histogram, block of time by block; shape (BLOCKS,).

    One below zero is what no queue makes. It is coded all the same, since clocks jitter: a few that are small cost
    little, and with too few slots there are many of every length.

    Args:
        services: in the order of time, seconds, shape (n,).
        edges: of the histogram's cells, seconds; what lies beyond them counts to the outer ones.
    """
    count, cells = len(services), len(edges) - 1
    block = np.minimum(BLOCKS - 1, np.arange(count) * BLOCKS // count)
    cell = np.clip(np.searchsorted(edges, services, side="right") - 1, 0, cells - 1)
    weights = np.log((np.bincount(cell, minlength=cells) + 0.5) / (count + cells / 2))
    density = weights[cell] - np.log(np.diff(edges))[cell]
    return np.bincount(block, density, minlength=BLOCKS).astype(np.float64)
