"""How many replicas were wanted, and how many were ready."""

from typing import ClassVar

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.pages.panels import Source
from analysis.pages.style import GREEN, GREY, TIME, dress, nothing, over_time, room_for_legend


class Replicas:
    """Sampled at each second's end."""

    name: ClassVar[str] = "replicas"
    place: ClassVar[tuple[int, int]] = (3, 2)
    columns: ClassVar[int] = 3

    def height_px(self, source: Source) -> int:
        """Always there."""
        return 300

    def draw(self, axes: Axes, source: Source) -> None:
        """Two steps; or that nothing was sampled."""
        run, timeline = source.run, source.timeline
        dress(axes, "Replicas", TIME, "replicas")
        over_time(axes, run)
        sampled = timeline["second"] + 1  # at the second's end
        axes.step(
            sampled, timeline["replicas_desired"], where="post", color=GREY, linewidth=4, alpha=0.75, label="desired"
        )
        axes.step(sampled, timeline["replicas_ready"], where="post", color=GREEN, linewidth=1.8, label="ready")
        top = timeline[["replicas_desired", "replicas_ready"]].max().max()
        room_for_legend(axes, top, 2)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        if pd.isna(top):
            nothing(axes, "not sampled")
