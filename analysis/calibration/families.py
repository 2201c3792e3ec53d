"""Calibration of many comparisons at once: the best of six arms, a map, a sweep that is extended, rare bad runs."""

import math

import numpy as np

from analysis.calibration.cells import Cell, Column, Table
from analysis.calibration.queues import REQUESTS, Server, latencies, simulate
from analysis.calibration.runs import arm, metrics, settings
from analysis.comparison.arms import Arm
from analysis.comparison.best_arms import best_sets
from analysis.comparison.comparison import compare

PRIMARY = "latency_p99_ms"
UTILISATION = 0.8
ARMS = 6
CELLS, CELL_PAIRS = 36, 5
EXTENDED = (5, 10, 15, 20, 25, 30)
"""Pairs of a sweep that is extended by five as long as it did not decide."""
BAD_SHARE, BAD_FACTOR = 0.1, 10.0
"""Rare bad runs: one in ten, ten times slower."""
UNSEEN = (
    "too narrow: intervals hold where runs scatter as normal values do. A bad run that was among them is named (see "
    "the column); else the note below every comparison says which share of bad runs so few pairs may have missed"
)
SPENT = (
    "the first end had spent the 5 %, and all extensions add 1 % at most, which the headline of an extended sweep says"
)


def of_many_arms(experiments: int, rng: np.random.Generator) -> list[Table]:
    """The best set of six arms: all equal, and one of them 10 % faster; each draws its own demand."""
    equal: list[Cell] = []
    faster: list[Cell] = []
    for cells, speeds in ((equal, [1.0] * ARMS), (faster, [1.1] + [1.0] * (ARMS - 1))):
        for n in (3, 5, 10, 20):
            servers = [Server(f"arm {number}", speed, True) for number, speed in enumerate(speeds)]
            p99 = _p99(servers, experiments * n, rng)
            cell = Cell({"pairs": str(n)})
            for start in range(0, experiments * n, n):
                best = best_sets([_arms({name: values[start : start + n] for name, values in p99.items()})])[0]
                cell.add(
                    false=bool(best.worse),
                    winner=not best.others,
                    best_left_out="arm 0" not in best.members,
                    members=len(best.members),
                )
            cells.append(cell)
    members = Column("members", "arms in the set", "mean")
    worse, false_winner = Column("false", "any called worse, %", most=0.05), Column("winner", "a winner, %", most=0.05)
    left_out, winner = Column("best_left_out", "best one left out, %", most=0.05), Column("winner", "a winner, %")
    return [
        Table("Six equal arms", [worse, false_winner, members], equal),
        Table("Six arms, one of them 10 % faster", [left_out, winner, members], faster),
    ]


def of_maps(experiments: int, rng: np.random.Generator) -> list[Table]:
    """Two equal policies on a map of 36 cells at five seeds: a false winner anywhere."""
    servers = [Server("a", 1.0, True), Server("b", 1.0, True)]
    cell = Cell({"cells": str(CELLS), "pairs": str(CELL_PAIRS)})
    for _ in range(experiments):
        p99 = _p99(servers, CELLS * CELL_PAIRS, rng)
        groups = [
            _arms({name: values[start : start + CELL_PAIRS] for name, values in p99.items()})
            for start in range(0, CELLS * CELL_PAIRS, CELL_PAIRS)
        ]
        cell.add(false=any(not best.others for best in best_sets(groups)))
    return [Table("A map of two equal policies", [Column("false", "false winner anywhere, %", most=0.05)], [cell])]


def of_extended(experiments: int, rng: np.random.Generator) -> list[Table]:
    """A/A sweeps of five pairs that are extended by five until they decide, or have 30."""
    servers = [Server("a", 1.0, True), Server("b", 1.0, True)]
    p99 = _p99(servers, experiments * EXTENDED[-1], rng)
    cells = [Cell({"ended at": ", ".join(map(str, EXTENDED[: number + 1]))}) for number in range(len(EXTENDED))]
    for start in range(0, experiments * EXTENDED[-1], EXTENDED[-1]):
        is_false = False
        for number, (n, cell) in enumerate(zip(EXTENDED, cells, strict=True)):
            if not is_false:
                part = {name: values[start : start + n] for name, values in p99.items()}
                row = compare(_arms(part, EXTENDED[:number])).row("b", PRIMARY)
                assert row is not None
                is_false = row.overall in ("better", "worse")
                cell.add(added=is_false)
            cell.add(false=is_false, within=is_false)
    within = Column("within", "false by then, at most 6 %", most=0.06)
    so_far = Column("false", "false by then, %", most=0.05, noted=SPENT)
    return [Table("A/A, extended", [Column("added", "false at this end, %", most=0.05), so_far, within], cells)]


def of_bad_runs(experiments: int, rng: np.random.Generator) -> list[Table]:
    """Equal arms of which a run in ten goes wrong: coverage of the interval, and how often that is said."""
    servers = [Server("a", 1.0, True), Server("b", 1.0, True)]
    cells = []
    for share in (0.0, BAD_SHARE):
        for n in (3, 5, 10, 20):
            p99 = _p99(servers, experiments * n, rng)
            bad = {name: rng.random(len(values)) < share for name, values in p99.items()}
            # Only one arm goes wrong, so that the truth is not 0.
            bad["a"][:] = False
            truth = share * math.log(BAD_FACTOR)
            cell = Cell({"bad runs": f"{share:.0%}", "pairs": str(n)})
            for start in range(0, experiments * n, n):
                part = {
                    name: values[start : start + n] * np.where(bad[name][start : start + n], BAD_FACTOR, 1)
                    for name, values in p99.items()
                }
                comparison = compare(_arms(part))
                row = comparison.row("b", PRIMARY)
                assert row is not None and row.low and row.high
                has_bad = bool(bad["b"][start : start + n].any())
                cell.add(
                    covered=math.log(row.low) <= truth <= math.log(row.high),
                    said=bool(comparison.outlying) if has_bad else None,
                    false_alarm=None if has_bad else bool(comparison.outlying),
                )
            cells.append(cell)
    columns = [
        Column("covered", "coverage, %", least=0.92, most=0.98, noted=UNSEEN),
        Column("said", "named where there was one, %"),
        Column("false_alarm", "named where there was none, %", most=0.05),
    ]
    return [Table("Rare bad runs", columns, cells)]


def _p99(servers: list[Server], runs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    parts = [
        {name: latencies(table)[PRIMARY] for name, table in part.items()}
        for part in simulate(UTILISATION, runs, servers, rng)
    ]
    return {server.name: np.concatenate([part[server.name] for part in parts]) for server in servers}


def _arms(p99: dict[str, np.ndarray], looks: tuple[int, ...] = ()) -> list[Arm]:
    manifest = settings(looks=looks)
    return [
        arm(name, manifest, [metrics(REQUESTS, {PRIMARY: value}) for value in values.tolist()])
        for name, values in p99.items()
    ]
