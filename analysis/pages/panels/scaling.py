"""How many replicas were needed, wanted and ready, and what hindsight would have had, over the load and its misses."""

from typing import ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.metrics.counterfactual import objective_ms, unserved_per_s
from analysis.metrics.scaling import over_time as numbers_over_time
from analysis.pages.panels import Source
from analysis.pages.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MUTED,
    PURPLE,
    RED,
    TIME,
    dress,
    over_time,
)

HEIGHT_PX = 360
SOURCES = {"measured": "by measured capacity", "analytic": "by Erlang's formula"}
"""Where the demand is from: the manifest's `demand_source`."""
LINES = {
    "needed": (BLUE, "-", 1.8), "wanted": (GREY, "-", 3.4), "ready": (GREEN, "-", 1.9),
    "hindsight": (PURPLE, "--", 1.6),
}  # fmt: skip
"""What is drawn, from behind to the front: colour, stroke and width."""
OF_LOAD = 2.6
"""The load takes the lower part of the panel, replicas the whole of it."""


class Scaling:
    """Each second's numbers; those of replicas are the samples at its end."""

    name: ClassVar[str] = "scaling"
    place: ClassVar[tuple[int, int]] = (2, 4)
    columns: ClassVar[int] = 12

    def height_px(self, source: Source) -> int:
        """Left out where nobody said how many were needed."""
        return 0 if source.run.demand is None else HEIGHT_PX

    def draw(self, axes: Axes, source: Source) -> None:
        """Steps of replicas; behind them, at an axis of its own on the right, the load."""
        run, timeline = source.run, source.timeline
        assert run.demand is not None  # else it has no height
        told = SOURCES[run.manifest["demand_source"]]
        dress(axes, f"Replicas needed ({told}), wanted and ready, over the load and what it missed", TIME, "replicas")
        over_time(axes, run)
        seconds = timeline["second"].to_numpy()
        edges = np.append(seconds, run.end_s)
        known = numbers_over_time(run, timeline)
        known |= {"wanted": timeline["replicas_desired"].to_numpy(), "ready": timeline["replicas_ready"].to_numpy()}
        axes.stairs(known["needed"], edges, fill=True, color=BLUE, alpha=0.28, linewidth=0, zorder=2)
        drawn = {label: known[label] for label in LINES if np.isfinite(known[label]).any()}
        for zorder, (label, values) in enumerate(drawn.items(), 3):
            colour, style, width = LINES[label]
            axes.stairs(
                values, edges, baseline=None, color=colour, linestyle=style, linewidth=width, label=label, zorder=zorder
            )
        top = max(float(np.nanmax(values)) for values in drawn.values())
        axes.set_ylim(0, 1.28 * max(top, 1.0))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        load = _load(axes, source, edges)
        handles, labels = axes.get_legend_handles_labels()
        more, names = load.get_legend_handles_labels()
        axes.legend(
            [*handles, *more], [*labels, *names], loc="upper right", fontsize=9.5, ncols=6, frameon=False,
            borderaxespad=0.1, columnspacing=1.2,
        )  # fmt: skip


def _load(axes: Axes, source: Source, edges: np.ndarray) -> Axes:
    """What was asked for a second, and of that what was not served within the objective."""
    run, timeline = source.run, source.timeline
    load = axes.twinx()
    missed = np.asarray(unserved_per_s(run), dtype="float64")[: len(edges) - 1] / np.diff(edges)
    offered = timeline["offered_rps"].to_numpy()
    load.stairs(offered, edges, fill=True, color=INK, alpha=0.13, linewidth=0, label="requests/s (right)")
    within = f"not within {objective_ms(run):,.0f} ms"
    load.stairs(missed, edges, fill=True, color=RED, alpha=0.75, linewidth=0, label=f"{within} (right)")
    load.set_ylim(0, OF_LOAD * max(1.0, float(offered.max(initial=0.0))))
    load.set_ylabel("requests per second", fontsize=10, color=MUTED)
    load.tick_params(labelsize=9, colors=MUTED)
    load.yaxis.set_major_locator(MaxNLocator(nbins=5))
    for side in ("top", "left", "bottom"):
        load.spines[side].set_visible(False)
    load.set_zorder(axes.get_zorder() - 1)
    axes.patch.set_visible(False)
    return load
