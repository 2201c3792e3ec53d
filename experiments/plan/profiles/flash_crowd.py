"""A crowd that comes within seconds and loses interest by and by."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from experiments.plan.profiles import moments
from services.bounds import Bounds

if TYPE_CHECKING:
    from experiments.plan.profiles import Knots


@dataclass
class FlashCrowd:
    """rate(t) = R outside; from b = `at` d on a straight line up to R f within u = `rise_s`, then back with 1 / e of
    what is above R left after c = `decay_s`: R (1 + (f - 1) e^(-(t - b - u) / c)), f = `factor`. So with h = f - 1

        L(t) = R (t + h ((t - b)^2 / 2u))                                 on the way up
        L(t) = R (t + h (u / 2 + c (1 - e^(-(t - b - u) / c))))           behind it

        R f             /'.
        R f / 2        /   '-.
        R        _____/       '-.____
                 0  at d  + u        d

    Onset, steepness and height are what tells spikes of public sites apart (Bodik et al., Characterizing, Modeling, and
    Generating Workload Spikes for Stateful Services, SoCC 2010); the exponential decline is one of the bursts of DLIM
    (von Kistowski et al., Modeling and Extracting Load Intensity Profiles, ACM TAAS 11, 2017).
    """

    name: ClassVar[str] = "flash_crowd"
    at: Annotated[float, Bounds(0, 1)] = 0.25
    """When it begins, as a share of the duration."""
    rise_s: Annotated[float, Bounds(0, 86_400)] = 3.0
    """Seconds from the first of them to the most; 0 = at once."""
    factor: Annotated[float, Bounds(1, 1000)] = 5.0
    """The highest rate, times `rate_rps`."""
    decay_s: Annotated[float, Bounds(0.01, 86_400)] = 10.0
    """Seconds after which 1 / e of what came on top of `rate_rps` is left."""

    def peak(self) -> float:
        """Where it has risen, be it within the run or not."""
        return self.factor

    def knots(self, rate_rps: float, duration_s: float) -> "Knots":
        """Its integral, a hundred times a second, and at its corners."""
        import numpy as np

        begin, up = self.at * duration_s, self.rise_s
        t = np.union1d(moments(duration_s), [each for each in (begin, begin + up) if each <= duration_s])
        rising, after = np.clip(t - begin, 0.0, up), np.maximum(t - begin - up, 0.0)
        above = self.decay_s * -np.expm1(-after / self.decay_s)
        if up > 0:
            above += rising**2 / (2 * up)
        return t, rate_rps * (t + (self.factor - 1) * above)

    def check(self) -> None:
        """The bounds say all of it."""
