"""A recorded window played otherwise: faster or slower, more or fewer, again and again. Pure, no clock.

Time is scaled by division: every gap alike, so that the coefficient of variation of the gaps stays what it was.
Fewer requests are a thinning: each is kept by itself with the same probability p. That keeps the course of the rate,
and brings the index of dispersion of counts I nearer to Poisson's 1: 1 + p (I - 1) (Cox and Isham, Point Processes,
1980, 4.3). More are a superposition: the window several times over itself, each copy shifted round by another time, so
that a burst of one does not fall on the same burst of the other. Of copies that are shifted further than bursts last I
stays what it was, since variances and means add alike; of copies that are not shifted it would be I times their number.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST = 1e-9
"""A share of a copy below this is none."""


@dataclass(frozen=True)
class Scaling:
    """How a window is played."""

    length_s: float
    """Of the window, seconds of the trace."""
    speed: float = 1.0
    """Seconds of the trace in one of the run."""
    height: float = 1.0
    """Requests for each recorded one."""
    shift_s: float | None = None
    """The furthest that a copy is shifted, seconds of the run; None = the window's whole length."""
    repeat: int = 1
    """How often the window is played, one time after the other."""

    @property
    def turn_s(self) -> float:
        """Of playing the window once, seconds of the run."""
        return self.length_s / self.speed

    @property
    def total_s(self) -> float:
        """Of playing it as often as it is played."""
        return self.turn_s * self.repeat


def played(
    scheduled_s: Floats, how: Scaling, until_s: float, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.int64]]:
    """When what is asked.

    Args:
        scheduled_s: seconds from the window's beginning, ascending, shape (n,), all below `how.length_s`.
        how: the scaling.
        until_s: the run's length; what comes later is left out.
        rng: decides what is kept, and how far copies are shifted; is not used with `height=1`.

    Returns:
        Seconds from the run's start, ascending, shape (m,), and which of the n recorded requests each is, shape (m,).
    """
    once, every = scheduled_s / how.speed, np.arange(len(scheduled_s))
    whole = int(how.height + LEAST)
    rest = how.height - whole
    times, rows = [], []
    for turn in range(min(how.repeat, math.ceil(until_s / how.turn_s))):
        begin_s = turn * how.turn_s
        for copy in range(whole + (rest > LEAST)):
            taken = every if copy < whole else np.flatnonzero(rng.random(len(every)) < rest)
            at = once[taken]
            if copy:
                furthest_s = how.turn_s if how.shift_s is None else min(how.shift_s, how.turn_s)
                at = (at + rng.random() * furthest_s) % how.turn_s
            times.append(begin_s + at)
            rows.append(taken)
    all_times, all_rows = np.concatenate(times), np.concatenate(rows)
    inside = all_times < until_s
    all_times, all_rows = all_times[inside], all_rows[inside]
    order = np.argsort(all_times, kind="stable")
    return all_times[order], all_rows[order]


def expected(scheduled_s: Floats, how: Scaling, until_s: float) -> float:
    """How many requests `played` gives, in the mean over seeds, but for what shifting moves past `until_s`."""
    turns = min(how.repeat, int(until_s / how.turn_s))
    count = turns * len(scheduled_s)
    if turns < how.repeat:
        count += int(np.searchsorted(scheduled_s, (until_s - turns * how.turn_s) * how.speed))
    return count * how.height


def busiest_rps(scheduled_s: Floats, how: Scaling, until_s: float) -> float:
    """Requests in the busiest second of the run, in the mean over seeds where no copy is shifted, which is the most."""
    once = scheduled_s / how.speed
    turns, within_s = np.divmod(np.minimum(np.arange(math.ceil(until_s) + 1), min(until_s, how.total_s)), how.turn_s)
    before = turns * len(once) + np.searchsorted(once, within_s)
    return float(np.diff(before).max()) * how.height
