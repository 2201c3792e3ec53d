"""When requests come, around the rate that the profile gives: one process a file, `mine.py` with `name = "mine"`.

Its class is a dataclass; its fields are its parameters, `workload.mine.<field>`, with their bounds beside them; its
formula and source stand in its docstring. Every process has, in the mean, the profile's number of requests, from the
first second on: what has a memory begins with one. Light: NumPy is imported where it is used, since a wrong
configuration must answer at once.

    times(knots, rng) -> seconds           the moments, ascending
    dispersion(rate_rps) -> I              variance over mean of the counts in long spans; Poisson's is 1
    check()                                what bounds cannot say; ValueError names the parameter
    has_own_rate = True                    of one whose rate has a course that is drawn with it
    check_load(knots)                      likewise of what depends on how much is asked for

It extends `Arrivals`, which has the last two of most: no rate of its own, and nothing to check of it.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from services.plugins import Point

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Knots = tuple[Floats, Floats]

METHODS = ("times", "dispersion", "check", "check_load")
ARRIVALS = Point(__name__, __path__, "arrivals", "workload.arrivals", METHODS, ("has_own_rate",))


class Arrivals(ABC):
    """The shape of every process."""

    has_own_rate: ClassVar[bool] = False
    """Whether its rate has a course that is drawn with it, so that it is the profile's in the mean over seeds only."""

    @abstractmethod
    def times(self, knots: "Knots", rng: "np.random.Generator") -> "Floats":
        """The moments of a run.

        Args:
            knots: as `Profile.knots` gives them: seconds, and expected requests until then.
            rng: of the seed.

        Returns:
            Seconds, ascending, from 0 to the last knot, shape (n,).
        """

    @abstractmethod
    def dispersion(self, rate_rps: float) -> float:
        """The index of dispersion of counts over long spans at a constant rate, requests a second."""

    @abstractmethod
    def check(self) -> None:
        """Check what the bounds of single parameters cannot say.

        Raises:
            ValueError: `parameter=value: must be ...`.
        """

    def check_load(self, knots: "Knots") -> None:  # noqa: B027 - most have nothing
        """Check what depends on how much is asked for; most have nothing.

        Raises:
            ValueError: `workload.<name>.parameter=value: ...`.
        """


def poisson_unit(total: float, rng: "np.random.Generator") -> "Floats":
    """A Poisson process of rate 1 on [0, total), shape (n,)."""
    import numpy as np

    # Enough gaps to pass the end in all but one of 10^15 cases; the loop covers that one.
    size = int(total + 8 * np.sqrt(total) + 16)
    unit = np.cumsum(rng.standard_exponential(size))
    while unit[-1] < total:
        unit = np.concatenate([unit, unit[-1] + np.cumsum(rng.standard_exponential(size))])
    return unit[unit < total]


def through(unit: "Floats", knots: "Knots") -> "Floats":
    """Moments of a process of rate 1, mapped through the inverse of the expected number of requests L(t).

    The time change of an inhomogeneous Poisson process (Cinlar, Introduction to Stochastic Processes, 1975, 4.7); of
    another process of rate 1 it makes one whose counts are as irregular, span by span of equal expected numbers.

    Args:
        unit: ascending, below the last count, shape (n,).
        knots: seconds and counts, both ascending; where counts do not, time passes without requests.

    Returns:
        Seconds, shape (n,).
    """
    import numpy as np

    times, counts = knots
    rises = np.diff(counts) > 0
    rising = np.concatenate([[True], rises])
    moments: Floats = np.interp(unit, counts[rising], times[rising])
    for knot in np.flatnonzero(~rising & np.concatenate([rises, [True]])):  # the end of an interval of rate zero
        later = unit > counts[knot]
        step = np.searchsorted(counts, counts[knot], side="right")
        if later.any() and step < len(counts):  # what comes after it starts at its end
            within = later & (unit <= counts[step])
            share = (unit[within] - counts[knot]) / (counts[step] - counts[knot])
            moments[within] = times[knot] + share * (times[step] - times[knot])
    return moments
