"""What calibrating the comparison counts: experiments of one kind, their shares with errors, targets and tables."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from analysis.comparison import Comparison
from analysis.simulated_queues import MEAN, SAME, SHARES

PRIMARY = "latency_p99_ms"
COVERAGE = (0.92, 0.98)
"""Where the coverage of a 95 % interval must lie."""
FALSE_VERDICTS = 0.05
"""At most so many of the experiments on equal arms may find a difference."""
ERRORS = 3.0
"""Standard errors of the simulation by which a figure must miss its target to count as outside."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many experiments."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """From 0 to 1."""
        return self.count / self.of

    @property
    def error(self) -> float:
        """Standard error; with one experiment more of each kind, so that 0 and 1 do not seem exact."""
        smoothed = (self.count + 1) / (self.of + 2)
        return math.sqrt(smoothed * (1 - smoothed) / self.of)

    def __str__(self) -> str:
        """Per cent, with one standard error."""
        return f"{100 * self.value:.1f} ± {100 * self.error:.1f}"


@dataclass
class Outcome:
    """What one comparison found."""

    covered: dict[str, bool]
    """Whether the interval holds the truth, by metric that has one."""
    verdict: str
    other_verdict: bool
    """Whether any metric but the primary one was found better or worse."""
    factor: float
    """By which the ends of the primary metric's interval lie apart from its middle."""
    pairs: int
    """Measured, those with an invalid run included."""


def outcome(comparison: Comparison, pairs: int, truth: dict[str, float]) -> Outcome:
    """Hold a comparison after so many pairs against the true mean log-ratios, by metric."""
    primary = next((row for row in comparison.rows if row.is_primary), None)
    return Outcome(
        covered={
            row.metric: math.log(row.low) <= truth[row.metric] <= math.log(row.high)
            for row in comparison.rows
            if row.metric in truth and row.low and row.high
        },
        verdict="inconclusive" if primary is None else primary.verdict,
        other_verdict=any(row.verdict in ("better", "worse") for row in comparison.rows if not row.is_primary),
        factor=math.inf if primary is None else primary.factor,
        pairs=pairs,
    )


@dataclass
class Cell:
    """The experiments of one kind."""

    contrast: str
    utilisation: float
    setting: str
    """The number of pairs, or `repeat.until_ratio_ci`."""
    truth: dict[str, float]
    """Mean log-ratio by metric."""
    outcomes: list[Outcome] = field(default_factory=list)

    def coverage(self, metric: str = PRIMARY) -> Share:
        """Of the intervals that there are, those that hold the truth."""
        flags = [o.covered[metric] for o in self.outcomes if metric in o.covered]
        return Share(sum(flags), len(flags))

    @property
    def lowest_other(self) -> Share:
        """The lowest coverage of a metric that is not the primary one."""
        return min((self.coverage(key) for key in (*SHARES, MEAN) if key != PRIMARY), key=lambda share: share.value)

    def verdicts(self, *which: str) -> Share:
        """Experiments that came to one of these verdicts on the primary metric."""
        return Share(sum(o.verdict in which for o in self.outcomes), len(self.outcomes))

    @property
    def other_verdicts(self) -> Share:
        """Experiments that found any other metric better or worse."""
        return Share(sum(o.other_verdict for o in self.outcomes), len(self.outcomes))

    @property
    def half_width(self) -> float:
        """Median over the experiments, relative to the ratio."""
        return float(np.median([o.factor for o in self.outcomes])) - 1

    @property
    def mean_pairs(self) -> float:
        """Pairs that an experiment measured."""
        return float(np.mean([o.pairs for o in self.outcomes]))

    def outside(self) -> Iterator[str]:
        """What misses its target by more than the simulation's error explains."""
        bounds = [("coverage", self.coverage(), *COVERAGE), ("lowest other coverage", self.lowest_other, *COVERAGE)]
        if self.contrast == SAME:
            bounds.append(("false verdicts", self.verdicts("better", "worse"), 0.0, FALSE_VERDICTS))
            bounds.append(("false verdicts on others", self.other_verdicts, 0.0, FALSE_VERDICTS))
        for name, share, least, most in bounds:
            slack = ERRORS * share.error
            if not least - slack <= share.value <= most + slack:
                yield f"{self.contrast}, utilisation {self.utilisation:g}, {self.setting}: {name} {share} %"


def table(cells: list[Cell], setting: str) -> str:
    """A Markdown table of the cells of one contrast; `setting` heads the column that tells them apart."""
    is_same = cells[0].contrast == SAME
    found = ["false verdicts, %", "on any other, %"] if is_same else ["true ratio", "power, %"]
    columns = ["utilisation", setting, "coverage, %", "lowest other, %", *found, "half width, %", "mean pairs"]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for cell in cells:
        if is_same:
            shares = [str(cell.verdicts("better", "worse")), str(cell.other_verdicts)]
        else:
            shares = [f"{math.exp(cell.truth[PRIMARY]):.3f}", str(cell.verdicts("better"))]
        values = [f"{cell.utilisation:g}", cell.setting, str(cell.coverage()), str(cell.lowest_other), *shares]
        lines.append(f"| {' | '.join([*values, f'{100 * cell.half_width:.1f}', f'{cell.mean_pairs:.1f}'])} |")
    return "\n".join(lines)
