"""The numbers beside the panel `counterfactual`."""

from typing import ClassVar

from matplotlib.axes import Axes

from analysis.metrics.counterfactual import rows, sides
from analysis.pages.panels import Source
from analysis.pages.panels.counterfactual import HEIGHT_PX
from analysis.pages.style import INK, MUTED

LABELS = 0.2
"""Share of the width that the labels take."""


class CounterfactualNumbers:
    """A row a metric, a column a run."""

    name: ClassVar[str] = "counterfactual_numbers"
    place: ClassVar[tuple[int, int]] = (2, 3)
    columns: ClassVar[int] = 5

    def height_px(self, source: Source) -> int:
        """Left out where the run has no counterfactual."""
        return HEIGHT_PX if source.counterfactual else 0

    def draw(self, axes: Axes, source: Source) -> None:
        """As `analysis.metrics.counterfactual` has them."""
        simulated = source.counterfactual
        assert simulated is not None  # else it has no height
        axes.axis("off")
        axes.set_title("What the failure handling bought", loc="left", fontsize=12, fontweight="bold", color=INK)
        table = [("", *(side.name for side in sides(simulated, source.metrics))), *rows(simulated, source.metrics)]
        columns = len(table[0]) - 1
        for number, (label, *cells) in enumerate(table):
            y = 0.97 - number / len(table)
            axes.text(0, y, label, transform=axes.transAxes, fontsize=10, va="top", color=MUTED)
            for position, cell in enumerate(cells, 1):
                x = LABELS + (1 - LABELS) * position / columns
                colour = INK if number else MUTED
                axes.text(x, y, cell, transform=axes.transAxes, fontsize=10, va="top", ha="right", color=colour)
            axes.plot([0, 1], [y - 0.1] * 2, transform=axes.transAxes, color="#dddddd", linewidth=0.7)
