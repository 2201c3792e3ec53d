"""When a sweep has seen enough: pairs are added, seed after seed, until their difference is known or the budget spent.

`repeat.until_ratio_ci=0.05 repeat.max=20` on the command line of a sweep.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a wrong configuration must answer at once
    from analysis.comparison.comparison import Comparison


@dataclass(frozen=True)
class Repetition:
    """A sweep whose number of pairs is left to the data."""

    until: float
    most: int
    """Budget of pairs."""

    def is_enough(self, folders: list[Path], *, pairs: int, has_failed: bool) -> bool:
        """At a planned look, and after a failed job's seed: see what is known, print it, and say whether to end.

        Args:
            folders: of the runs so far, in the order of their jobs.
            pairs: how many have been measured.
            has_failed: whether a run failed, which ends the sweep.
        """
        from analysis.comparison.notes import left_out
        from analysis.comparison.sequential import planned_looks
        from analysis.comparison.text import headline, progress

        if not (has_failed or pairs in planned_looks(self.most)):
            return False
        comparisons = self._compare(folders)
        if comparisons is None:
            return True
        each = [(comparison, pairing) for comparison in comparisons for pairing in comparison.pairings]
        for comparison, pairing in each:
            print(_of(comparison, progress(comparison, pairing, self.until)), flush=True)
        if not (self._are_narrow(comparisons) or has_failed or pairs >= self.most):
            return False
        for comparison, pairing in each:
            for text in (left_out(pairing), headline(comparison, pairing)):
                if text:
                    print(_of(comparison, text), flush=True)
        return True

    def has_ended(self, folders: list[Path], pairs: int) -> bool:
        """Whether a sweep that has so many whole pairs ended there by its own rule."""
        from analysis.comparison.sequential import planned_looks

        if pairs >= self.most:
            return True
        if pairs not in planned_looks(self.most):
            return False
        comparisons = self._compare(folders)
        return comparisons is None or self._are_narrow(comparisons)

    def _are_narrow(self, comparisons: "list[Comparison]") -> bool:
        """Whether it is known under every workload."""
        return all(comparison.is_narrow(self.until) for comparison in comparisons)

    def _compare(self, folders: list[Path]) -> "list[Comparison] | None":
        from analysis.comparison.arms import ComparisonError
        from analysis.comparison.gathering import compare_runs, read_runs
        from record.files import FolderError

        try:
            return compare_runs(read_runs([f for f in folders if (f / "manifest.json").exists()]))
        except (ComparisonError, FolderError) as error:
            print(error, file=sys.stderr, flush=True)
            return None


def _of(comparison: "Comparison", text: str) -> str:
    """Behind the workload where there are several."""
    return f"{comparison.workload}: {text}" if comparison.workload else text
