"""How many requests each replica answered."""

from typing import ClassVar

import pandas as pd
from matplotlib.axes import Axes

from analysis.pages.panels import Source
from analysis.pages.style import BLUE, MUTED, RED, dress, nothing, room_for_legend

MAX_BARS = 16


class Shares:
    """Outside warm-up, the failed ones on top; beyond `MAX_BARS` replicas the rest together."""

    name: ClassVar[str] = "shares"
    place: ClassVar[tuple[int, int]] = (4, 2)
    columns: ClassVar[int] = 4

    def height_px(self, source: Source) -> int:
        """Always there."""
        return 330

    def draw(self, axes: Axes, source: Source) -> None:
        """A bar each; or that there is none."""
        run = source.run
        dress(axes, "Requests per replica", "replica that answered", "requests outside warm-up")
        counts = run.measured.assign(replica=run.measured["replica"].astype("object").fillna("none"))
        if counts.empty:
            nothing(axes, "no requests")
            return
        table = counts.groupby(["replica", counts["outcome"] == "ok"]).size().unstack(fill_value=0)
        table = table.reindex(columns=[True, False], fill_value=0)
        table = table.reindex(sorted(table.index, key=lambda name: (name == "none", len(str(name)), str(name))))
        if len(table) > MAX_BARS:
            rest = table.iloc[MAX_BARS - 1 :].sum().rename(f"{len(table) - MAX_BARS + 1} more")
            table = pd.concat([table.iloc[: MAX_BARS - 1], rest.to_frame().T])
        names = [str(name) for name in table.index]
        axes.bar(names, table[True], color=BLUE, width=0.7, label="ok")
        failed = table[False].where(table[False] > 0)
        axes.bar(
            names, failed, bottom=table[True], color=RED, width=0.7, label="failed", hatch="///", edgecolor="white"
        )
        total = table.sum(axis=1)
        if len(names) <= 13:
            for position, value in enumerate(total):
                axes.annotate(
                    f"{value:,}",
                    (position, value),
                    xytext=(0, 3),
                    textcoords="offset points",
                    ha="center",
                    fontsize=9 if len(names) < 9 else 8,
                    color=MUTED,
                )
        if len(names) > 9:
            axes.tick_params(axis="x", rotation=45)
        axes.margins(x=0.6 / len(names) if len(names) > 3 else 0.4)
        axes.grid(False, axis="x")
        room_for_legend(axes, float(total.max()) * 1.04, 2)
