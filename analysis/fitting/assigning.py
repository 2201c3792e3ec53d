"""How the proxy chose a host: by turns, without looking at load, or by load.

It decides how a fleet may be played. Where load did not matter, the recorded choices can be kept while demands are
drawn anew. A proxy that looks at load would have chosen otherwise: with the recorded choices requests would come to
busy hosts that it had sent elsewhere.
"""

import math
from typing import Literal

import numpy as np

from analysis.fitting.inversion import Floats
from analysis.fitting.log import Log

Assignment = Literal["one host", "by turns", "without load", "by load"]
REGULAR = 0.25
"""Gaps between the requests of a host that vary by less than this share of what chance makes (variance of a geometric
distribution) are turns: not exactly, as a coarse clock and several workers of a proxy mix them up."""
LOOKS_Z = 5.0
"""Standard errors by which chosen hosts must be emptier than hosts are on average."""


def in_flight(log: Log) -> Floats:
    """Requests at every host when each request came, shape (n, hosts); one whose end is not known is not counted."""
    counts = np.empty((len(log), len(log.hosts)))
    known = np.isfinite(log.departures_s)
    for number in range(len(log.hosts)):
        mine = known & (log.host == number)
        began = np.concatenate([[0], np.cumsum(mine)])[:-1]
        ended = np.searchsorted(np.sort(log.departures_s[mine]), log.arrivals_s, side="right")
        counts[:, number] = np.maximum(0, began - ended)
    return counts


def assignment(log: Log) -> Assignment:
    """How hosts were chosen."""
    hosts = len(log.hosts)
    if hosts == 1:
        return "one host"
    if _irregularity(log) <= REGULAR:
        return "by turns"
    there = in_flight(log)
    shares = np.bincount(log.host, minlength=hosts) / len(log)
    less = there[np.arange(len(log)), log.host] - there @ shares
    error = float(less.std()) / math.sqrt(len(less))
    return "by load" if error > 0 and float(less.mean()) < -LOOKS_Z * error else "without load"


def _irregularity(log: Log) -> float:
    """Variance of the gaps, in requests, between those of one host, over what chance makes of them; mean over hosts."""
    found = []
    for number in range(len(log.hosts)):
        gaps = np.diff(np.flatnonzero(log.host == number))
        share = len(gaps) / len(log)
        if len(gaps) > 1 and share < 1:
            found.append(float(gaps.var()) * share**2 / (1 - share))
    return float(np.mean(found)) if found else math.inf
