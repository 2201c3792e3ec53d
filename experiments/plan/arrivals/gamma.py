"""As irregular as one wants, in one number: below 1 more even than Poisson, above it in clumps."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from experiments.plan.arrivals import Arrivals, through
from experiments.plan.renewing import renewed
from services.bounds import Bounds

if TYPE_CHECKING:
    import numpy as np

    from experiments.plan.arrivals import Floats, Knots


@dataclass
class Gamma(Arrivals):
    """A renewal process whose gaps are gamma distributed with shape k = 1 / cv^2; with cv = 1 it is Poisson.

    Counts over long spans have the index of dispersion cv^2 (Cox, Renewal Theory, 1962, 4.2). What is left of a gap at
    time 0 is uniform within a gap that is drawn by its length, gamma with shape k + 1.
    """

    name: ClassVar[str] = "gamma"
    cv: Annotated[float, Bounds(0.05, 50)] = 2.0
    """Coefficient of variation of the gaps, at a constant rate; its square is the index of dispersion of counts."""

    def times(self, knots: "Knots", rng: "np.random.Generator") -> "Floats":
        """A process of rate 1 in the time that the expected number of requests tells."""
        shape = 1 / self.cv**2
        first = rng.random() * rng.standard_gamma(shape + 1) / shape
        total = float(knots[1][-1])
        return through(renewed(total, self.cv, first, lambda n: rng.standard_gamma(shape, n) / shape), knots)

    def dispersion(self, rate_rps: float) -> float:
        """Variance over mean."""
        return self.cv**2

    def check(self) -> None:
        """The bounds say all of it."""
