"""What was offered, completed and failed, a second."""

from typing import ClassVar

import numpy as np
from matplotlib.axes import Axes

from analysis.pages.panels import Source
from analysis.pages.style import BLUE, GREY, RED, TIME, dress, over_time, room_for_legend


class Rates:
    """Requests a second."""

    name: ClassVar[str] = "rates"
    place: ClassVar[tuple[int, int]] = (3, 1)
    columns: ClassVar[int] = 6

    def height_px(self, source: Source) -> int:
        """Always there."""
        return 300

    def draw(self, axes: Axes, source: Source) -> None:
        """A line each."""
        run, timeline = source.run, source.timeline
        dress(axes, "Rates", TIME, "requests per second")
        over_time(axes, run)
        middle = timeline["second"] + 0.5
        axes.plot(middle, timeline["offered_rps"], color=GREY, linewidth=4, alpha=0.75, label="offered")
        axes.plot(middle, timeline["achieved_rps"], color=BLUE, linewidth=1.8, label="completed")
        width = np.minimum(1.0, run.end_s - timeline["second"])
        axes.plot(middle, timeline["errors"] / width, color=RED, linewidth=1.8, linestyle="--", label="failed")
        room_for_legend(axes, timeline[["offered_rps", "achieved_rps"]].max().max(), 3)
