"""Charts of latencies: the share of requests that took longer; those that were not served took longer than any."""

from collections.abc import Sequence

import numpy as np

from analysis.metrics.verdict import percent
from analysis.pages.html.charts import Chart, Series, chart, lines, log_axis
from analysis.pages.html.timelines import style
from analysis.pages.style import PHASE_STYLES, exceedance_steps
from record.latency import Floats, ranked_ms
from record.reading import Run

POINTS = 160
"""Of a curve; for drawing only."""
NOT_SERVED = "A curve ends at the slowest request, or goes on at the share of requests that were not served."


def of_run(run: Run) -> list[Chart]:
    """A curve a phase; none where nothing was served."""
    curves = []
    for number, (phase, (colour, _)) in enumerate(PHASE_STYLES.items()):
        latencies = ranked_ms(run.measured[run.measured["phase"] == phase])
        curves.append((f"{phase} ({len(latencies):,})", latencies, (colour, style(number)[1])))
    return _chart(curves)


def of_many(latencies: dict[str, Floats]) -> list[Chart]:
    """A curve each, by name."""
    return _chart([(name, values, style(place)) for place, (name, values) in enumerate(latencies.items())])


def _chart(curves: Sequence[tuple[str, Floats, tuple[str, Sequence[int]]]]) -> list[Chart]:
    served = [values[np.isfinite(values)] for _, values, _ in curves]
    some = [values for values in served if len(values)]
    if not some:
        return []
    low = min(float(np.quantile(values, 0.005)) for values in some) / 1.3
    high = max(float(values.max()) for values in some) * 1.3
    series = []
    for name, values, (colour, dash) in curves:
        if not len(values):
            continue
        failed = float(np.isinf(values).mean())
        steps = zip(*exceedance_steps(values, POINTS), strict=True)
        # A step falls before its latency; where an axis ends, so does what is beyond any.
        points = [(float(at), float(share)) for at, share in steps if at < high]
        points += [(high, failed)] if failed else []
        series.append(Series(f"{name}{f': {percent(failed)} not served' if failed else ''}", points, colour, dash))
    least = min(1 / len(values) for _, values, _ in curves if len(values))
    x = log_axis("latency (ms)", low, high)
    y = log_axis("share of requests", least * 0.7, 1.2, percent=True)
    drawn = chart(lines(series, x, y, interpolate="step-before", together=False), height_px=300)
    about = f"Of all requests outside warm-up. {NOT_SERVED}"
    return [Chart("Requests that took longer than ...", drawn, about, is_wide=True)]
