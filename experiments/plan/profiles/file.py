"""A course that was observed: one number a second, a minute, or whatever span, read from a file."""

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Annotated, ClassVar

from experiments.plan.numbers import numbers
from experiments.plan.profiles import corners
from services.bounds import Bounds, Choices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from experiments.plan.profiles import Knots


@dataclass
class File:
    """rate(t) = R v_i / m while the i-th number v_i of `path` lasts, m what `level` says; begun anew behind the last.

        R max(v) / m            _
        R             ___     _| |_
                    _|   |___|     |_
                    0                d
    """

    name: ClassVar[str] = "file"
    path: str = ""
    """A text file with one number a line: requests, or requests a second; only their ratios count, but for
    `level=own`."""
    every_s: Annotated[float | None, Bounds(0.001, 86_400)] = None
    """How long each number lasts in the run, seconds: 1 for one a second in its own time, 0.1 for ten times as fast.
    Unset = the whole file is stretched over the run."""
    begin: Annotated[int, Bounds(0, 10_000_000)] = 0
    """Numbers that are passed over at its beginning."""
    level: Annotated[str, Choices("mean", "peak", "own")] = "mean"
    """What `rate_rps` is: the file's `mean`, its `peak`, or, `own`, a factor on the numbers as they stand there."""

    def peak(self) -> float:
        """Of the highest number."""
        return float(self._factors().max())

    def knots(self, rate_rps: float, duration_s: float) -> "Knots":
        """A corner where a number ends."""
        import numpy as np

        factors = self._factors()
        every_s = duration_s / len(factors) if self.every_s is None else self.every_s
        count = max(1, ceil(duration_s / every_s - 1e-9))
        times = [*(np.arange(count) * every_s).tolist(), duration_s]
        return corners(times, (rate_rps * factors[np.arange(count) % len(factors)]).tolist())

    def check(self) -> None:
        """The file is there, and has numbers."""
        self._factors()

    def _factors(self) -> "NDArray[np.float64]":
        read = numbers(self.path, "path")[self.begin :]
        if not read.any():
            raise ValueError(f"begin={self.begin}: must leave a number above 0 of {self.path}")
        level = {"mean": read.mean(), "peak": read.max(), "own": 1.0}[self.level]
        return read / float(level)
