"""Evenly spaced: one client with a clock."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from experiments.plan.arrivals import Arrivals, through

if TYPE_CHECKING:
    from experiments.plan.arrivals import Floats, Knots

if TYPE_CHECKING:
    import numpy as np


@dataclass
class Uniform(Arrivals):
    """All gaps are alike, at a constant rate 1 / R; the first request comes after half of one."""

    name: ClassVar[str] = "uniform"

    def times(self, knots: "Knots", rng: "np.random.Generator") -> "Floats":
        """Where the expected number of requests passes 1/2, 3/2, ...; nothing is drawn."""
        import numpy as np

        total = float(knots[1][-1])
        unit = np.arange(int(np.floor(total + 1e-9)), dtype=np.float64) + 0.5
        return through(unit[unit < total], knots)

    def dispersion(self, rate_rps: float) -> float:
        """Variance over mean."""
        return 0.0

    def check(self) -> None:
        """There is nothing to set."""
