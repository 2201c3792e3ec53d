"""Every request as a point, the failed ones marked, and the p50 and p99 of each second."""

from typing import ClassVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.metrics.timeline import is_beyond
from analysis.pages.panels import Source
from analysis.pages.style import BLUE, GREY, INK, ORANGE, RED, TIME, dress, log_latency, nothing, over_time
from record.latency import latency_ms

MAX_POINTS = 8000
MAX_FAILED_POINTS = 2000
"""Requests drawn as points; more are thinned evenly, for drawing only. Lines and numbers use all of them."""

BESIDE_TITLE = 6
"""Entries of the legend that find room beside the title; with more of them it stands on a line above."""


class Latency:
    """Over the moment at which each was due; what was never answered is marked at the top."""

    name: ClassVar[str] = "latency"
    place: ClassVar[tuple[int, int]] = (1, 1)
    columns: ClassVar[int] = 12

    def height_px(self, source: Source) -> int:
        """Always there."""
        return 460

    def draw(self, axes: Axes, source: Source) -> None:
        """Points and lines; or that nothing was answered."""
        run, timeline = source.run, source.timeline
        requests = run.requests.assign(latency_ms=latency_ms(run.requests))
        failed = requests["outcome"] != "ok"
        dropped = requests[requests["outcome"] == "dropped"]
        dress(axes, "Latency, from the moment a request was due", TIME, "latency (ms)")
        over_time(axes, run)
        if run.warmup_s:  # the band has no handle that a legend could show
            axes.plot([], [], color=GREY, alpha=0.25, linewidth=9, label="warm-up")
        fine = _thin(requests[~failed], MAX_POINTS)
        bad = _thin(requests[failed & requests["latency_ms"].notna()], MAX_FAILED_POINTS)
        if len(fine):
            axes.scatter(
                fine["scheduled_s"], fine["latency_ms"], s=7, color=GREY, alpha=0.55, linewidths=0, label="request"
            )
        middle = timeline["second"] + 0.5
        for name, colour, height in (("p99", ORANGE, 0.955), ("p50", BLUE, 0.91)):
            axes.plot(
                middle, timeline[f"{name}_ms"], color=colour, linewidth=2.2, marker=".", label=f"{name} of each second"
            )
            beyond = middle[is_beyond(timeline, f"{name}_ms")]
            if len(beyond):  # a gap in the line would look like nothing
                axes.plot(
                    beyond,
                    np.full(len(beyond), height),
                    "^",
                    color=colour,
                    markersize=8,
                    zorder=5,
                    transform=axes.get_xaxis_transform(),
                    label=f"{name} among the failed",
                )
        if len(bad):
            axes.scatter(
                bad["scheduled_s"],
                bad["latency_ms"],
                s=34,
                color=RED,
                marker="x",
                linewidths=1.3,
                zorder=4,
                label=f"failed request ({int((failed & requests['latency_ms'].notna()).sum()):,} in all)",
            )
        if len(dropped):
            axes.plot(
                dropped["scheduled_s"],
                np.full(len(dropped), 0.985),
                "|",
                color=INK,
                markersize=9,
                zorder=4,
                transform=axes.get_xaxis_transform(),
                label=f"dropped, never answered ({len(dropped):,})",
            )
        values = requests["latency_ms"].dropna()
        if values.empty:
            nothing(axes, "no request was answered")
            return
        log_latency(axes, "y", float(values.quantile(0.005)) / 1.5, float(values.max()) * 1.6)
        if len(axes.get_legend_handles_labels()[0]) > BESIDE_TITLE:
            axes.set_title(axes.get_title(loc="left"), loc="left", pad=24, fontsize=12, fontweight="bold", color=INK)
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1, 1.0),
            fontsize=10,
            ncols=8,
            frameon=False,
            borderaxespad=0.1,
            columnspacing=1.4,
            handletextpad=0.4,
        )


def _thin(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    return rows.iloc[:: max(1, -(-len(rows) // most))]
