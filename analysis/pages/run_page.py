"""`summary.png`: one run on one page."""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.metrics.timeline import is_beyond
from analysis.metrics.verdict import percent, table_rows, verdict
from analysis.pages.panels.rotation import draw_rotation, lanes
from analysis.pages.style import (
    BLUE,
    GREEN,
    GREY,
    HEADER_LINE_PX,
    INK,
    MUTED,
    ORANGE,
    PHASE_STYLES,
    PURPLE,
    RED,
    dress,
    exceedance,
    figure,
    header,
    log_latency,
    nothing,
    save,
    shade_faults,
    share_axis,
)
from record.latency import latency_ms, ranked_ms
from record.metrics import Metrics
from record.reading import Run

WIDTH_PX = 1600
MAX_POINTS = 8000
MAX_FAILED_POINTS = 2000
"""Requests drawn as points; more are thinned evenly, for drawing only. Lines and numbers use all of them."""
MAX_BARS = 16
TIME = "seconds from the run's start"


def draw(run: Run, timeline: pd.DataFrame, metrics: Metrics, path: Path) -> None:
    """Draw the page.

    Args:
        run: the run.
        timeline: its rows a second.
        metrics: its metrics.
        path: where to; written whole or not at all.
    """
    shown = lanes(run)
    lane_px = 62 + 34 * len(shown) if shown else 0
    sentence = textwrap.wrap(verdict(run.manifest, metrics), 175, max_lines=4, placeholder=" ...")
    for caution in metrics["warnings"]:
        sentence += textwrap.wrap(f"Note: {caution}.", 175, max_lines=2, placeholder=" ...")
    heights = [460, *([lane_px] if shown else []), 300, 330]
    head_px = 12 + HEADER_LINE_PX * (1 + len(sentence))
    fig = figure(WIDTH_PX, head_px + 60 + sum(heights), head_px)
    grid = fig.add_gridspec(len(heights), 12, height_ratios=heights)
    latency = fig.add_subplot(grid[0, :])
    _latency(latency, run, timeline)
    if shown:
        rotation = fig.add_subplot(grid[1, :], sharex=latency)
        draw_rotation(rotation, run, shown)
    middle, bottom = len(heights) - 2, len(heights) - 1
    _rates(fig.add_subplot(grid[middle, :6], sharex=latency), run, timeline)
    _replicas(fig.add_subplot(grid[middle, 6:9]), run, timeline)
    _cpu(fig.add_subplot(grid[middle, 9:]), run, timeline)
    _distribution(fig.add_subplot(grid[bottom, :4]), run)
    _shares(fig.add_subplot(grid[bottom, 4:8]), run)
    _table(fig.add_subplot(grid[bottom, 8:]), metrics)
    header(fig, 0, _title(run), fontsize=13, fontweight="bold", color=INK)
    for number, line in enumerate(sentence, 1):
        header(fig, number, line, fontsize=13, color=INK if metrics["valid"] else RED)
    save(fig, path)


def _title(run: Run) -> str:
    manifest = run.manifest
    config = manifest["config"]
    routed = (config.get("policy") or {}).get("name") if config.get("router") else "no router"
    start = str(manifest.get("started_at") or "")[:16].replace("T", " ")
    parts = [
        str(manifest.get("scenario")),
        f"seed {manifest.get('seed')}",
        str(routed),
        f"run {manifest.get('run_id')}",
        start,
    ]
    return "  ·  ".join(part for part in parts if part)


def _shade(axes: Axes, run: Run) -> None:
    """Warm-up and faults as bands."""
    if run.warmup_s:
        axes.axvspan(0, min(run.warmup_s, run.end_s), color=GREY, alpha=0.13, linewidth=0)
    shade_faults(axes, run)
    axes.set_xlim(0, max(run.end_s, 1.0))


def _thin(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    return rows.iloc[:: max(1, -(-len(rows) // most))]


def _latency(axes: Axes, run: Run, timeline: pd.DataFrame) -> None:
    """Every request, the failed ones marked, and the second's p50 and p99."""
    requests = run.requests.assign(latency_ms=latency_ms(run.requests))
    failed = requests["outcome"] != "ok"
    dropped = requests[requests["outcome"] == "dropped"]
    dress(axes, "Latency, from the moment a request was due", TIME, "latency (ms)")
    _shade(axes, run)
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
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1.0),
        fontsize=10,
        ncols=7,
        frameon=False,
        borderaxespad=0.1,
        columnspacing=1.4,
        handletextpad=0.4,
    )


def _rates(axes: Axes, run: Run, timeline: pd.DataFrame) -> None:
    dress(axes, "Rates", TIME, "requests per second")
    _shade(axes, run)
    middle = timeline["second"] + 0.5
    axes.plot(middle, timeline["offered_rps"], color=GREY, linewidth=4, alpha=0.75, label="offered")
    axes.plot(middle, timeline["achieved_rps"], color=BLUE, linewidth=1.8, label="completed")
    width = np.minimum(1.0, run.end_s - timeline["second"])
    axes.plot(middle, timeline["errors"] / width, color=RED, linewidth=1.8, linestyle="--", label="failed")
    _room_for_legend(axes, timeline[["offered_rps", "achieved_rps"]].max().max(), 3)


def _room_for_legend(axes: Axes, top: float, columns: int, least: float = 1.0) -> None:
    axes.set_ylim(0, 1.28 * max(least, 0.0 if pd.isna(top) else float(top)))
    axes.legend(loc="upper right", fontsize=9.5, ncols=columns, frameon=False, borderaxespad=0.1, columnspacing=1.2)


def _replicas(axes: Axes, run: Run, timeline: pd.DataFrame) -> None:
    dress(axes, "Replicas", TIME, "replicas")
    _shade(axes, run)
    sampled = timeline["second"] + 1  # at the second's end
    axes.step(sampled, timeline["replicas_desired"], where="post", color=GREY, linewidth=4, alpha=0.75, label="desired")
    axes.step(sampled, timeline["replicas_ready"], where="post", color=GREEN, linewidth=1.8, label="ready")
    top = timeline[["replicas_desired", "replicas_ready"]].max().max()
    _room_for_legend(axes, top, 2)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    if pd.isna(top):
        nothing(axes, "not sampled")


def _cpu(axes: Axes, run: Run, timeline: pd.DataFrame) -> None:
    dress(axes, "CPU", TIME, "cores in use")
    _shade(axes, run)
    middle = timeline["second"] + 0.5
    roles = (("replicas", GREEN, "-"), ("router", ORANGE, "--"), ("generator", PURPLE, "-"), ("foreign", INK, ":"))
    for role, colour, line in roles:
        axes.plot(middle, timeline[f"cpu_{role}_cores"], color=colour, linewidth=1.8, linestyle=line, label=role)
    top = timeline[[f"cpu_{role}_cores" for role, _, _ in roles]].max().max()
    _room_for_legend(axes, top * 1.15, 2, least=0.1)
    if pd.isna(top):
        nothing(axes, "not sampled")


def _distribution(axes: Axes, run: Run) -> None:
    """The share of requests that took longer, by phase; those that were not served took longer than anything."""
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
        loc="lower left", fontsize=9.5, frameon=False, title="phase (requests)", title_fontsize=9.5, alignment="left"
    )


def _shares(axes: Axes, run: Run) -> None:
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
    axes.bar(names, failed, bottom=table[True], color=RED, width=0.7, label="failed", hatch="///", edgecolor="white")
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
    _room_for_legend(axes, float(total.max()) * 1.04, 2)


def _table(axes: Axes, metrics: Metrics) -> None:
    axes.axis("off")
    axes.set_title("In numbers, outside warm-up", loc="left", fontsize=12, fontweight="bold", color=INK)
    rows = table_rows(metrics)
    for number, (label, value) in enumerate(rows):
        y = 0.97 - number / len(rows)
        axes.text(0, y, label, transform=axes.transAxes, fontsize=10, va="top", color=MUTED)
        axes.text(1, y, value, transform=axes.transAxes, fontsize=10, va="top", ha="right", color=INK)
        axes.plot([0, 1], [y - 0.068] * 2, transform=axes.transAxes, color="#dddddd", linewidth=0.7)
