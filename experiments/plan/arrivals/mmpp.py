"""Bursts that begin and end by themselves: two rates, and a switch between them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from experiments.plan.arrivals import Arrivals, poisson_unit, through
from services.bounds import Bounds

if TYPE_CHECKING:
    import numpy as np

    from experiments.plan.arrivals import Floats, Knots


@dataclass
class Mmpp(Arrivals):
    """A Poisson process whose rate is modulated by a Markov chain of two states, in seconds of the run.

    With p = `share` of the time in bursts, the rate outside is R q with q = 1 / (p `factor` + 1 - p), in bursts R q
    `factor`; both states last exponentially long, bursts `burst_s`, the time between `burst_s` (1 - p) / p. Counts over
    spans t at a constant rate R have the index of dispersion (Fischer and Meier-Hellstern, The MMPP cookbook,
    Performance Evaluation 18, 1993)

        I(t) = 1 + D (1 - (1 - e^-st) / (s t)),   s = 1 / (`burst_s` (1 - p)),
        D = 2 p (1 - p) R q^2 (`factor` - 1)^2 / s
    """

    name: ClassVar[str] = "mmpp"
    has_own_rate: ClassVar[bool] = True
    factor: Annotated[float, Bounds(1, 1000)] = 5.0
    """The rate in a burst, times the rate outside."""
    share: Annotated[float, Bounds(above=0, below=1)] = 0.1
    """Share of the time that is burst."""
    burst_s: Annotated[float, Bounds(0.01, 86_400)] = 5.0
    """Mean length of a burst, seconds."""

    def times(self, knots: "Knots", rng: "np.random.Generator") -> "Floats":
        """The profile's rate, times the state's, mapped through the inverse of its integral."""
        import numpy as np

        at, counts = knots
        end_s = float(at[-1])
        quiet = 1 / (self.share * self.factor + 1 - self.share)
        is_burst = bool(rng.random() < self.share)
        lasts = np.array([self.burst_s, self.burst_s * (1 - self.share) / self.share])
        if not is_burst:
            lasts = lasts[::-1]
        pairs = int(end_s / lasts.sum()) + 16
        switches = np.cumsum((rng.standard_exponential((pairs, 2)) * lasts).ravel())
        while switches[-1] < end_s:
            more = np.cumsum((rng.standard_exponential((pairs, 2)) * lasts).ravel())
            switches = np.concatenate([switches, switches[-1] + more])
        every = np.union1d(at, switches[switches < end_s])
        states = (np.searchsorted(switches, every[:-1], side="right") % 2 == 0) == is_burst
        steps = np.diff(np.interp(every, at, counts)) * np.where(states, quiet * self.factor, quiet)
        modulated = every, np.concatenate([[0.0], np.cumsum(steps)])
        return through(poisson_unit(float(modulated[1][-1]), rng), modulated)

    def dispersion(self, rate_rps: float) -> float:
        """1 + D."""
        p, quiet = self.share, 1 / (self.share * self.factor + 1 - self.share)
        rate = 1 / (self.burst_s * (1 - p))
        return 1 + 2 * p * (1 - p) * rate_rps * (quiet * (self.factor - 1)) ** 2 / rate

    def check(self) -> None:
        """The bounds say all of it."""
