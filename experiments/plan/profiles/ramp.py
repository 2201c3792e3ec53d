"""From one rate to another in a straight line over the whole duration."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from experiments.plan.profiles import moments
from services.bounds import Bounds

if TYPE_CHECKING:
    from experiments.plan.profiles import Knots


@dataclass
class Ramp:
    """rate(t) = R (s + (e - s) t / d), so L(t) = R (s t + (e - s) t^2 / 2d); s and e are the two factors.

        R e            __--
        R          __--
        R s    __--
               0          d
    """

    name: ClassVar[str] = "ramp"
    start_factor: Annotated[float, Bounds(0, 100)] = 0.5
    """The first rate, times `rate_rps`."""
    end_factor: Annotated[float, Bounds(0, 100)] = 1.5
    """The last rate, times `rate_rps`."""

    def peak(self) -> float:
        """The higher end."""
        return max(self.start_factor, self.end_factor)

    def knots(self, rate_rps: float, duration_s: float) -> "Knots":
        """The parabola, a hundred times a second."""
        t, s, e = moments(duration_s), self.start_factor, self.end_factor
        return t, rate_rps * (s * t + (e - s) * t**2 / (2 * duration_s))

    def check(self) -> None:
        """The bounds say all of it."""
