"""Which policy wins where: `python -m analysis.regimes results/sweeps/<time>` draws a map of a sweep over two keys.

    python -m experiments.run -m +scenario=routed engine=sim 'seed=range(5)' \\
        policy=round_robin,least_request,peak_ewma workload.utilisation=0.5,0.7,0.9 replicas=2,8,32

A cell is one pair of values. It takes the colour of the policy whose primary metric is best; it is hatched where not
every other policy is *worse* by the verdict of `analysis.compare` (intervals on paired log-ratios, Holm).
Writes regimes.json and regimes.png. Exit status: 0 drawn; 2 the runs make no map.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.arms import Arm, ComparisonError, flatten, sort_into_arms
from analysis.compare import read_runs
from analysis.comparison import compare
from analysis.comparison_metrics import COMPARED, Compared
from analysis.run_folder import FolderError, Run
from analysis.statistics import Verdict, geometric_interval
from analysis.summary import write_text

REFUSED = 2
ARM_SECTION = "policy"
LABEL = {"boxstyle": "round", "facecolor": "white", "alpha": 0.75, "linewidth": 0}
Point = tuple[float, float]
Measured = tuple[Run, dict[str, Any]]


@dataclass(frozen=True)
class Cell:
    """One point of the map."""

    x: float
    y: float
    best: str
    """The policy with the best value."""
    is_decided: bool
    """Whether every other one is worse by its verdict."""
    value: float
    """Of the best, geometric mean over its valid runs."""
    others: dict[str, Verdict]
    """The verdicts of the others against it."""


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
        float(text or "")
    except ValueError:
        return False
    return True


def regimes(runs: list[Measured], x: str, y: str) -> list[Cell]:
    """The map's cells, by x and y.

    Raises:
        ComparisonError: a cell has one policy only, or its arms cannot be compared.
    """
    points: dict[Point, list[Measured]] = {}
    for run, metrics in runs:
        flat = flatten(run.manifest["config"])
        points.setdefault((float(flat[x]), float(flat[y])), []).append((run, metrics))
    return [_cell(point, members) for point, members in sorted(points.items())]


def _cell(point: Point, members: list[Measured]) -> Cell:
    arms = sort_into_arms(members)
    primary = _primary(members)
    means = {arm.label: _mean(arm, primary) for arm in arms}
    known = {label: mean for label, mean in means.items() if mean is not None}
    if not known:
        raise ComparisonError(f"no valid run at {point[0]:g}, {point[1]:g}")
    best = (min if primary.lower_is_better else max)(known, key=lambda label: known[label])
    ordered = sorted(arms, key=lambda arm: arm.label != best)
    verdicts = {row.arm: row.verdict for row in compare(ordered).rows if row.is_primary}
    others = {_name(arm.label): verdicts.get(arm.label, "inconclusive") for arm in ordered[1:]}
    return Cell(*point, _name(best), all(verdict == "worse" for verdict in others.values()), known[best], others)


def _primary(members: list[Measured]) -> Compared:
    key = str(members[0][0].manifest["config"]["comparison"]["primary"])
    return next(compared for compared in COMPARED if compared.key == key)


def _mean(arm: Arm, primary: Compared) -> float | None:
    """Over the valid runs: geometric, of a share, which may be 0, arithmetic."""
    found = [metrics[primary.key] for runs in arm.runs.values() for _, metrics in runs if metrics["valid"]]
    values = [value for value in found if value is not None]
    if primary.is_share:
        return sum(values) / len(values) if values else None
    return geometric_interval(values).mean


def _name(label: str) -> str:
    return label.removeprefix(f"{ARM_SECTION}=")


def draw(cells: list[Cell], x: str, y: str, primary: Compared, path: Path) -> None:
    """The map; hatched = undecided. Written whole or not at all."""
    from matplotlib.patches import Patch, Rectangle

    from analysis.style import BLUE, GREEN, GREY, INK, MUTED, ORANGE, PURPLE, RED, dress, figure, header, save

    xs, ys = sorted({cell.x for cell in cells}), sorted({cell.y for cell in cells})
    names = sorted({cell.best for cell in cells} | {name for cell in cells for name in cell.others})
    colours = dict(zip(names, (BLUE, ORANGE, GREEN, PURPLE, RED, GREY) * len(names), strict=False))
    fig = figure(max(900, 300 + 150 * len(xs)), max(560, 220 + 100 * len(ys)), 70)
    axes = fig.subplots()
    dress(axes, "", x, y)
    for cell in cells:
        at = (xs.index(cell.x) - 0.5, ys.index(cell.y) - 0.5)
        look = {"facecolor": colours[cell.best], "alpha": 0.85 if cell.is_decided else 0.3, "edgecolor": "white"}
        axes.add_patch(Rectangle(at, 1, 1, **look))  # type: ignore[arg-type]
        if not cell.is_decided:
            axes.add_patch(Rectangle(at, 1, 1, fill=False, hatch="///", edgecolor=MUTED, linewidth=0))
        value = f"{cell.value:.2%}" if primary.is_share else f"{cell.value:,.3g} {primary.unit}"
        text = f"{cell.best}\n{value}"
        axes.annotate(text, (at[0] + 0.5, at[1] + 0.5), ha="center", va="center", fontsize=9, color=INK, bbox=LABEL)
    axes.set_xlim(-0.5, len(xs) - 0.5)
    axes.set_ylim(-0.5, len(ys) - 0.5)
    axes.set_xticks(range(len(xs)), [f"{value:g}" for value in xs])
    axes.set_yticks(range(len(ys)), [f"{value:g}" for value in ys])
    axes.grid(visible=False)
    patches = [Patch(facecolor=colours[name], label=name) for name in names]
    patches.append(Patch(facecolor="white", hatch="///", edgecolor=MUTED, label="undecided"))
    axes.legend(handles=patches, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    decided = sum(cell.is_decided for cell in cells)
    header(fig, 0, f"Which policy wins: {decided} of {len(cells)} cells are decided", fontsize=14, color=INK)
    note = f"{primary.label}, the best in each cell; hatched: not every other one is worse by its verdict"
    header(fig, 1, note, fontsize=10, color=MUTED)
    save(fig, path)


def main(arguments: list[str] | None = None) -> int:
    """Draw what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m analysis.regimes", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("place", type=Path, metavar="DIR", help="a sweep's folder")
    parser.add_argument("--x", metavar="KEY", help="horizontal key (default: the first that differs)")
    parser.add_argument("--y", metavar="KEY", help="vertical key (default: the second)")
    chosen = parser.parse_args(arguments)
    try:
        runs = read_runs([chosen.place])
        found = axes_of(runs)
        x = chosen.x or next((key for key in found if key != chosen.y), None)
        y = chosen.y or next((key for key in found if key != x), None)
        if x is None or y is None:
            there = ", ".join(found) or "none"
            raise ComparisonError(f"a map needs two keys with numbers that differ; there is {there}")
        unknown = [key for key in (x, y) if key not in found]
        if unknown:
            raise ComparisonError(f"{unknown[0]}: there are {', '.join(found)}")
        if more := [key for key in found if key not in (x, y)]:
            raise ComparisonError(f"the runs differ in {', '.join(more)}, too; a map has two axes")
        cells = regimes(runs, x, y)
        rows = [asdict(cell) for cell in cells]
        write_text(chosen.place / "regimes.json", json.dumps({"x": x, "y": y, "cells": rows}, indent=2) + "\n")
        draw(cells, x, y, _primary(runs), chosen.place / "regimes.png")
    except (FolderError, ComparisonError, OSError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    for cell in cells:
        word = cell.best if cell.is_decided else f"undecided ({cell.best} is first)"
        print(f"{x}={cell.x:g}, {y}={cell.y:g}: {word}")
    print(f"picture: {chosen.place / 'regimes.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
