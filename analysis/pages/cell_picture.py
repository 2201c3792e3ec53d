"""One run in a small picture: every request's latency over time, what was not served above, faults as bands."""

import io
from pathlib import Path

import numpy as np

from analysis.pages.style import BLUE, INK, LEAST_MS, RED, dress, figure, log_latency, over_time
from record.reading import read

WIDTH_PX, HEIGHT_PX = 560, 300
MOST_POINTS = 6_000
"""Requests that are drawn; of more every k-th, those that were not served all."""
ABOVE = 1.6
"""Times the slowest answer, where those that were not served are drawn."""


def draw(folder: Path, title: str, least_ms: float, most_ms: float) -> bytes:
    """The picture as a PNG.

    Args:
        folder: a run's.
        title: of it.
        least_ms: the axis' lower end, so that pictures can be held against each other; likewise
        most_ms: its upper end.

    Raises:
        FolderError: the folder is damaged.
    """
    run = read(folder)
    canvas = figure(WIDTH_PX, HEIGHT_PX, 0)
    axes = canvas.subplots()
    dress(axes, title, "seconds from the run's start", "latency, ms")
    over_time(axes, run)
    at_s = run.columns["scheduled_s"]
    served = np.isfinite(run.ranked)
    step = max(1, int(served.sum()) // MOST_POINTS)
    axes.plot(at_s[served][::step], np.maximum(LEAST_MS, run.ranked[served][::step]), ".", color=BLUE, markersize=2,
              alpha=0.5, linewidth=0)  # fmt: skip
    log_latency(axes, "y", least_ms, most_ms * ABOVE**2)
    if (lost := int((~served).sum())) > 0:
        axes.plot(at_s[~served], np.full(lost, most_ms * ABOVE), "x", color=RED, markersize=4, linewidth=0)
        axes.annotate(f"{lost} not served", (0.99, 0.97), xycoords="axes fraction", ha="right", va="top", fontsize=9,
                      color=INK)  # fmt: skip
    picture = io.BytesIO()
    canvas.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
