"""Calibrates the comparison on simulated data: `python -m analysis.calibration --output calibration.md`.

Many experiments with a known truth go through `compare` (`analysis.comparison`) as real runs do: how often do its
intervals hold the truth, how often does it see a difference where there is none, and how often the one there is? On
runs of their length and on the system, on counts of lost requests, on many arms, maps, extended sweeps and bad runs.
Exit status: 0 every figure is within its target, or the product itself says where not; 1 one is outside by more than
chance.
"""

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import numpy as np

from analysis.calibration import failures as calibration_failures
from analysis.calibration import families as calibration_families
from analysis.calibration import latency as calibration_latency
from analysis.calibration.cells import Table, merge
from record.files import write_text

UTILISATIONS = (0.5, 0.8, 0.9)
Part = Callable[[int, np.random.Generator], list[Table]]
SUBJECTS: dict[str, tuple[list[Part], float]] = {
    "runs": ([partial(calibration_latency.of_runs, rho) for rho in UTILISATIONS], 1.0),
    "system": ([partial(calibration_latency.of_system, rho) for rho in UTILISATIONS], 0.25),
    "shares": ([calibration_failures.of_shares, calibration_failures.of_losers], 0.5),
    "arms": ([calibration_families.of_many_arms], 0.25),
    "maps": ([calibration_families.of_maps], 0.1),
    "extended": ([calibration_families.of_extended], 1.0),
    "bad-runs": ([calibration_families.of_bad_runs], 0.5),
}
"""By name: its parts, each simulated by a process of its own, and the experiments in a cell as a share of those asked
for, so that each subject takes about as long."""


def calibrate(subject: str, number: int, experiments: int, seed: int) -> list[Table]:
    """The tables of one part of a subject.

    Args:
        subject: a key of SUBJECTS.
        number: of its part.
        experiments: in a cell of the largest subject.
        seed: of everything that is drawn.
    """
    parts, share = SUBJECTS[subject]
    rng = np.random.default_rng([seed, list(SUBJECTS).index(subject), number])
    return parts[number](max(30, round(experiments * share)), rng)


def report(tables: list[Table]) -> str:
    """All of them, in Markdown."""
    return "\n\n".join(table.markdown() for table in tables) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Calibrate; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.calibration", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--experiments", type=int, default=1000, metavar="N", help="in a cell of the largest subject (default: 1000)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn (default: 1)")
    parser.add_argument("--only", nargs="+", choices=list(SUBJECTS), metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the tables there, too")
    chosen = parser.parse_args(arguments)
    if chosen.experiments < 1 or chosen.seed < 0:
        parser.error("--experiments must be at least 1, --seed at least 0")
    if chosen.output is not None:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
    subjects = chosen.only or list(SUBJECTS)
    jobs = [(subject, number) for subject in subjects for number in range(len(SUBJECTS[subject][0]))]
    with ProcessPoolExecutor() as pool:
        waiting = {pool.submit(calibrate, *job, chosen.experiments, chosen.seed): job for job in jobs}
        for done, future in enumerate(as_completed(waiting), 1):
            print(f"{done} of {len(jobs)}: {waiting[future][0]}", file=sys.stderr, flush=True)
            future.result()
        tables = merge(future.result() for future in waiting)
    text = report(tables)
    print(text)
    if chosen.output is not None:
        write_text(chosen.output, text)
    misses = [line for table in tables for line in table.outside()]
    for line in misses:
        print(f"outside its target: {line}")
    if not misses:
        print("Every figure is within its target, given the error of the simulation, or noted by the product (†).")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
