"""Runs that stand far from their fellows: intervals over few runs do not hold where now and then one goes wrong.

One run in ten that is ten times slower makes the 95 % interval of the mean cover in 27, 43, 65 and 87 % of experiments
with 3, 5, 10 and 20 pairs: mostly since no such run was among them, which nothing can show, and else since the spread
is not normal, which this does.
"""

import math
from dataclasses import dataclass

import numpy as np

from analysis.comparison.arms import Arm
from analysis.comparison.compared import BY_KEY, FAILED, Compared
from analysis.comparison.verdicts import Smallest
from record.metrics import value_of

CRITICAL = {3: 165.0, 4: 23.8, 5: 27.3, 6: 15.1, 7: 15.8, 8: 11.8, 9: 12.3, 10: 10.2, 12: 9.3, 15: 8.8, 17: 8.5}
"""Runs: how many median absolute deviations from the median the farthest of so many normal values lies in 1 % of the
samples (simulated, a million each). The measure is Iglewicz and Hoaglin's (How to Detect and Handle Outliers, 1993),
whose limit for large samples, 3.5 / 0.6745 = 5.2, would flag most samples of three normal values. With more runs it
stays, as the logarithms of p99 are skewed: at 6.4, which is right for a hundred normal values, one in ten such samples
would be flagged."""


@dataclass(frozen=True)
class Outlying:
    """A run that stands apart from the others of its arm."""

    folder: str
    arm: str
    seed: int
    metric: str
    value: float
    fellows: float
    """Median of the arm's runs."""


def stand_apart(arm: Arm, primary: str, smallest: Smallest) -> list[Outlying]:
    """The valid runs of an arm that lie too far from its median, in the primary metric or in lost requests."""
    outlying: list[Outlying] = []
    for key in dict.fromkeys((primary, FAILED)):
        compared = BY_KEY[key]
        runs = [
            (seed, one.run, value)
            for seed, members in arm.runs.items()
            for one in members
            if one.metrics["valid"]
            and (value := value_of(one.metrics, key)) is not None
            and _scaled(compared, value) is not None
        ]
        values = np.array([_scaled(compared, value) for _, _, value in runs], dtype=np.float64)
        middle = float(np.median([value for _, _, value in runs])) if runs else math.nan
        for index in far(values, smallest.margin(compared)):
            seed, run, value = runs[index]
            outlying.append(Outlying(str(run.folder), arm.label, seed, key, value, middle))
    return outlying


def _scaled(compared: Compared, value: float | None) -> float | None:
    if value is None or compared.by != "ratio":
        return value
    return math.log(value) if value > 0 else None


def far(values: np.ndarray, least: float) -> list[int]:
    """Indices of values that lie farther from the median than chance allows, and than `least`; none below three."""
    if len(values) < 3:
        return []
    off = np.abs(values - np.median(values))
    limit = max(least, float(np.interp(len(values), list(CRITICAL), list(CRITICAL.values()))) * float(np.median(off)))
    return [int(index) for index in np.flatnonzero(off > limit)]
