"""Rates over time, of files that hold no requests."""

from dataclasses import dataclass, field

import numpy as np

from experiments.importing.errors import UnusableLog

LONGEST_S = 366 * 86_400.0
"""Of a curve."""
STEP_S = 1.0
"""Of the file that is written: one number a second."""


@dataclass
class Curve:
    """What a file tells of the load."""

    times_s: np.ndarray
    """Seconds of the Unix clock at which the steps end, ascending, shape (n,)."""
    rates_rps: np.ndarray
    """Mean over the step that ends there, requests a second; NaN = not known."""
    taken_s: dict[str, float] = field(default_factory=dict)
    """Quantiles of the time that requests took, as `p50`, as far as they are told."""
    told_of_errors: float | None = None
    """The share of requests that failed."""
    entries: int = 0
    """Samples that were read."""
    broken: int = 0
    """Of which so many could not be."""
    notes: list[str] = field(default_factory=list)


def by_second(curve: Curve) -> tuple[np.ndarray, int]:
    """The rate in each second, shape (seconds,), and in how many of them it had to be interpolated.

    A step's rate holds for all of it: nothing is smoothed, and the sum over the seconds is the number of requests.

    Raises:
        UnusableLog: it lasts for more than a year.
    """
    times, rates = curve.times_s, curve.rates_rps
    step = float(np.median(np.diff(times))) if len(times) > 1 else STEP_S
    start = times[0] - step
    if not times[-1] - start <= LONGEST_S:
        raise UnusableLog(f"rates over {(times[-1] - start) / 86_400:,.3g} days; a year is the most")
    moments = start + STEP_S * (np.arange(max(1, round((times[-1] - start) / STEP_S))) + 0.5)
    place = np.minimum(np.searchsorted(times, moments), len(times) - 1)
    known = np.isfinite(rates)
    values = rates[place]
    is_hole = ~np.isfinite(values) | (times[place] - moments > 2 * step)
    if is_hole.any():
        values = np.where(is_hole, np.interp(moments, times[known] - step / 2, rates[known]), values)
    return values, int(is_hole.sum())


def quantile(bounds: np.ndarray, counts: np.ndarray, q: float) -> float | None:
    """The q-quantile of a histogram, evenly spread within its bucket, as Prometheus' `histogram_quantile` has it.

    Args:
        bounds: upper bounds of the buckets, ascending, the last one infinite, shape (n,).
        counts: how many lie at or below each, ascending, shape (n,).
        q: above 0 and below 1.

    Returns:
        None where it lies in the last bucket, or there is nothing.
    """
    if not len(counts) or counts[-1] <= 0:
        return None
    place = int(np.searchsorted(counts, q * counts[-1]))
    if not np.isfinite(bounds[place]):
        return None
    below = counts[place - 1] if place else 0.0
    least = bounds[place - 1] if place else 0.0
    inside = counts[place] - below
    return float(least + (bounds[place] - least) * ((q * counts[-1] - below) / inside if inside else 1.0))
