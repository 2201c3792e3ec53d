"""The share of requests that took longer, by phase; those that were not served took longer than anything."""

from typing import ClassVar

import numpy as np
from matplotlib.axes import Axes

from analysis.metrics.verdict import percent
from analysis.pages.panels import Source
from analysis.pages.style import PHASE_STYLES, dress, exceedance, log_latency, nothing, share_axis
from record.latency import ranked_ms


class Distribution:
    """Of what was measured outside warm-up, both axes logarithmic."""

    name: ClassVar[str] = "distribution"
    place: ClassVar[tuple[int, int]] = (4, 1)
    columns: ClassVar[int] = 4

    def height_px(self, source: Source) -> int:
        """Always there."""
        return 330

    def draw(self, axes: Axes, source: Source) -> None:
        """A curve a phase; or that nothing was served."""
        run = source.run
        dress(axes, "Requests that took longer than ...", "latency (ms)", "share of requests")
        served = run.latencies[np.isfinite(run.latencies)]
        if not len(served):
            nothing(axes, "no request was served")
            return
        sizes = []
        for phase, (colour, line) in PHASE_STYLES.items():
            latencies = ranked_ms(run.measured[run.measured["phase"] == phase])
            if len(latencies):
                sizes.append(len(latencies))
                failed = float(np.isinf(latencies).mean())
                label = f"{phase} ({len(latencies):,}{f'; {percent(failed)} not served' if failed else ''})"
                exceedance(axes, latencies, color=colour, linestyle=line, linewidth=2, label=label)
        log_latency(axes, "x", float(np.quantile(served, 0.005)) / 1.3, float(served.max()) * 1.3)
        share_axis(axes, 1 / max(sizes))
        axes.legend(
            loc="lower left",
            fontsize=9.5,
            frameon=False,
            title="phase (requests)",
            title_fontsize=9.5,
            alignment="left",
        )
