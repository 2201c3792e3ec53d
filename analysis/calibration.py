"""Calibrates the comparison on simulated queues: `python -m analysis.calibration --output calibration.md`.

Many experiments with a known truth go through `analysis.comparison.compare` as real runs do: how often do its
intervals hold the truth, how often does it see a difference where there is none, and how often the one there is?
Exit status: 0 every figure is within its target; 1 one is outside by more than chance.
"""

import argparse
import math
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.arms import Arm
from analysis.calibration_cells import PRIMARY, Cell, outcome, table
from analysis.comparison import compare
from analysis.run_folder import Run
from analysis.sequential import planned_looks
from analysis.simulated_queues import FASTER, FASTER_APART, MEAN, REFERENCE, REQUESTS, SAME, Latencies, simulate
from analysis.summary import write_text
from analysis.validity import LIMITS

UTILISATIONS = (0.5, 0.8, 0.9)
PAIRS = (3, 5, 10, 20)
BUDGET = 20
"""Pairs of an experiment: the most that one uses, and `repeat.max` of the sequential ones."""
UNTIL = (0.05, 0.1, 0.2, 0.5)
"""Values of `repeat.until_ratio_ci`."""
CONTRASTS = (SAME, FASTER, FASTER_APART)
TRUTH_PAIRS = 20_000
"""Pairs of the simulation of its own that gives the true mean log-ratio: 1,000 times the largest experiment, so that
its error is a thirtieth of that of the narrowest interval."""
LATENESS_MS, LATENESS_SPREAD = 8.0, 0.6
"""Median and standard deviation on the log scale of a run's lateness: 3 % of the runs, of whichever arm, are beyond
the limit, and take their pairs with them."""


def calibrate(
    utilisation: float, experiments: int, rng: np.random.Generator, truth_pairs: int = TRUTH_PAIRS
) -> tuple[list[Cell], list[Cell]]:
    """Simulate and compare; the cells with fixed numbers of pairs, and those of sequential sweeps.

    Args:
        utilisation: of the reference.
        experiments: how many there are in a cell, each with BUDGET pairs; where fewer are used, its first ones.
        rng: where everything is drawn from.
        truth_pairs: pairs of the simulation that the truth is taken from.
    """
    large = simulate(utilisation, truth_pairs, rng)
    runs = {arm: _metrics(values, rng) for arm, values in simulate(utilisation, experiments * BUDGET, rng).items()}
    set_before, left_to_data = _run(None), _run(UNTIL[0])
    fixed: list[Cell] = []
    sequential: list[Cell] = []
    for contrast in CONTRASTS:
        truth = {key: float(np.log(ours / large[REFERENCE][key]).mean()) for key, ours in large[contrast].items()}
        if contrast == SAME:  # the arms can be exchanged, so that it is exactly 0
            truth = dict.fromkeys(truth, 0.0)
        by_count = {n: Cell(contrast, utilisation, str(n), truth) for n in PAIRS}
        by_until = {until: Cell(contrast, utilisation, f"{until:g}", truth) for until in UNTIL}
        for start in range(0, experiments * BUDGET, BUDGET):
            sample = {arm: runs[arm][start : start + BUDGET] for arm in (REFERENCE, contrast)}
            for n, cell in by_count.items():
                cell.outcomes.append(outcome(compare(_arms(sample, n, set_before)), n, truth))
            # What a look finds does not depend on the width that is wanted.
            looks = [(n, compare(_arms(sample, n, left_to_data))) for n in planned_looks(BUDGET)]
            for until, cell in by_until.items():
                n, found = next((each for each in looks if each[1].is_narrow(until)), looks[-1])
                cell.outcomes.append(outcome(found, n, truth))
        fixed += by_count.values()
        sequential += by_until.values()
    return fixed, sequential


def _metrics(values: Latencies, rng: np.random.Generator) -> list[dict[str, Any]]:
    """What `metrics.json` would hold of each run: none fails, some are invalid."""
    lateness = rng.lognormal(math.log(LATENESS_MS), LATENESS_SPREAD, len(values[MEAN]))
    valid = (lateness <= LIMITS["max_lateness_p99_ms"]).tolist()
    rows = zip(*(column.tolist() for column in values.values()), valid, strict=True)
    ok = {"error_rate": 0.0, "failed_requests": 0, "offered_requests": REQUESTS}
    return [dict(zip((*values, "valid"), row, strict=True)) | ok for row in rows]


def _run(until: float | None) -> Run:
    """A manifest without data, for every run: their metrics are there already."""
    config = {
        "comparison": {"primary": PRIMARY, "smallest_effect": 0.05, "smallest_share": 0.001},
        "repeat": {"until_ratio_ci": until, "max": BUDGET},
    }
    none = pd.Series(dtype="float64")
    return Run(Path(), {"schedule_hash": "the same", "config": config}, pd.DataFrame(), [], [], none, none)


def _arms(sample: dict[str, list[dict[str, Any]]], n: int, run: Run) -> list[Arm]:
    """The first n pairs."""
    return [Arm(arm, {seed: [(run, metrics)] for seed, metrics in enumerate(runs[:n])}) for arm, runs in sample.items()]


def report(fixed: list[Cell], sequential: list[Cell]) -> str:
    """All tables, in Markdown."""
    parts = []
    for title, cells, setting in (
        ("number of pairs fixed", fixed, "pairs"),
        (f"sequential, at most {BUDGET} pairs", sequential, "until_ratio_ci"),
    ):
        for contrast in CONTRASTS:
            parts.append(f"**{contrast}, {title}**\n")
            parts.append(table([cell for cell in cells if cell.contrast == contrast], setting) + "\n")
    return "\n".join(parts)


def outside(cells: Iterable[Cell]) -> list[str]:
    """A line for every figure that misses its target."""
    return [line for cell in cells for line in cell.outside()]


def _calibrate(utilisation: float, experiments: int, seed: list[int]) -> tuple[list[Cell], list[Cell]]:
    return calibrate(utilisation, experiments, np.random.default_rng(seed))


def main(arguments: list[str] | None = None) -> int:
    """Calibrate; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m analysis.calibration", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--experiments", type=int, default=4000, metavar="N", help="in every cell (default: 4000)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn (default: 1)")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the tables there, too")
    chosen = parser.parse_args(arguments)
    if chosen.experiments < 1 or chosen.seed < 0:
        parser.error("--experiments must be at least 1, --seed at least 0")
    if chosen.output is not None:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
    seeds = [[chosen.seed, number] for number in range(len(UTILISATIONS))]
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(_calibrate, UTILISATIONS, repeat(chosen.experiments), seeds))
    fixed, sequential = ([cell for cells in column for cell in cells] for column in zip(*found, strict=True))
    text = report(fixed, sequential)
    print(text)
    if chosen.output is not None:
        write_text(chosen.output, text)
    misses = outside([*fixed, *sequential])
    for line in misses:
        print(f"outside its target: {line}")
    if not misses:
        print("Every figure is within its target, given the error of the simulation.")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
