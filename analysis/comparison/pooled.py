"""The requests of all runs of one arm as one sample: its quantiles, with and without each run, and how long its queues
remember. Pure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

BATCHES = 25
"""Of a run, in order, to estimate its memory: in the shortest run that identifies p50 each is a third of a relaxation
time, so that the correlation between them is seen."""
RELAXATIONS = 0.38
"""Relaxation times of a run whose count of requests above the median has the coefficient of variation 1.

The square of that coefficient falls with the run's length. In M/M/1 at utilisation 0.9 the true figure is 0.31; the
rest makes up for the estimate's bias, mostly that of taking the shorter of two arms. At utilisation 0.5 the true one
is 0.6, so that the estimate is low there: it errs to longer runs."""
LEAST, MOST = 0.5, 3.0
"""Relaxation times by theory count as far as they lie between so many times those that the runs show: a router that
levels the fleet makes for more of them, demands with a heavy tail for fewer."""
UNAIDED = 1.5
"""Without a theory, only so many times fewer relaxation times are believed: an estimate errs, and where a limit decides
whether an interval is shown at all, those are shown more often whose runs happened to be calm."""
TREND = 0.5
"""Of the requests above the median the share in one half of the window, less that in the other, from which on there is
no steady state to speak of; it is nearly 1 in a queue that grows."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """One run's measured window."""

    latencies: Floats
    """ms, in order of schedule, of all requests; +inf where not served."""
    window_s: float
    relaxation_s: float | None = None
    """Of the run's queues, from the configuration (`stationarity.assess`); None where theory has none."""
    steady: bool | None = None
    """False: overloaded, or a trend was found. True: there is a steady state, or the rate is meant to vary and the
    window holds whole periods of it. None: not known."""


class Pool:
    """The requests of all runs of one arm, sorted once for all metrics."""

    def __init__(self, runs: Sequence[Measured]) -> None:
        """Sort.

        Args:
            runs: one of every pair, in the order of the pairs; each with a request and a window above 0.

        Raises:
            ValueError: there is none, or one has no requests or no window.
        """
        if not runs or any(not len(run.latencies) or not run.window_s > 0 for run in runs):
            raise ValueError("runs: at least one, each with requests and a measured window")
        self.runs = tuple(runs)
        self._own = [np.sort(run.latencies) for run in runs]
        self._all = np.sort(np.concatenate(self._own), kind="stable")  # which merges what is sorted already

    def quantile(self, level: float) -> tuple[float, Floats]:
        """Type 7 quantile of all requests, and of those without each run, ms; NaN without the only run."""
        low, high, weight = _ranks(level, len(self._all))
        whole = _between(float(self._all[low]), float(self._all[high]), weight)
        return whole, np.array([self._without(own, level) for own in self._own])

    def _without(self, own: Floats, level: float) -> float:
        left = len(self._all) - len(own)
        if not left:
            return math.nan
        low, high, weight = _ranks(level, left)
        # The value of rank r among the others has rank r + (how many of `own` are not above it) among all. Counting
        # from below, this ends at it, after a few steps each of which adds 1 / runs of the one before.
        ranks = np.array([low, high])
        at, before = ranks, ranks - 1
        while (at != before).any():
            before, at = at, ranks + np.searchsorted(own, self._all[at], side="right")
        return _between(float(self._all[at[0]]), float(self._all[at[1]]), weight)

    def mean(self) -> tuple[float, Floats]:
        """Mean of all requests, and of those without each run, ms; inf where one was not served, NaN without any."""
        sums, counts = np.array([own.sum() for own in self._own]), np.array([len(own) for own in self._own])
        others = np.array([np.delete(sums, run).sum() for run in range(len(sums))])
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(sums.sum() / counts.sum()), others / (counts.sum() - counts)

    @cached_property
    def _above(self) -> Floats:
        """Requests above the pooled median in every batch of every run, shape (runs, BATCHES)."""
        median = self.quantile(0.5)[0]
        return np.array([_batches(run.latencies > median) for run in self.runs])

    @cached_property
    def is_steady(self) -> bool:
        """Whether there is a steady state to speak of: most runs do not say otherwise, nor does a trend of them all.

        One run alone may find a trend by chance, and leaving it out would choose among the runs by their latencies.
        """
        said = [run.steady for run in self.runs]
        middle = BATCHES // 2
        first, second = self._above[:, :middle].sum(), self._above[:, -middle:].sum()
        has_trend = abs(second - first) > TREND * (first + second)
        return 2 * said.count(False) <= len(said) and (all(said) or not has_trend)

    @cached_property
    def relaxations(self) -> float:
        """Relaxation times in a run's window, in the shortest run; NaN for one run without a theory.

        From theory where there is one, within LEAST and MOST of what the runs show. They are asked for the requests
        above the median, not for those in the tail: a tail that happened to be calm would shorten the memory and narrow
        the interval at once.
        """
        requests = float(min(len(own) for own in self._own))  # a memory shorter than the gap between two is none
        times = [run.window_s / run.relaxation_s for run in self.runs if run.relaxation_s]
        theory = min(*times, requests) if len(times) == len(self.runs) else math.nan
        if len(self.runs) < 2:
            return theory
        seen = min(RELAXATIONS / squared_variation(self._above), requests)
        return seen / UNAIDED if math.isnan(theory) else min(max(theory, seen * LEAST), seen * MOST)


def squared_variation(counts: Floats) -> float:
    """The squared coefficient of variation of a run's count, from those of its batches; tiny where nothing varies.

    A batch is held against the same batch of the other runs, so that a rate that varies by plan is no memory. The
    correlations between batches are summed up by the initial positive sequence (Geyer, Practical Markov chain Monte
    Carlo, Statistical Science 7, 1992); with few runs they know more than the spread of the runs' counts.

    Args:
        counts: shape (runs, batches), two runs or more.
    """
    runs, batches = counts.shape
    off = counts - counts.mean(axis=0)
    at_lag = [float((off[:, lag:] * off[:, : batches - lag]).sum()) / (runs - 1) for lag in range(batches)]
    variance: float = -at_lag[0]
    for even, odd in zip(at_lag[::2], at_lag[1::2], strict=False):
        if even + odd <= 0:
            break
        variance += 2 * (even + odd)
    variance = max(variance, at_lag[0] / 10)  # where the sequence ends at once, below 0
    mean = float(counts.mean(axis=0).sum())
    return max(variance, 1e-12) / max(mean * mean, 1e-12)


def _batches(flags: NDArray[np.bool_]) -> Floats:
    """How many are true in each of BATCHES parts of nearly equal length."""
    sums = np.concatenate([[0], np.cumsum(flags)])
    return np.diff(sums[np.arange(BATCHES + 1) * len(flags) // BATCHES]).astype(np.float64)


def _ranks(level: float, count: int) -> tuple[int, int, float]:
    """Ranks that a type 7 quantile lies between, from 0, and the upper one's weight (Hyndman and Fan, 1996)."""
    place = level * (count - 1)
    low = math.floor(place)
    return low, min(low + 1, count - 1), place - low


def _between(low: float, high: float, weight: float) -> float:
    """Interpolated; infinite as soon as an infinite value has weight."""
    return low if weight == 0 or low == high else low + weight * (high - low)
