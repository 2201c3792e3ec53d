"""Where a fleet stays down after a trigger: load x length of the trigger, with the edge of theory.

`python -m analysis.storm_map results/sweeps/<time>` draws storm_map.png again; `+scenario=retry_storm_map` does so at
its end. Exit status: 0 drawn; 2 the runs make no map.
"""

import argparse
import sys
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from analysis.comparison.gathering import read_each
from analysis.metrics import storm
from analysis.metrics.storm import MapError
from analysis.pages.style import HEADER_LINE_PX, INK, MUTED, RED, dress, figure, header, save
from record.files import FolderError
from record.reading import Run

REFUSED = 2
NAME = "storm_map.png"
CHARACTER_PX = 9
"""Width of a character of the header, roughly."""


def draw(runs: list[Run], path: Path) -> None:
    """The map; written whole or not at all. Raises MapError as `storm.cells` does."""
    served = storm.cells(runs)
    loads, lengths = (sorted({at[axis] for at in served}) for axis in (0, 1))
    table = np.full((len(lengths), len(loads)), np.nan)
    for (load, length), shares in served.items():
        table[lengths.index(length), loads.index(load)] = float(np.mean(shares))
    edge = storm.edge_rps(runs[0].manifest["config"])
    width_px = max(900, 300 + 110 * len(loads))
    text = f"{storm.ABOUT}; red: capacity / attempts = {edge:.1f} requests/s"
    lines = textwrap.wrap(text, width_px // CHARACTER_PX)
    fig = figure(width_px, max(520, 220 + 80 * len(lengths)), 45 + HEADER_LINE_PX * len(lines))
    axes = fig.subplots()
    dress(axes, "", "load, requests/s", "the trigger lasts, s")
    shown = axes.imshow(table, origin="lower", aspect="auto", cmap="cividis", vmin=0, vmax=1)
    fig.colorbar(shown, ax=axes, label="served, of the last requests")
    axes.set_xticks(range(len(loads)), [f"{load:g}" for load in loads])
    axes.set_yticks(range(len(lengths)), [f"{length:g}" for length in lengths])
    axes.grid(visible=False)
    for (load, length), shares in served.items():
        at = (loads.index(load), lengths.index(length))
        colour = "white" if table[at[1], at[0]] < 0.5 else INK
        axes.annotate(storm.told(shares), at, ha="center", va="center", fontsize=10, color=colour)
    _draw_edge(axes, loads, edge)
    header(fig, 0, storm.QUESTION, fontsize=14, color=INK)
    for number, line in enumerate(lines, 1):
        header(fig, number, line, fontsize=10, color=MUTED)
    save(fig, path)


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
    except (FolderError, MapError, OSError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    print(f"picture: {chosen.place / NAME}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
