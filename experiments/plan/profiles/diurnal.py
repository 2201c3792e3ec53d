"""A sine around the rate, beginning at its lowest, as a day does."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from experiments.plan.profiles import moments
from services.bounds import Bounds

if TYPE_CHECKING:
    from experiments.plan.profiles import Knots


@dataclass
class Diurnal:
    """rate(t) = R (1 - a cos(w t)), so L(t) = R (t - a sin(w t) / w), with w = 2 pi `periods` / d, a = `amplitude`.

        R (1 + a)      .-'''-.
        R            .'       '.
        R (1 - a) _.'           '._
                  0               d
    """

    name: ClassVar[str] = "diurnal"
    periods: Annotated[float, Bounds(0.01, 1000)] = 1.0
    """Days in the duration."""
    amplitude: Annotated[float, Bounds(0, 0.999)] = 0.6
    """Half the distance between lowest and highest rate, times `rate_rps`; below 1."""

    def peak(self) -> float:
        """At noon."""
        return 1 + self.amplitude

    def knots(self, rate_rps: float, duration_s: float) -> "Knots":
        """The integral of the sine, a hundred times a second."""
        import numpy as np

        t, a, w = moments(duration_s), self.amplitude, 2 * np.pi * self.periods / duration_s
        return t, rate_rps * (t - a * np.sin(w * t) / w)

    def check(self) -> None:
        """The bounds say all of it."""
