"""Short gaps with long ones between them, both exponential."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from experiments.plan.arrivals import Arrivals, through
from experiments.plan.renewing import balanced, renewed
from services.bounds import Bounds

if TYPE_CHECKING:
    import numpy as np

    from experiments.plan.arrivals import Floats, Knots


@dataclass
class Hyperexponential(Arrivals):
    """A renewal process whose gaps are of one of two phases, with balanced means: p / m1 = (1 - p) / m2 = 1 / 2.

    Counts over long spans have the index of dispersion cv^2. What is left of a gap at time 0 is of either phase with
    probability 1 / 2, since phases are met by the time that they take.
    """

    name: ClassVar[str] = "hyperexponential"
    cv: Annotated[float, Bounds(1, 50)] = 3.0
    """Coefficient of variation of the gaps, at a constant rate; its square is the index of dispersion of counts."""

    def times(self, knots: "Knots", rng: "np.random.Generator") -> "Floats":
        """A process of rate 1 in the time that the expected number of requests tells."""
        import numpy as np

        p, short, long = balanced(self.cv)
        first = (short if rng.random() < 0.5 else long) * rng.standard_exponential()

        def gaps(count: int) -> "Floats":
            drawn: Floats = np.where(rng.random(count) < p, short, long) * rng.standard_exponential(count)
            return drawn

        return through(renewed(float(knots[1][-1]), self.cv, first, gaps), knots)

    def dispersion(self, rate_rps: float) -> float:
        """Variance over mean."""
        return self.cv**2

    def check(self) -> None:
        """The bounds say all of it."""
