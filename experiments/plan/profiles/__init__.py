"""The rate's course over a run, one profile a file: `mine.py` has a dataclass with `name = "mine"`.

Its fields are its parameters, `workload.mine.<field>`, with their bounds beside them; its formula stands in its
docstring, with a drawing. Pure: no clock, no draws. Light: NumPy is imported where it is used, since a wrong
configuration must answer at once.

    peak() -> the highest factor on workload.rate_rps
    knots(rate_rps, duration_s) -> (times, counts)     the rate's integral, at the moments between which it is straight
    check()                                            what bounds cannot say; ValueError names the parameter
"""

from typing import TYPE_CHECKING, Protocol

from services.plugins import Point

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Knots = tuple[NDArray[np.float64], NDArray[np.float64]]

PROFILES = Point(__name__, __path__, "profiles", "workload.profile", ("peak", "knots", "check"))
KNOTS_PER_S = 100
"""Resolution at which a smooth rate is integrated; what is straight between corners is integrated exactly there."""


class Profile(Protocol):
    """The shape of every profile."""

    def peak(self) -> float:
        """The highest rate, times `workload.rate_rps`."""

    def knots(self, rate_rps: float, duration_s: float) -> "Knots":
        """The cumulative expected number of requests as a piecewise linear function of time.

        Args:
            rate_rps: the rate that the profile's factors multiply, requests a second.
            duration_s: of the whole run, seconds.

        Returns:
            (times, counts): seconds from 0 to `duration_s`, and expected requests until then; both of shape (k,),
            ascending.
        """

    def check(self) -> None:
        """Check what the bounds of single parameters cannot say.

        Raises:
            ValueError: `parameter=value: must be ...`.
        """


def moments(duration_s: float) -> "NDArray[np.float64]":
    """Moments from 0 to `duration_s`, dense enough for a smooth rate; shape (k,), k >= 2."""
    import numpy as np

    return np.linspace(0.0, duration_s, max(2, int(duration_s * KNOTS_PER_S) + 1))


def corners(times: list[float], rates: list[float]) -> "Knots":
    """The knots of rates that are constant between `times` (one more than `rates`), requests a second."""
    import numpy as np

    counts = np.concatenate([[0.0], np.cumsum(np.diff(times) * np.asarray(rates))])
    return np.asarray(times), counts
