"""The run in numbers."""

from typing import ClassVar

from matplotlib.axes import Axes

from analysis.metrics.verdict import notes_of, table_rows
from analysis.pages.panels import Source
from analysis.pages.style import INK, MUTED


class Numbers:
    """The rows of `analysis.metrics.verdict.table_rows`; [1] is the note of that number at the top of the page."""

    name: ClassVar[str] = "numbers"
    place: ClassVar[tuple[int, int]] = (4, 3)
    columns: ClassVar[int] = 4

    def height_px(self, source: Source) -> int:
        """Always there."""
        return 330

    def draw(self, axes: Axes, source: Source) -> None:
        """A row each."""
        axes.axis("off")
        axes.set_title("In numbers, outside warm-up", loc="left", fontsize=12, fontweight="bold", color=INK)
        rows = table_rows(source.run.manifest, source.metrics)
        for number, (label, value) in enumerate(rows):
            y = 0.97 - number / len(rows)
            marks = "".join(f" [{note}]" for note, _ in notes_of(label, source.metrics))
            axes.text(0, y, label + marks, transform=axes.transAxes, fontsize=10, va="top", color=MUTED)
            axes.text(1, y, value, transform=axes.transAxes, fontsize=10, va="top", ha="right", color=INK)
            axes.plot([0, 1], [y - 0.068] * 2, transform=axes.transAxes, color="#dddddd", linewidth=0.7)
