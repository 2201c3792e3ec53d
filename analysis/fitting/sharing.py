"""The other discipline: all requests at a host are served at once, c slots shared among the n of them at min(1, c / n).

A log of such a host can be inverted as well: a request has got what the host gave to each, from its arrival to its
departure. The density of the departures is that of these demands, times the rate at which each request was served when
it ended (the Jacobian; Sutton and Jordan, 2011, section 2, have both disciplines). So a host that shares and one with
a line compare by likelihood, where the tests of `independence` have too few to compare: with slots enough, only the
few moments at which there were more requests than slots tell the two apart.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from analysis.fitting.inversion import Floats, Ints
from analysis.fitting.slots import BLOCKS, Candidates, HostLog, busiest, cells_of, coded

AT_MOST = 64
"""Numbers of slots that are tried."""


class Events(NamedTuple):
    """Arrivals and departures of a host in one order."""

    gaps_s: Floats
    """From each event to the next, seconds, shape (2 n - 1,)."""
    there: Ints
    """Requests at the host after each event, shape (2 n,)."""
    begins: Ints
    """Place of each request's arrival among the events, shape (n,)."""
    ends: Ints
    """Likewise of its departure."""


def events_of(arrivals_s: Floats, departures_s: Floats) -> Events:
    """Order them.

    Args:
        arrivals_s: seconds, shape (n,).
        departures_s: of the same requests, shape (n,).
    """
    count = len(arrivals_s)
    moments = np.concatenate([arrivals_s, departures_s])
    order = np.argsort(moments, kind="stable")
    place = np.empty(2 * count, np.int64)
    place[order] = np.arange(2 * count)
    there = np.cumsum(np.where(order < count, 1, -1))
    return Events(np.diff(moments[order]), there, place[:count], place[count:])


def demands_s(events: Events, slots: int) -> tuple[Floats, Floats]:
    """What each request got, and the rate at which it was served in the end.

    Returns:
        Seconds of service at speed 1, and shares of a slot, above 0 and at most 1; shape (n,) each.
    """
    rate = np.minimum(1.0, slots / np.maximum(1, events.there))
    given = np.concatenate([[0.0], np.cumsum(rate[:-1] * events.gaps_s)])
    return given[events.ends] - given[events.begins], rate[np.maximum(0, events.ends - 1)]


def candidates(hosts: Sequence[HostLog], step_s: float) -> Candidates:
    """Score the numbers of slots that all hosts may share, as `slots.candidates` scores lines; by the same cells."""
    hosts = [busiest(host) for host in hosts]
    most = max(host.most_present for host in hosts)
    tried = tuple(range(1, min(most, AT_MOST) + 1))
    scores = np.zeros((BLOCKS, len(tried)))
    for host in hosts:
        edges, count = cells_of(host, step_s), len(host.arrivals_s)
        events = events_of(host.arrivals_s, host.departures_s)
        block = np.minimum(BLOCKS - 1, np.arange(count) * BLOCKS // count)
        for place, slots in enumerate(tried):
            demands, rates = demands_s(events, slots)
            scores[:, place] += coded(demands, edges) + np.bincount(block, np.log(rates), minlength=BLOCKS)
    return Candidates(tried, scores)
