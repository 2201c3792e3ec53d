"""What the router's failure handling bought, a second: beside the run the same one simulated without it."""

from typing import ClassVar

import numpy as np
from matplotlib.axes import Axes

from analysis.metrics.counterfactual import objective_ms, unserved_per_s, without
from analysis.pages.panels import Source
from analysis.pages.style import BLUE, GREEN, RED, TIME, dress, over_time, room_for_legend

HEIGHT_PX = 270


class Unserved:
    """Requests that were not served within the objective: measured, simulated as it was, and without the handling."""

    name: ClassVar[str] = "counterfactual"
    place: ClassVar[tuple[int, int]] = (2, 2)
    columns: ClassVar[int] = 7

    def height_px(self, source: Source) -> int:
        """Left out where the run has no counterfactual."""
        return HEIGHT_PX if source.counterfactual else 0

    def draw(self, axes: Axes, source: Source) -> None:
        """A line each, in the order of the numbers beside it."""
        run, simulated = source.run, source.counterfactual
        assert simulated is not None  # else it has no height
        title = f"The same run without {without(simulated)} (simulated)"
        dress(axes, title, TIME, f"requests per second\nnot served within {objective_ms(run):,.0f} ms")
        over_time(axes, run)
        drawn = [("measured" if simulated["handled"] else "simulated", unserved_per_s(run), BLUE, "-", 2.2)]
        if simulated["handled"]:
            drawn.append(("simulated", simulated["handled"]["unserved_per_s"], GREEN, "--", 1.8))
        counts = simulated["unhandled"]["unserved_per_s"]
        drawn.append(("simulated without", counts, RED, "-.", 1.8))
        axes.fill_between(np.arange(len(counts)) + 0.5, counts, color=RED, alpha=0.15, linewidth=0)
        for label, values, colour, style, width in drawn:
            middle = np.arange(len(values)) + 0.5
            axes.plot(middle, values, color=colour, linewidth=width, linestyle=style, label=label)
        room_for_legend(axes, float(max(max(values, default=0) for _, values, *_ in drawn)), len(drawn))
