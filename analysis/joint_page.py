"""Several runs on one page: a row a scenario; invalid runs crossed out, with the reason."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from analysis.run_folder import Run
from analysis.style import BLUE, GREEN, GREY, ORANGE, PALETTE, RED, dress, figure, save

Entry = tuple[Run, dict[str, Any]]
ORDER = ("baseline", "routed", "failover", "failure", "autoscale")


def draw_many(entries: list[Entry], path: Path) -> None:
    """Draw the page: latency quantiles, distribution, and rates with replicas, for every scenario."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(str(entry[0].manifest["scenario"]), []).append(entry)
    names = sorted(groups, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    fig = figure(1600, 90 + 330 * len(names))
    axes = fig.subplots(len(names), 3, squeeze=False, gridspec_kw={"width_ratios": [1, 1, 1.5]})
    for row, name in zip(axes, names, strict=True):
        _quantiles(row[0], name, groups[name])
        _distribution(row[1], groups[name])
        _course(row[2], groups[name])
    valid = sum(bool(metrics["valid"]) for _, metrics in entries)
    fig.suptitle(f"Aegis: {len(entries)} runs, {valid} valid", x=0.01, ha="left", fontsize=15, fontweight="bold")
    save(fig, path)


def _quantiles(axes: Axes, name: str, entries: list[Entry]) -> None:
    """p50, p90 and p99 of every run; an invalid run is a grey cross."""
    marks = (("p50", GREEN, "o"), ("p90", BLUE, "s"), ("p99", ORANGE, "^"))
    reasons: list[str] = []
    for position, (run, metrics) in enumerate(entries):
        for quantile, colour, marker in marks:
            value = metrics[f"latency_{quantile}_ms"]
            if value is not None:
                axes.plot(value, position, marker if metrics["valid"] else "x", markersize=9,
                          color=colour if metrics["valid"] else GREY)  # fmt: skip
                axes.annotate(f"{value:.0f}", (value, position), xytext=(0, 8), textcoords="offset points",
                              fontsize=8, ha="center")  # fmt: skip
        if not metrics["valid"]:
            reasons.append(f"{run.folder.name}: {metrics['invalid_reasons'][0]}")
    errors = [metrics["error_rate"] for _, metrics in entries if metrics["error_rate"] is not None]
    failed = f"{np.mean(errors):.2%} failed" if errors else "no requests"
    dress(axes, f"{name}: {failed}", "latency (ms)", "run", xscale="log")
    axes.set_yticks(range(len(entries)), [f"{run.folder.name}" for run, _ in entries], fontsize=8)
    axes.set_ylim(-0.8, len(entries) - 0.2)
    axes.margins(x=0.15)
    handles = [axes.plot([], [], marker, color=colour, label=label)[0] for label, colour, marker in marks]
    axes.legend(handles=handles, loc="lower right", fontsize=8, ncols=3, frameon=False)
    if reasons:
        text = "\n".join(textwrap.wrap("invalid: " + "; ".join(reasons), 60, max_lines=3, placeholder=" ..."))
        axes.text(0.01, 0.98, text, transform=axes.transAxes, fontsize=8, color=RED, va="top")


def _distribution(axes: Axes, entries: list[Entry]) -> None:
    for number, (run, metrics) in enumerate(entries):
        measured = run.measured
        latency = np.sort(((measured["completed_s"] - measured["scheduled_s"]) * 1e3).dropna().to_numpy())
        if len(latency):
            slower = 1 - np.arange(len(latency)) / len(latency)
            colour = PALETTE[number % len(PALETTE)] if metrics["valid"] else GREY
            axes.plot(np.maximum(latency, 0.1), slower, color=colour, linewidth=1.6, label=run.folder.name)
    dress(axes, "Requests slower than ...", "latency (ms)", "share of requests", xscale="log", yscale="log")
    if 1 < len(entries) <= 6:
        axes.legend(loc="lower left", fontsize=8, frameon=False, title="run", title_fontsize=8)


def _course(axes: Axes, entries: list[Entry]) -> None:
    """The first run's rates over time, with its faults and replicas."""
    from analysis import timeline

    run, _ = entries[0]
    seconds = timeline.build(run)
    middle = seconds["second"] + 0.5
    for fault in run.injected:
        end = run.duration_s if fault["healed_s"] is None else fault["healed_s"]
        axes.axvspan(fault["t_s"], end, color=RED, alpha=0.12, linewidth=0)
    axes.plot(middle, seconds["offered_rps"], color=GREY, linewidth=3, alpha=0.7, label="offered")
    axes.plot(middle, seconds["goodput_rps"], color=BLUE, linewidth=1.5, label="answered well")
    axes.plot(middle, seconds["errors"], color=RED, linewidth=1.5, label="failed")
    dress(axes, f"Run {run.folder.name} over time (faults shaded)", "seconds from the run's start", "requests per second")
    axes.set_xlim(0, run.duration_s)
    axes.set_ylim(0, 1.35 * max(1.0, float(seconds["offered_rps"].max())))
    right = axes.twinx()
    right.step(middle, seconds["replicas_ready"], where="mid", color=GREEN, linewidth=1.8, label="replicas ready (right)")
    top = seconds["replicas_ready"].max()
    right.set_ylim(0, 1.35 * (1.0 if np.isnan(top) else max(1.0, float(top))))
    right.set_ylabel("replicas ready", fontsize=10)
    right.spines["top"].set_visible(False)
    handles = [*axes.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, loc="upper left", fontsize=8, ncols=4, frameon=False)
