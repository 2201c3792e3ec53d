"""Up, and back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from experiments.plan.profiles import corners
from services.bounds import Bounds, written

if TYPE_CHECKING:
    from experiments.plan.profiles import Knots


@dataclass
class Spike:
    """rate(t) = R `factor` from `at` d to (`at` + `lasts`) d, else R.

        R factor       ______
        R        _____|      |______
                 0  at d  + lasts d  d
    """

    name: ClassVar[str] = "spike"
    at: Annotated[float, Bounds(0, 1)] = 0.25
    """When it begins, as a share of the duration."""
    lasts: Annotated[float, Bounds(0, 1)] = 0.3
    """How long, as a share of the duration."""
    factor: Annotated[float, Bounds(0, 100)] = 3.0
    """The rate meanwhile, times `rate_rps`."""

    def peak(self) -> float:
        """Of the spike, where it goes up."""
        return max(1.0, self.factor)

    def knots(self, rate_rps: float, duration_s: float) -> "Knots":
        """Its corners."""
        begin, end = self.at * duration_s, (self.at + self.lasts) * duration_s
        return corners([0.0, begin, end, duration_s], [rate_rps, rate_rps * self.factor, rate_rps])

    def check(self) -> None:
        """It ends within the run."""
        if self.lasts > 1 - self.at:
            raise ValueError(f"lasts={written(self.lasts)}: must be at most 1 - at = {written(1 - self.at)}")
