"""Where a fleet stays down after a trigger: load x length of the trigger, with the edge of theory.

`python -m analysis.storm_map results/sweeps/<time>` draws storm_map.png again; `+scenario=retry_storm_map` does so at
its end. Exit status: 0 drawn; 2 the runs make no map.
"""

import argparse
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from analysis.comparison.arms import ComparisonError
from analysis.comparison.gathering import read_each
from analysis.pages.style import HEADER_LINE_PX, INK, MUTED, RED, dress, figure, header, save
from record.files import FolderError
from record.reading import Run

REFUSED = 2
LAST = 0.2
"""The share of a run, at its end, whose requests are looked at."""
NAME = "storm_map.png"
CHARACTER_PX = 9
"""Width of a character of the header, roughly."""
AGREE = 0.1
"""Runs of one cell whose shares lie farther apart do not agree, which the cell says."""


def served_at_the_end(run: Run) -> float | None:
    """The share of the requests scheduled in the last part of the run that were served."""
    last = run.requests["scheduled_s"].to_numpy() >= (1 - LAST) * run.end_s
    served = run.requests["outcome"].to_numpy(dtype=object)[last] == "ok"
    return float(served.mean()) if len(served) else None


def edge_rps(config: dict[str, Any]) -> float:
    """The load at which every attempt of every request fills the fleet: capacity over attempts."""
    replica, speeds = config["replica"], config["replica"].get("speeds") or [1.0] * int(config["replicas"])
    capacity = sum(speeds) * replica["concurrency"] / (config["workload"]["demand"]["mean_ms"] / 1e3)
    return float(capacity / config["router"]["retry"]["max_attempts"])


def cells(runs: list[Run]) -> dict[tuple[float, float], list[float]]:
    """The share of each run of a cell, ascending, by (load in requests a second, seconds that the trigger lasts).

    Raises:
        ComparisonError: a run has no trigger that ends, or no router.
    """
    found: dict[tuple[float, float], list[float]] = {}
    for run in runs:
        config, faults = run.manifest["config"], run.manifest.get("faults") or []
        if not faults or faults[0].get("for_s") is None or not config.get("router"):
            raise ComparisonError(f"{run.folder}: a map needs a router and a fault that ends")
        share = served_at_the_end(run)
        if share is not None:
            at = float(config["workload"]["rate_rps"]), float(faults[0]["for_s"])
            found.setdefault(at, []).append(share)
    if not found:
        raise ComparisonError("no run with requests at its end")
    return {at: sorted(shares) for at, shares in found.items()}


def draw(runs: list[Run], path: Path) -> None:
    """The map; written whole or not at all. Raises ComparisonError as `cells` does."""
    found = cells(runs)
    loads, lengths = (sorted({at[axis] for at in found}) for axis in (0, 1))
    table = np.full((len(lengths), len(loads)), np.nan)
    for (load, length), shares in found.items():
        table[lengths.index(length), loads.index(load)] = float(np.mean(shares))
    edge = edge_rps(runs[0].manifest["config"])
    width_px = max(900, 300 + 110 * len(loads))
    text = f"share of the requests in the last {LAST:.0%} of the run that were served, mean of a cell's runs, and "
    text += f"their range where it passes {AGREE:.0%}; red: capacity / attempts = {edge:.1f} requests/s"
    lines = textwrap.wrap(text, width_px // CHARACTER_PX)
    fig = figure(width_px, max(520, 220 + 80 * len(lengths)), 45 + HEADER_LINE_PX * len(lines))
    axes = fig.subplots()
    dress(axes, "", "load, requests/s", "the trigger lasts, s")
    shown = axes.imshow(table, origin="lower", aspect="auto", cmap="cividis", vmin=0, vmax=1)
    fig.colorbar(shown, ax=axes, label="served, of the last requests")
    axes.set_xticks(range(len(loads)), [f"{load:g}" for load in loads])
    axes.set_yticks(range(len(lengths)), [f"{length:g}" for length in lengths])
    axes.grid(visible=False)
    for (load, length), shares in found.items():
        at = (loads.index(load), lengths.index(length))
        colour = "white" if table[at[1], at[0]] < 0.5 else INK
        axes.annotate(told(shares), at, ha="center", va="center", fontsize=10, color=colour)
    _draw_edge(axes, loads, edge)
    header(fig, 0, "Does the fleet come back after the trigger?", fontsize=14, color=INK)
    for number, line in enumerate(lines, 1):
        header(fig, number, line, fontsize=10, color=MUTED)
    save(fig, path)


def told(shares: list[float]) -> str:
    """The mean of a cell's runs, and where they do not agree, from which to which."""
    mean = f"{np.mean(shares):.0%}"
    return f"{mean}\n{shares[0]:.0%} to {shares[-1]:.0%}" if shares[-1] - shares[0] > AGREE else mean


def _draw_edge(axes: Axes, loads: list[float], edge: float) -> None:
    if loads[0] <= edge <= loads[-1]:
        axes.axvline(float(np.interp(edge, loads, range(len(loads)))), color=RED, linewidth=2, linestyle="--")


def main(arguments: list[str] | None = None) -> int:
    """Draw what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.storm_map", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("place", type=Path, metavar="DIR", help="a sweep's folder")
    chosen = parser.parse_args(arguments)
    try:
        draw(list(read_each([chosen.place])), chosen.place / NAME)
    except (FolderError, ComparisonError, OSError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    except (KeyError, TypeError, ZeroDivisionError):
        print(f"{chosen.place}: rate, demand, replicas or retries are missing in a manifest", file=sys.stderr)
        return REFUSED
    print(f"picture: {chosen.place / NAME}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
