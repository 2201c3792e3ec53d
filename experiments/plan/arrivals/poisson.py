"""Independent of each other: many clients who know nothing of one another."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from experiments.plan.arrivals import Arrivals, poisson_unit, through

if TYPE_CHECKING:
    import numpy as np

    from experiments.plan.arrivals import Floats, Knots


@dataclass
class Poisson(Arrivals):
    """Gaps are exponential, with a coefficient of variation of 1; counts have a variance that is their mean."""

    name: ClassVar[str] = "poisson"

    def times(self, knots: "Knots", rng: "np.random.Generator") -> "Floats":
        """A process of rate 1 in the time that the expected number of requests tells."""
        return through(poisson_unit(float(knots[1][-1]), rng), knots)

    def dispersion(self, rate_rps: float) -> float:
        """Variance over mean."""
        return 1.0

    def check(self) -> None:
        """There is nothing to set."""
