"""Latency that knows failure: a request that was not served ranks behind every one that was.

A refusal in 2 ms is no short wait, and a time-out says no more than that the answer would have come later. So each
that was not answered ok counts as an infinite latency (the worst-rank score of Lachin, Worst-rank score analysis with
informatively missing observations in clinical trials, Controlled Clinical Trials 20, 1999): a quantile is a number
only where all the requests that it rests on were served.
"""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
WHOLE = 9
"""Digits to which a place between two order statistics is rounded: (n - 1) x share has an error of some 1e-13 n."""


def latency_ms(requests: pd.DataFrame) -> pd.Series:
    """Completed - scheduled in milliseconds, however it ended; NaN for a dropped request."""
    return (requests["completed_s"] - requests["scheduled_s"]) * 1e3


def ranked_ms(requests: pd.DataFrame) -> Floats:
    """Latency in milliseconds in the order of the rows, +inf where a request was not served; shape (n,)."""
    # Arrays: a comparison of a pandas column of words costs ten times as much, and a sweep reads a thousand runs.
    served = requests["outcome"].to_numpy(dtype=object) == "ok"
    took_s = requests["completed_s"].to_numpy(dtype="float64") - requests["scheduled_s"].to_numpy(dtype="float64")
    return np.where(served, took_s * 1e3, np.inf)


def quantile(latencies: Floats, share: float) -> float:
    """A quantile, interpolated linearly between order statistics (Hyndman and Fan's type 7).

    Args:
        latencies: milliseconds, +inf where not served, in any order; shape (n,).
        share: 0 to 1.

    Returns:
        +inf where it rests on a request that was not served; NaN of no request.
    """
    return quantiles(latencies, (share,))[0]


def quantiles(latencies: Floats, shares: Iterable[float]) -> list[float]:
    """The same for several shares, sorted once."""
    ordered = np.sort(latencies)
    values = []
    for share in shares:
        if not len(ordered):
            values.append(math.nan)
            continue
        place = float(np.round((len(ordered) - 1) * share, WHOLE))
        below = int(place)
        weight = place - below
        low, high = float(ordered[below]), float(ordered[below + (weight > 0)])
        values.append(low + weight * (high - low) if math.isfinite(high) else math.inf)
    return values


def quantiles_by(latencies: Floats, groups: NDArray[np.int64], count: int, shares: Iterable[float]) -> list[Floats]:
    """The same of each of the groups 0..count-1: an array of shape (count,) a share.

    Args:
        latencies: as for `quantile`.
        groups: the group of each; others than 0..count-1 are passed over.
        count: how many groups there are.
        shares: 0 to 1.
    """
    inside = (groups >= 0) & (groups < count)
    values, groups = latencies[inside], groups[inside]
    ordered = values[np.lexsort((values, groups))]
    sizes = np.bincount(groups, minlength=count)
    some = sizes > 0
    begins = (np.cumsum(sizes) - sizes)[some]
    by_share = []
    for share in shares:
        place = np.round((sizes[some] - 1) * share, WHOLE)
        below = np.floor(place).astype("int64")
        weight = place - below
        low, high = ordered[begins + below], ordered[begins + below + (weight > 0)]
        each = np.full(count, np.nan)
        with np.errstate(invalid="ignore"):  # inf - inf, of which nothing is kept
            each[some] = np.where(np.isfinite(high), low + weight * (high - low), np.inf)
        by_share.append(each)
    return by_share
