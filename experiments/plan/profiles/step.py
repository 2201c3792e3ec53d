"""From one rate to another at once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from experiments.plan.profiles import corners
from services.bounds import Bounds

if TYPE_CHECKING:
    from experiments.plan.profiles import Knots


@dataclass
class Step:
    """rate(t) = R until `at` d, then R `factor`.

        R factor           _________
        R        _________|
                 0     at d        d
    """

    name: ClassVar[str] = "step"
    at: Annotated[float, Bounds(0, 1)] = 0.5
    """When, as a share of the duration."""
    factor: Annotated[float, Bounds(0, 100)] = 2.0
    """The rate afterwards, times `rate_rps`."""

    def peak(self) -> float:
        """The higher of the two."""
        return max(1.0, self.factor)

    def knots(self, rate_rps: float, duration_s: float) -> "Knots":
        """Its corners."""
        return corners([0.0, self.at * duration_s, duration_s], [rate_rps, rate_rps * self.factor])

    def check(self) -> None:
        """The bounds say all of it."""
