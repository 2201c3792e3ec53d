"""The recursion of a first-come-first-served queue the other way round: from departures to the begin of each service.

A queue maps arrivals and services to departures; where it is first come first served that map can be inverted, request
by request: d = s + max(a, moment at which a slot is free) (Sutton and Jordan, Bayesian inference for queueing networks
and modeling of internet services, Annals of Applied Statistics 5, 2011, section 2; the forward recursion is that of
Kiefer and Wolfowitz, On the theory of queues with many servers, 1955). With c slots that moment is the c-th latest of
the departures of those who came before. Its Jacobian is 1: the density of the departures, given the arrivals, is
the product of the densities of the services.
"""

import math
from bisect import bisect_right, insort
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Present(NamedTuple):
    """Who was there with each request, shape (n,) each."""

    found: Ints
    """Requests that had come before and were not answered yet when it came."""
    overtaken: Ints
    """Requests that had come before and were not answered yet when it was answered: fewer than there are slots."""


def presence(arrivals_s: Floats, departures_s: Floats, slack_s: float = 0.0) -> Present:
    """Count them.

    Args:
        arrivals_s: ascending, seconds, shape (n,).
        departures_s: of the same requests, shape (n,).
        slack_s: departures that lie closer together than this are no overtaking: the clock's step.
    """
    ended: list[float] = []  # departures so far, ascending; nearly in order, so that `insort` moves little
    found = np.zeros(len(arrivals_s), np.int64)
    overtaken = np.zeros(len(arrivals_s), np.int64)
    for index, (arrival, departure) in enumerate(zip(arrivals_s.tolist(), departures_s.tolist(), strict=True)):
        found[index] = len(ended) - bisect_right(ended, arrival)
        overtaken[index] = len(ended) - bisect_right(ended, departure + slack_s)
        insort(ended, departure)
    return Present(found, overtaken)


def services_s(arrivals_s: Floats, departures_s: Floats, slots: Sequence[int]) -> Floats:
    """The services that explain the departures, for each number of slots; shape (n, len(slots)), seconds.

    One at or below zero says that there cannot be so few slots, or that the clock is not that good.

    Args:
        arrivals_s: ascending, seconds, shape (n,).
        departures_s: of the same requests, shape (n,).
        slots: how many there may be: ascending, each at least 1.
    """
    low, high = slots[0], slots[-1]
    ended: list[float] = [-math.inf] * high
    latest = []  # of each request the `low`-th to the `high`-th latest departure before it, ascending in time
    for departure in departures_s.tolist():
        latest.append(ended[len(ended) - high : len(ended) - low + 1])
        insort(ended, departure)
    free_s = np.array(latest, np.float64)[:, [high - count for count in slots]]
    return np.asarray(departures_s[:, None] - np.maximum(arrivals_s[:, None], free_s))
