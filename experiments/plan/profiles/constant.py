"""One rate throughout."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from experiments.plan.profiles import corners

if TYPE_CHECKING:
    from experiments.plan.profiles import Knots


@dataclass
class Constant:
    """rate(t) = R, L(t) = R t.

        R  ____________________
           0                  d
    """

    name: ClassVar[str] = "constant"

    def peak(self) -> float:
        """As given."""
        return 1.0

    def knots(self, rate_rps: float, duration_s: float) -> "Knots":
        """The two ends."""
        return corners([0.0, duration_s], [rate_rps])

    def check(self) -> None:
        """There is nothing to set."""
