"""Noise around the rate: some spans have more than it says, others less, and no one of them knows of the next."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from experiments.plan.arrivals import Arrivals, poisson_unit, through
from services.bounds import Bounds

if TYPE_CHECKING:
    import numpy as np

    from experiments.plan.arrivals import Floats, Knots


@dataclass
class Noise(Arrivals):
    """A Poisson process whose rate is multiplied by a number that is drawn anew every `every_s` seconds of the run, of
    a gamma distribution with mean 1 and a coefficient of variation of `cv`: never below 0, and the mean rate stays.

    The count of a whole span of rate R is negative binomial, with mean m = R `every_s` and variance m + `cv`^2 m^2
    (Greenwood and Yule, J. Royal Statistical Society 83, 1920: a Poisson number with a gamma mean), so the index of
    dispersion over many spans is 1 + R `every_s` `cv`^2. DLIM's noise (von Kistowski et al., ACM TAAS 11, 2017), by
    which the rate cannot fall below 0.
    """

    name: ClassVar[str] = "noise"
    has_own_rate: ClassVar[bool] = True
    cv: Annotated[float, Bounds(0, 10)] = 0.3
    """Standard deviation of the factor; 0 = Poisson."""
    every_s: Annotated[float, Bounds(0.01, 86_400)] = 1.0
    """Seconds for which a factor holds."""

    def times(self, knots: "Knots", rng: "np.random.Generator") -> "Floats":
        """The profile's rate, times the factor of its span, mapped through the inverse of its integral."""
        import numpy as np

        at, counts = knots
        spans = np.arange(0.0, float(at[-1]), self.every_s)
        factors = np.ones(len(spans))
        if self.cv > 0:
            factors = rng.gamma(self.cv**-2, self.cv**2, len(spans))
        every = np.union1d(at, spans)
        which = np.searchsorted(spans, every[:-1], side="right") - 1
        steps = np.diff(np.interp(every, at, counts)) * factors[which]
        noisy = every, np.concatenate([[0.0], np.cumsum(steps)])
        return through(poisson_unit(float(noisy[1][-1]), rng), noisy)

    def dispersion(self, rate_rps: float) -> float:
        """Over many spans."""
        return 1 + rate_rps * self.every_s * self.cv**2

    def check(self) -> None:
        """The bounds say all of it."""
