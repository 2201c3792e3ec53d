"""Boards whose runs are numbers that a test sets: no run is played."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.comparison.arms import Measured
from analysis.comparison.verdicts import Smallest
from analysis.standings.gathering import CellRuns
from analysis.standings.judging import judge_board
from analysis.standings.measures import BARE, BARE_FAULT, FAULT, IN_TIME, WHOLE
from analysis.standings.protocol import RUNS, ArmPlan, Protocol, Refusal, RowPlan, folder_of
from record.reading import Run
from record.schema import MANIFEST, METRICS, REQUEST_COLUMNS, VERSION

REQUESTS = 2_000
FLOOR_MS = 100.0
OVER = {FAULT: (BARE_FAULT, "floor_p99_ms_fault"), WHOLE: (BARE, "floor_p99_ms")}
"""Of a multiple of the floor's: the quantile itself, and the floor's."""
PACK = Path("pack")
SMALLEST = Smallest(0.05, 0.001, 1.0, 1.0)
"""The smallest effects of interest, as they are by default."""
NO_ROWS, NOTHING = pd.DataFrame(columns=list(REQUEST_COLUMNS)), pd.Series(dtype="float64")
"""Of all runs: to make them anew takes longer than to judge a board."""


def one(value, *, seed=1, failed=0, measure=FAULT, arm="a", row="hang", looks=(), served=1.0, floor_ms=FLOOR_MS):
    """A run as a board sees it; `value` None = its p99 is among what was not served."""
    metrics: Any = {
        "valid": True, "invalid_reasons": [], "offered_requests": REQUESTS, "failed_requests": failed,
        "error_rate": failed / REQUESTS, "floor_failed_requests": 0, "served_share": served,
        **dict.fromkeys((FAULT, WHOLE, BARE, BARE_FAULT)),
        **dict.fromkeys(("latency_p99_beyond_ms", "latency_p99_beyond_ms_fault"), 250.0 if value is None else None),
    }  # fmt: skip
    if measure != IN_TIME:
        metrics[measure] = value
    if measure in OVER:
        bare, floor = OVER[measure]
        metrics |= {bare: None if value is None else value * floor_ms, floor: floor_ms}
    manifest: Any = {"seed": seed, "schedule_hash": f"of {seed}", "config": {"comparison": {}}, "looks": list(looks)}
    folder = PACK / "runs" / row / f"{arm},seed={seed}"
    return Measured(Run(folder, manifest, NO_ROWS, [], [], NOTHING, NOTHING), metrics)


def cell(values, *, failed=0, measure=FAULT, arm="a", row="hang"):
    """A cell of one run a value."""
    lost = [failed] * len(values) if isinstance(failed, int) else failed
    runs = {
        seed: one(value, seed=seed, failed=count, measure=measure, arm=arm, row=row)
        for seed, (value, count) in enumerate(zip(values, lost, strict=True), 1)
    }
    return CellRuns(runs)


def protocol(arms, rows=("hang",), *, seeds=5, family="board", measure=FAULT, refused=(), is_virtual=True, groups=0):
    """What was set before the data."""
    return Protocol(
        suite="pathologies", engine="sim", is_virtual=is_virtual, arms=tuple(ArmPlan(a, (f"policy={a}",)) for a in arms),
        rows=tuple(RowPlan(row, row, measure, ()) for row in rows), seeds=tuple(range(1, 1 + seeds)), duration_s=None,
        common=(), family=family, tries=3, refused=tuple(Refusal(*each) for each in refused), same_groups=groups,
        command=("python", "-m", "experiments.evidence"),
    )  # fmt: skip


def scattered(mean, spread, count, rng):
    """Lognormal values."""
    return [mean * math.exp(rng.gauss(0, spread)) for _ in range(count)]


def rng_of(name):
    return random.Random(name)


def board_of(cells, arms, **more):
    """Judged, of a pack whose protocol has those rows and arms."""
    rows = tuple(dict.fromkeys(row for row, _ in cells))
    return judge_board(PACK, protocol(arms, rows, **more), cells)


def cells_of(values, row="hang", **more):
    """Of each arm one, of its values."""
    return {(row, arm): cell(v, arm=arm, row=row, **more) for arm, v in values.items()}


def written(pack, plan, cells, kind=RUNS):
    """The pack on disk: its protocol, and of each run what a board reads."""
    pack.mkdir(parents=True, exist_ok=True)
    plan.write(pack)
    for (row, arm), runs in cells.items():
        for seed, each in runs.by_seed.items():
            write_run(folder_of(pack, kind, row, arm, seed), each)
    return pack


def write_run(folder, measured, exit_reason="complete"):
    """Manifest and metrics of a run."""
    folder.mkdir(parents=True)
    manifest = measured.run.manifest | {"schema_version": VERSION, "exit_reason": exit_reason}
    manifest["config"] = {"workload": {}, **manifest["config"]}
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    (folder / METRICS).write_text(json.dumps(measured.metrics), encoding="utf-8")
    return folder
