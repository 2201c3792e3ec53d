"""Requests that bring about further ones: retries, fan-out, a page and what it loads, news that goes round."""

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Annotated, ClassVar

from experiments.plan.arrivals import Arrivals, poisson_unit, through
from services.bounds import Bounds

if TYPE_CHECKING:
    import numpy as np

    from experiments.plan.arrivals import Floats, Knots

LEFT_OUT = 1e-6
"""Share of the rate that comes of requests so long before the run that they are left out."""

MOST_BEFORE = 40_000_000
"""Requests that are played before the run, as many as a run may have."""


@dataclass
class Hawkes(Arrivals):
    """A self-exciting process: R(t) (1 - n) requests a second come by themselves, and each request, whatever it came
    of, brings about a Poisson number of mean n = `branching` more, after exponential times of mean `decay_s`.

    Counts over long spans have the index of dispersion 1 / (1 - n)^2, and the mean rate is R (Hawkes, Biometrika 58,
    1971; as clusters, Hawkes and Oakes, Journal of Applied Probability 11, 1974). The rate of a process without a past
    nears its mean as e^-(1 - n) t / `decay_s`: so long a past is played before the run.
    """

    name: ClassVar[str] = "hawkes"
    has_own_rate: ClassVar[bool] = True
    branching: Annotated[float, Bounds(0, 0.99)] = 0.6
    """Requests that one brings about, in the mean; also the share of all that something brought about."""
    decay_s: Annotated[float, Bounds(0.001, 3600)] = 1.0
    """Mean time from a request to those that it brings about, seconds."""

    def times(self, knots: "Knots", rng: "np.random.Generator") -> "Floats":
        """Those that come by themselves, then generation after generation."""
        import numpy as np

        at, counts = knots
        past_s, before = self._past(knots)
        alone = np.concatenate([[0.0], before + counts]) * (1 - self.branching)
        knots = np.concatenate([[-past_s], at]), alone
        born = through(poisson_unit(float(alone[-1]), rng), knots)
        all_of_them = [born]
        while len(born):
            children = rng.poisson(self.branching, len(born))
            delays = rng.standard_exponential(int(children.sum())) * self.decay_s
            born = np.repeat(born, children) + delays
            born = born[born < at[-1]]
            all_of_them.append(born)
        moments = np.concatenate(all_of_them)
        return np.sort(moments[moments >= 0])

    def _past(self, knots: "Knots") -> tuple[float, float]:
        """How long what is played before the run is, seconds, and its requests in the mean, at the run's first rate."""
        at, counts = knots
        past_s = -log(LEFT_OUT) * self.decay_s / (1 - self.branching)
        return past_s, float(past_s * counts[1] / at[1])

    def dispersion(self, rate_rps: float) -> float:
        """Variance over mean."""
        return 1 / (1 - self.branching) ** 2

    def check(self) -> None:
        """The bounds say all of it that needs no rate."""

    def check_load(self, knots: "Knots") -> None:
        """The past must fit into the memory.

        Raises:
            ValueError: too many requests come before the run.
        """
        _, before = self._past(knots)
        if before > MOST_BEFORE:
            raise ValueError(
                f"workload.hawkes.decay_s={self.decay_s:g}: with branching={self.branching:g} {before:,.0f} requests "
                f"come before the run, whose echo it begins in; at most {MOST_BEFORE:,}: lower either, or the rate"
            )
