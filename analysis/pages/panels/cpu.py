"""The CPU that each part of the stack took, and what was none of it."""

from typing import ClassVar

import pandas as pd
from matplotlib.axes import Axes

from analysis.pages.panels import Source
from analysis.pages.style import GREEN, INK, ORANGE, PURPLE, TIME, dress, nothing, over_time, room_for_legend

ROLES = (("replicas", GREEN, "-"), ("router", ORANGE, "--"), ("generator", PURPLE, "-"), ("foreign", INK, ":"))


class Cpu:
    """Cores in use, the mean of each second."""

    name: ClassVar[str] = "cpu"
    place: ClassVar[tuple[int, int]] = (3, 3)
    columns: ClassVar[int] = 3

    def height_px(self, source: Source) -> int:
        """Always there."""
        return 300

    def draw(self, axes: Axes, source: Source) -> None:
        """A line each; or that nothing was sampled."""
        run, timeline = source.run, source.timeline
        dress(axes, "CPU", TIME, "cores in use")
        over_time(axes, run)
        middle = timeline["second"] + 0.5
        for role, colour, line in ROLES:
            axes.plot(middle, timeline[f"cpu_{role}_cores"], color=colour, linewidth=1.8, linestyle=line, label=role)
        top = timeline[[f"cpu_{role}_cores" for role, _, _ in ROLES]].max().max()
        room_for_legend(axes, top * 1.15, 2, least=0.1)
        if pd.isna(top):
            nothing(axes, "not sampled")
