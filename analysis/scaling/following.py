"""How far two courses of replicas are apart, and why: a run's and its twin's, who decided on the same load. Pure.

One replica apart is what a decision at another moment of the same second makes. Where they are further apart each
second has one reason, the first of `REASONS` that holds.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from record.latency import Floats

ALLOWED = 1.0
"""So many replicas apart are none."""
SEEN_S = 5
"""The work that a scaler decided on is taken to be that of so many seconds."""
OTHER_WORK = 0.1
"""A mean that differs by more than this share is other work: the tolerance within which scalers decide nothing."""
REASONS = ("moments", "starts", "work", "memory")
"""`moments`: the same was wanted up to `shift_s` earlier or later. `starts`: as many are wanted, but their starts or
ends took another time. `work`: other work was in flight. `memory`: none of these now; what was decided before still
holds, in windows and by replicas that are there."""


@dataclass(frozen=True)
class Following:
    """Two courses, second by second."""

    seconds: int
    """That both know."""
    desired_within: int
    """Seconds of these in which what is wanted differs by one replica at most."""
    ready_within: int
    """Likewise, of those in rotation."""
    within: int
    """Both."""
    most_apart: int
    """The largest difference of what is wanted."""
    reasons: Counter[str]
    """Seconds further apart, by why."""

    def __add__(self, other: "Following") -> "Following":
        """Of several runs."""
        return Following(
            self.seconds + other.seconds,
            self.desired_within + other.desired_within,
            self.ready_within + other.ready_within,
            self.within + other.within,
            max(self.most_apart, other.most_apart),
            self.reasons + other.reasons,
        )


def following(first: pd.DataFrame, second: pd.DataFrame, shift_s: int, since_s: float = 0.0) -> Following | None:
    """Two timelines of one schedule against each other; None where they share no second.

    Args:
        first: a row a second, as `analysis.metrics.timeline.build` returns it.
        second: likewise.
        shift_s: a number that was wanted so many seconds earlier or later was wanted at another moment.
        since_s: seconds before are left out.
    """
    count = min(len(first), len(second))
    wanted, ready, work = (_both(first, second, name, count) for name in ("desired", "ready", "in_flight"))
    known = np.isfinite(wanted).all(axis=0) & np.isfinite(ready).all(axis=0) & (np.arange(count) >= since_s)
    if not known.any():
        return None
    wanted_apart = _apart(wanted) & known
    ready_apart = _apart(ready) & known
    apart = wanted_apart | ready_apart
    was_apart = np.convolve(wanted_apart, np.ones(shift_s + 1), "full")[:count] > 0
    is_shifted = was_apart & _is_shifted(wanted, shift_s) & _is_shifted(ready, shift_s)
    checks = {"moments": is_shifted, "starts": ~wanted_apart, "work": _is_other(work)}
    left, reasons = apart.copy(), Counter[str]()
    for reason in REASONS:
        found = left & checks.get(reason, left)
        reasons[reason] = int(found.sum())
        left &= ~found
    differences = np.abs(wanted[0] - wanted[1])[known]
    return Following(
        int(known.sum()),
        int((known & ~wanted_apart).sum()),
        int((known & ~ready_apart).sum()),
        int((known & ~apart).sum()),
        int(differences.max()),
        +reasons,
    )


def _both(first: pd.DataFrame, second: pd.DataFrame, name: str, count: int) -> Floats:
    """A column of both, shape (2, count); a second that was not sampled is as the one before."""
    column = f"replicas_{name}" if name != "in_flight" else "router_in_flight"
    return np.stack([each[column].ffill().to_numpy(dtype="float64")[:count] for each in (first, second)])


def _apart(values: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.abs(values[0] - values[1]) > ALLOWED)


def _is_shifted(values: Floats, shift_s: int) -> NDArray[np.bool_]:
    """Whether each one's number is within one of those that the other has within `shift_s` of the second."""
    count = values.shape[1]
    near = [np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)]
    for shift in range(-shift_s, shift_s + 1):
        at = np.clip(np.arange(count) + shift, 0, count - 1)
        near[0] |= np.abs(values[0] - values[1][at]) <= ALLOWED
        near[1] |= np.abs(values[1] - values[0][at]) <= ALLOWED
    return np.asarray(near[0] & near[1])


def _is_other(work: Floats) -> NDArray[np.bool_]:
    """Whether the mean of the last `SEEN_S` seconds differs by more than `OTHER_WORK` of the larger."""
    means = np.stack([pd.Series(row).rolling(SEEN_S, min_periods=1).mean().to_numpy() for row in work])
    return np.asarray(np.abs(means[0] - means[1]) > OTHER_WORK * means.max(axis=0))
