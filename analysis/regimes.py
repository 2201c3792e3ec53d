"""Which policy wins where: `python -m analysis.regimes results/sweeps/<time>` draws a map of a sweep over two keys.

    python -m experiments.run -m +scenario=routed engine=sim 'seed=range(5)' \\
        policy=round_robin,least_request,peak_ewma workload.utilisation=0.5,0.7,0.9 replicas=2,8,32

A cell is one pair of values. It has a *winner* where one policy is better than every other, lost requests first, then
the primary metric; its best policies are *equivalent* where they differ by less than matters; else it is *undecided*.
All pairs of policies in all cells are one family (Holm): at most 5 % of maps have a false winner anywhere.
Writes regimes.json and regimes.png. Exit status: 0 drawn; 2 the runs make no map.
"""

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from analysis.comparison.arms import Arm, ComparisonError, sort_into_arms
from analysis.comparison.best_arms import best_sets
from analysis.comparison.compared import BY_KEY, Compared
from analysis.comparison.gathering import read_runs
from analysis.comparison.statistics import geometric_interval
from record.files import FolderError, write_text
from record.metrics import Metrics, value_of
from record.reading import Run
from record.settings import flatten

REFUSED = 2
ARM_SECTION = "policy"
HATCHES = {"equivalent": "..", "undecided": "///"}
LABEL = {"boxstyle": "round", "facecolor": "white", "alpha": 0.75, "linewidth": 0}
Point = tuple[float, float]
Measured = tuple[Run, Metrics]


@dataclass(frozen=True)
class Cell:
    """One point of the map."""

    x: float
    y: float
    state: Literal["winner", "equivalent", "undecided"]
    best: str
    """The policy that looks best."""
    others: list[str]
    """Those that are not worse."""
    worse: list[str]
    value: float | None
    """The best one's primary metric: geometric mean of valid runs, of a share the mean; None = a run has none."""


def axes_of(runs: list[Measured]) -> list[str]:
    """The keys with numbers that differ between the runs, without seed and policy, in the configuration's order."""
    flat = [flatten(run.manifest["config"]) for run, _ in runs]
    keys = [key for key in flat[0] if len({each.get(key) for each in flat}) > 1]
    keys = [key for key in keys if key.split(".")[0] not in (ARM_SECTION, "seed")]
    # The rate follows where the utilisation is given.
    if any(each.get("workload.utilisation", "none") != "none" for each in flat):
        keys = [key for key in keys if key != "workload.rate_rps"]
    return [key for key in keys if all(_is_number(each.get(key)) for each in flat)]


def _is_number(text: str | None) -> bool:
    try:
        return math.isfinite(float(text or ""))
    except ValueError:
        return False


def regimes(runs: list[Measured], x: str, y: str) -> list[Cell]:
    """The map's cells, by x and y.

    Raises:
        ComparisonError: a cell has one policy only, or its arms cannot be compared.
    """
    points: dict[Point, list[Measured]] = {}
    for run, metrics in runs:
        flat = flatten(run.manifest["config"])
        points.setdefault((float(flat[x]), float(flat[y])), []).append((run, metrics))
    points_and_arms = [(point, sort_into_arms(members)) for point, members in sorted(points.items())]
    primary = _primary(runs)
    cells = []
    for (point, arms), best in zip(points_and_arms, best_sets([arms for _, arms in points_and_arms]), strict=True):
        state: Literal["winner", "equivalent", "undecided"] = "undecided"
        if best.are_equivalent:
            state = "equivalent"
        elif not best.others:
            state = "winner"
        value = _mean(next(arm for arm in arms if arm.label == best.first), primary)
        others, worse = ([_name(label) for label in labels] for labels in (best.others, best.worse))
        cells.append(Cell(*point, state, _name(best.first), others, worse, value))
    return cells


def _primary(runs: list[Measured]) -> Compared:
    return BY_KEY[str(runs[0][0].manifest["config"]["comparison"]["primary"])]


def _mean(arm: Arm, primary: Compared) -> float | None:
    values = [value_of(one.metrics, primary.key) for runs in arm.runs.values() for one in runs if one.metrics["valid"]]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return geometric_interval(known).mean if primary.by == "ratio" else sum(known) / len(known)


def _name(label: str) -> str:
    return label.removeprefix(f"{ARM_SECTION}=")


def draw(cells: list[Cell], x: str, y: str, primary: Compared, path: Path) -> None:
    """The map: a colour a winner, a hatching each where there is none. Written whole or not at all."""
    from matplotlib.patches import Patch, Rectangle

    from analysis.pages.style import BLUE, GREEN, GREY, INK, MUTED, ORANGE, PURPLE, RED, dress, figure, header, save

    xs, ys = sorted({cell.x for cell in cells}), sorted({cell.y for cell in cells})
    names = sorted({name for cell in cells for name in (cell.best, *cell.others, *cell.worse)})
    colours = dict(zip(names, (BLUE, ORANGE, GREEN, PURPLE, RED, GREY) * len(names), strict=False))
    fig = figure(max(1000, 340 + 150 * len(xs)), max(600, 240 + 100 * len(ys)), 70)
    axes = fig.subplots()
    dress(axes, "", x, y)
    for cell in cells:
        at = (xs.index(cell.x) - 0.5, ys.index(cell.y) - 0.5)
        colour, alpha = (colours[cell.best], 0.85) if cell.state == "winner" else ("white", 1.0)
        axes.add_patch(Rectangle(at, 1, 1, facecolor=colour, alpha=alpha, edgecolor=GREY, linewidth=0.8))
        if cell.state in HATCHES:
            axes.add_patch(Rectangle(at, 1, 1, fill=False, hatch=HATCHES[cell.state], edgecolor=GREY, linewidth=0))
        value = "-"
        if cell.value is not None:
            value = f"{cell.value:.2%}" if primary.is_percent else f"{cell.value:,.3g} {primary.unit}"
        first = cell.best if cell.state == "winner" else "\n".join((cell.best, *cell.others))
        text = f"{first}\n{value}"
        axes.annotate(text, (at[0] + 0.5, at[1] + 0.5), ha="center", va="center", fontsize=9, color=INK, bbox=LABEL)
    axes.set_xlim(-0.5, len(xs) - 0.5)
    axes.set_ylim(-0.5, len(ys) - 0.5)
    axes.set_xticks(range(len(xs)), [f"{value:g}" for value in xs])
    axes.set_yticks(range(len(ys)), [f"{value:g}" for value in ys])
    axes.grid(visible=False)
    patches = [Patch(facecolor=colours[name], alpha=0.85, label=f"winner: {name}") for name in names]
    patches += [Patch(facecolor="white", hatch=hatch, edgecolor=GREY, label=state) for state, hatch in HATCHES.items()]
    axes.legend(handles=patches, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    counts = [f"{sum(cell.state == state for cell in cells)} {state}" for state in ("winner", *HATCHES)]
    header(fig, 0, f"Which policy wins in {len(cells)} cells: {', '.join(counts)}", fontsize=14, color=INK)
    note = f"{primary.label} of the one that looks best; one family: at most 5 % of maps have a false winner anywhere"
    header(fig, 1, note, fontsize=10, color=MUTED)
    save(fig, path)


def main(arguments: list[str] | None = None) -> int:
    """Draw what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m analysis.regimes", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("place", type=Path, metavar="DIR", help="a sweep's folder")
    parser.add_argument("--x", metavar="KEY", help="horizontal key (default: the first that differs)")
    parser.add_argument("--y", metavar="KEY", help="vertical key (default: the second)")
    chosen = parser.parse_args(arguments)
    try:
        runs = read_runs([chosen.place])
        axes = axes_of(runs)
        x = chosen.x or next((key for key in axes if key != chosen.y), None)
        y = chosen.y or next((key for key in axes if key != x), None)
        if x is None or y is None:
            there = ", ".join(axes) or "none"
            raise ComparisonError(f"a map needs two keys with numbers that differ; there is {there}")
        unknown = [key for key in (x, y) if key not in axes]
        if unknown:
            raise ComparisonError(f"{unknown[0]}: there are {', '.join(axes)}")
        if more := [key for key in axes if key not in (x, y)]:
            raise ComparisonError(f"the runs differ in {', '.join(more)}, too; a map has two axes")
        cells = regimes(runs, x, y)
        rows = [asdict(cell) for cell in cells]
        write_text(chosen.place / "regimes.json", json.dumps({"x": x, "y": y, "cells": rows}, indent=2) + "\n")
        draw(cells, x, y, _primary(runs), chosen.place / "regimes.png")
    except (FolderError, ComparisonError, OSError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    for cell in cells:
        word = cell.best if cell.state == "winner" else f"{cell.state} ({', '.join([cell.best, *cell.others])})"
        print(f"{x}={cell.x:g}, {y}={cell.y:g}: {word}")
    print(f"picture: {chosen.place / 'regimes.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
