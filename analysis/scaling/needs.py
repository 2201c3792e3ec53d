"""How long a need for more replicas stood open. Pure."""

from dataclasses import dataclass

import numpy as np

from analysis.scaling.elasticity import Counts, Seconds


@dataclass(frozen=True)
class Needs:
    """Every rise of the demand, in order of time."""

    open_s: Seconds
    """From the rise until as many were ready, until the demand fell below it again, or to the end: seconds, shape (n,);
    0 where they were there."""
    is_met: np.ndarray
    """Whether as many were ready in time, shape (n,)."""


def needs(demanded: Counts, ready: Counts, width_s: Seconds) -> Needs:
    """The rises of a demand, and when the supply covered each.

    A need that stands open at the beginning counts from there.

    Args:
        demanded: replicas that are needed, shape (n,), n > 0.
        ready: replicas that there are, shape (n,).
        width_s: seconds that each row lasts, shape (n,).
    """
    edges_s = np.concatenate([[0.0], np.cumsum(width_s)])
    is_rise = np.diff(demanded, prepend=min(demanded[0], ready[0])) > 0
    rises = np.flatnonzero(is_rise)
    ends = np.empty(len(rises), dtype=np.int64)
    is_met = np.empty(len(rises), dtype=bool)
    for level in np.unique(demanded[rises]):
        of_level = demanded[rises] == level
        closes = np.flatnonzero((ready >= level) | (demanded < level))
        place = np.searchsorted(closes, rises[of_level])
        row = np.append(closes, len(demanded))[place]
        ends[of_level] = row
        is_met[of_level] = np.append(ready >= level, False)[row] & np.append(demanded >= level, False)[row]
    return Needs(edges_s[ends] - edges_s[rises], is_met)
