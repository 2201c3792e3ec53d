"""Charts over time: of a run, and of arms over each other."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.comparison.arms import Measured
from analysis.metrics import timeline as rows_a_second
from analysis.metrics.scaling import over_time
from analysis.pages.html.charts import ARMS, DASHES, Chart, Series, bands, chart, lines, log_axis, numbers, warmup_of
from analysis.pages.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, TIME, fault_spans
from record.latency import Floats, quantiles_by, ranked_ms
from record.reading import Run

REPLICAS = ((GREY, (1, 0)), (GREEN, (6, 3)), (ORANGE, (1, 0)), (PURPLE, (2, 2)))
"""Colour and stroke of those desired, ready, needed, and of hindsight."""
MOST = 4000
"""Points of a series; a page is wide enough for half of them, and a day of seconds would be megabytes for each."""
CPU = (("replicas", GREEN), ("router", ORANGE), ("generator", PURPLE), ("foreign", INK))


def of_run(run: Run, timeline: pd.DataFrame) -> list[Chart]:
    """Latency, rates, replicas and CPU of each second; what was not sampled is not there."""
    middle = numbers(timeline["second"] + 0.5)
    begin = numbers(timeline["second"])  # a sample at a second's end holds for that second
    width = np.minimum(1.0, run.end_s - timeline["second"])
    charts = []
    if timeline["p99_ms"].notna().any():
        latency = [_series(middle, timeline[f"{q}_ms"], q, colour) for q, colour in (("p50", BLUE), ("p99", ORANGE))]
        low, high = float(timeline["p50_ms"].min()), float(timeline["p99_ms"].max())
        about = _marks(run) + " A gap: no request, or the quantile lies among requests that were not served."
        spec = _over_time([run], lines(latency, _time(run), log_axis("latency (ms)", *_decade(low, high))))
        charts.append(Chart("Latency of each second, from the moment a request was due", spec, about, is_wide=True))
    rates = [
        _series(middle, timeline["offered_rps"], "offered", GREY),
        _series(middle, timeline["achieved_rps"], "completed", BLUE),
        _series(middle, timeline["errors"] / width, "failed", RED, (6, 3)),
    ]
    drawn = lines(rates, _time(run), _axis("requests per second"))
    charts.append(Chart("Rates", _over_time([run], drawn), _marks(run)))
    if timeline[["replicas_ready", "replicas_desired"]].notna().any(axis=None):
        known = {"desired": timeline["replicas_desired"], "ready": timeline["replicas_ready"]}
        known |= {name: pd.Series(values) for name, values in over_time(run, timeline).items()}
        counts = [
            _series(begin, values, name, *style)
            for (name, values), style in zip(known.items(), REPLICAS, strict=False)
            if values.notna().any()
        ]
        drawn = lines(counts, _time(run), _axis("replicas"), interpolate="step-after")
        charts.append(Chart("Replicas", _over_time([run], drawn), _marks(run)))
    if timeline[[f"cpu_{role}_cores" for role, _ in CPU]].notna().any(axis=None):
        cores = [_series(middle, timeline[f"cpu_{role}_cores"], role, colour) for role, colour in CPU]
        charts.append(Chart("CPU", _over_time([run], lines(cores, _time(run), _axis("cores in use"))), _marks(run)))
    return charts


def of_arms(arms: dict[str, list[Measured]], names: dict[str, str]) -> list[Chart]:
    """Arms over each other: p99, goodput and failed requests of each second, all runs of an arm together.

    Args:
        arms: the runs that were compared, by arm.
        names: what each is called in charts.
    """
    runs = [one.run for members in arms.values() for one in members]
    if not runs:
        return []
    seconds = {label: _together([one.run for one in members]) for label, members in arms.items() if members}
    time = _time(max(runs, key=lambda run: run.end_s))
    charts = []
    for column, title, about in (
        ("p99_ms", "Latency p99 of each second", "Of the requests of all runs of an arm that were due in it."),
        ("goodput_rps", "Goodput", "Requests per second that were answered ok; the mean over an arm's runs."),
        ("failed_rps", "Failed requests", "Per second; the mean over an arm's runs."),
    ):
        series = [
            _series(numbers(table.index + 0.5), table[column], names[label], *style(place))
            for place, (label, table) in enumerate(seconds.items())
        ]
        values = pd.concat([table[column] for table in seconds.values()]).dropna()
        if values.empty or (column == "failed_rps" and not values.any()):
            continue
        axis = _axis("requests per second")
        if column == "p99_ms":
            axis = log_axis("latency (ms)", *_decade(float(values.min()), float(values.max())))
        spec = _over_time(runs, lines(series, time, axis))
        charts.append(Chart(title, spec, f"{about} {_marks(*runs)}", is_wide=column == "p99_ms"))
    return charts


def style(place: int) -> tuple[str, Sequence[int]]:
    """Colour and stroke of what stands at this place, from 0."""
    return ARMS[place % len(ARMS)], DASHES[place % len(DASHES)]


def _together(runs: Sequence[Run]) -> pd.DataFrame:
    """Columns `p99_ms, goodput_rps, failed_rps` by second. A quantile is of all requests, never a mean of quantiles."""
    count = int(np.ceil(max(run.end_s for run in runs)))
    latencies = np.concatenate([ranked_ms(run.requests) for run in runs])
    at = np.concatenate([np.floor(run.requests["scheduled_s"].to_numpy()).astype("int64") for run in runs])
    (p99,) = quantiles_by(latencies, at, count, (0.99,))
    rows = [rows_a_second.build(run).set_index("second") for run in runs]
    widths = [np.minimum(1.0, run.end_s - row.index.to_numpy()) for run, row in zip(runs, rows, strict=True)]
    failed: pd.DataFrame = pd.concat([row["errors"] / width for row, width in zip(rows, widths, strict=True)], axis=1)
    table = pd.DataFrame({"p99_ms": np.where(np.isfinite(p99), p99, np.nan)})
    table["goodput_rps"] = pd.concat([row["goodput_rps"] for row in rows], axis=1).mean(axis=1)
    table["failed_rps"] = failed.mean(axis=1)
    return table


def _series(
    at: Sequence[float | None], values: "pd.Series[float]", name: str, colour: str, dash: Sequence[int] = (1, 0)
) -> Series:
    known, moments = (np.asarray(each, dtype=np.float64) for each in (values, at))
    kept = thinned(known)
    points = zip(moments[kept].tolist(), numbers(known[kept].tolist()), strict=True)
    return Series(name, list(points), colour, dash)


def thinned(values: Floats) -> NDArray[np.int64]:
    """Which of them are drawn, in their order: all, or of each of `MOST` / 2 pieces the lowest and the highest, so that
    no peak is lost; of a piece that has a gap (NaN) that, too.

    Args:
        values: of a series, shape (n,).
    """
    if len(values) <= MOST:
        return np.arange(len(values))
    kept: set[int] = set()
    for piece in np.array_split(np.arange(len(values)), MOST // 2):
        of_piece = values[piece]
        gaps = np.isnan(of_piece)
        kept.update(piece[gaps][:1].tolist())
        if not gaps.all():
            kept.update((int(piece[np.nanargmin(of_piece)]), int(piece[np.nanargmax(of_piece)])))
    return np.array(sorted(kept), dtype=np.int64)


def _over_time(runs: Sequence[Run], layers: Sequence[dict[str, object]]) -> dict[str, object]:
    """The lines, and behind them warm-up and faults of all runs, each span once."""
    warm = {span for run in runs for span in warmup_of(run)}
    spans = {(round(start, 1), round(end, 1)) for run in runs for start, end in fault_spans(run)}
    return chart([*bands(sorted(warm), GREY), *bands(sorted(spans), RED), *layers])


def _marks(*runs: Run) -> str:
    """What the bands behind the lines mean, where there are any."""
    words = ["grey: warm-up"] if any(run.warmup_s for run in runs) else []
    faults = [fault for run in runs for fault in run.faults]
    if faults:
        told = dict.fromkeys(f"{fault.action} {fault.target} at {fault.landed_s:.0f} s" for fault in faults)
        words.append(f"red: faults ({', '.join(told)})" if len(told) <= 4 else f"red: faults ({len(told)})")
    return f"{'; '.join(words).capitalize()}." if words else ""


def _time(run: Run) -> dict[str, object]:
    scale = {"domain": [0, max(run.end_s, 1.0)], "nice": False}
    return {"title": TIME, "scale": scale, "axis": {"labelOverlap": "greedy", "tickCount": 8}}


def _axis(title: str) -> dict[str, object]:
    return {"title": title, "scale": {"zero": True}, "axis": {"tickCount": 5}}


def _decade(low: float, high: float) -> tuple[float, float]:
    """A little beyond both, a factor of ten apart at the least."""
    widen = max(1.2, (10 * low / high) ** 0.5)
    return low / widen, high * widen
