"""Calibration of latency's intervals and verdicts: on runs of their length and on the system, fixed and sequential."""

import math
from collections.abc import Iterator

import numpy as np

from analysis.calibration.cells import COVERAGE, FALSE, Cell, Column, Table
from analysis.calibration.queues import MEAN, REQUESTS, SHARES, Floats, Server, latencies, simulate
from analysis.calibration.runs import arm, metrics, run, settings
from analysis.comparison.arms import Arm, Measured
from analysis.comparison.comparison import Comparison, compare
from analysis.comparison.sequential import planned_looks
from analysis.metrics.validity import LIMITS
from record.metrics import Metrics
from record.shapes import Manifest

PRIMARY = "latency_p99_ms"
KEYS = (*SHARES, MEAN)
SPEED = 1.1
"""Of the faster arms."""
REFERENCE = Server("reference")
SAME, FASTER = Server("A/A", 1.0, True), Server("10 % faster", SPEED)
FASTER_APART = Server("10 % faster, own demand", SPEED, True)
CONTRASTS = (SAME, FASTER, FASTER_APART)
PAIRS = (3, 5, 10, 20)
BUDGET = 20
"""Pairs of an experiment: the most that one uses, and `repeat.max` of the sequential ones."""
UNTIL = (0.05, 0.1, 0.2, 0.5)
"""Values of `repeat.until_ratio_ci`."""
TRUTH_PAIRS = 20_000
"""Pairs of the simulation of its own that gives the true mean log-ratio of runs: 1,000 times the largest experiment,
so that its error is a thirtieth of that of the narrowest interval."""
LATENESS_MS, LATENESS_SPREAD = 8.0, 0.6
"""Median and standard deviation on the log scale of a run's lateness: 3 % of the runs, of whichever arm, are beyond
the limit, and take their pairs with them."""
LONG = {0.5: (3_000, 12_000), 0.8: (3_000, 32_000), 0.9: (3_000, 140_000)}
"""Requests of a run that is to speak of the system, by utilisation: the second is long enough for p99."""
OTHERS = Column("others", "all others together, %", least=0.92)
"""Their intervals are of 1 - level after Holm, so that all of them hold at once with 95 % at least."""
OTHER_FALSE = Column("others_false", "on any other, %", most=0.05)
WIDTH = Column("width", "half width, %", "median")
MEAN_PAIRS = Column("pairs", "mean pairs", "mean")


def of_runs(
    utilisation: float, experiments: int, rng: np.random.Generator, truth_pairs: int = TRUTH_PAIRS
) -> list[Table]:
    """The estimand `run`: pairs fixed, and sequential.

    Args:
        utilisation: of the reference.
        experiments: how many there are in a cell, each with BUDGET pairs; where fewer are used, its first ones.
        rng: where everything is drawn from.
        truth_pairs: pairs of the simulation that the truth is taken from.
    """
    large = _measure(utilisation, truth_pairs, rng)
    runs = {name: _with_gate(values, rng) for name, values in _measure(utilisation, experiments * BUDGET, rng).items()}
    tables = []
    for contrast in CONTRASTS:
        truth = {key: float(np.log(large[contrast.name][key] / large[REFERENCE.name][key]).mean()) for key in KEYS}
        if contrast is SAME:  # the arms can be exchanged, so that it is exactly 0
            truth = dict.fromkeys(KEYS, 0.0)
        by_count = {n: _cell(utilisation, contrast, truth, pairs=str(n)) for n in PAIRS}
        by_until = {until: _cell(utilisation, contrast, truth, until_ratio_ci=f"{until:g}") for until in UNTIL}
        set_before, left_to_data = settings(), settings(until=UNTIL[0], most=BUDGET)
        for start in range(0, experiments * BUDGET, BUDGET):
            sample = {name: runs[name][start : start + BUDGET] for name in (REFERENCE.name, contrast.name)}
            for n, cell in by_count.items():
                _count(cell, compare(_arms(sample, n, set_before)), n, truth)
            # What a look finds does not depend on the width that is wanted.
            looks = [(n, compare(_arms(sample, n, left_to_data))) for n in planned_looks(BUDGET)]
            for until, cell in by_until.items():
                n, comparison = next((each for each in looks if each[1].is_narrow(until)), looks[-1])
                _count(cell, comparison, n, truth)
        columns = _columns(contrast)
        tables.append(Table(f"{contrast.name}, runs of {REQUESTS:,} requests", columns, list(by_count.values())))
        tables.append(Table(f"{contrast.name}, sequential, at most {BUDGET} pairs", columns, list(by_until.values())))
    return tables


def of_system(
    utilisation: float, experiments: int, rng: np.random.Generator, lengths: tuple[int, ...] = ()
) -> list[Table]:
    """The estimand `system`: short runs, which it is to refuse, and long ones; truths in closed form (M/M/1).

    Args:
        utilisation: of the reference.
        experiments: of the shortest runs; of longer ones so many fewer.
        rng: where everything is drawn from.
        lengths: requests of a run; left out = those of LONG.
    """
    tables = []
    lengths = lengths or LONG[utilisation]
    cells = {
        (contrast, n, requests): _cell(utilisation, contrast, {}, requests=f"{requests:,}", pairs=str(n))
        for contrast in CONTRASTS
        for requests in lengths
        for n in PAIRS
    }
    for requests in lengths:
        count = max(60, experiments * lengths[0] // requests)
        waiting: dict[str, list[Measured]] = {server.name: [] for server in (REFERENCE, *CONTRASTS)}
        for part in simulate(utilisation, count * BUDGET, [REFERENCE, *CONTRASTS], rng, requests):
            for server in (REFERENCE, *CONTRASTS):
                waiting[server.name] += _windows(server, utilisation, part[server.name])
            while len(waiting[REFERENCE.name]) >= BUDGET:
                sample = {name: [held.pop(0) for _ in range(BUDGET)] for name, held in waiting.items()}
                for contrast in CONTRASTS:
                    truth = math.log(REFERENCE.spare(utilisation) / contrast.spare(utilisation))
                    for n in PAIRS:
                        arms = [
                            Arm(name, {seed: [one] for seed, one in enumerate(sample[name][:n])})
                            for name in (REFERENCE.name, contrast.name)
                        ]
                        _count(cells[contrast, n, requests], compare(arms), n, dict.fromkeys(KEYS, truth), "system")
    for contrast in CONTRASTS:
        shown = Column("shown", "p99 identified, %")
        columns = [shown, *_columns(contrast)]
        tables.append(
            Table(f"{contrast.name}, the system", columns, [cell for key, cell in cells.items() if key[0] is contrast])
        )
    return tables


def _cell(utilisation: float, contrast: Server, truth: dict[str, float], **setting: str) -> Cell:
    cell = Cell({"utilisation": f"{utilisation:g}", **setting})
    ratio = truth.get(PRIMARY, math.log(REFERENCE.spare(utilisation) / contrast.spare(utilisation)))
    if contrast is not SAME:
        cell.add(truth=math.exp(ratio))
    return cell


def _columns(contrast: Server) -> list[Column]:
    if contrast is SAME:
        verdicts = [FALSE, OTHER_FALSE]
    else:
        verdicts = [Column("truth", "true ratio", "mean"), Column("better", "power, %")]
    return [COVERAGE, OTHERS, *verdicts, WIDTH, MEAN_PAIRS]


def _count(cell: Cell, comparison: Comparison, pairs: int, truth: dict[str, float], estimand: str = "run") -> None:
    """Hold a comparison against the true log-ratios of what it was asked for."""
    covered = {
        row.metric: math.log(row.low) <= truth[row.metric] <= math.log(row.high)
        for row in comparison.rows
        if row.metric in truth and row.low and row.high and row.estimand == estimand
    }
    primary = next((row for row in comparison.rows if row.is_primary), None)
    verdict = "inconclusive" if primary is None else primary.direction
    others = [held for key, held in covered.items() if key != PRIMARY]
    cell.add(
        shown=PRIMARY in covered,
        covered=covered.get(PRIMARY),
        false=verdict in ("better", "worse"),
        better=verdict == "better",
        others_false=any(row.direction in ("better", "worse") for row in comparison.rows if not row.is_primary),
        width=None if primary is None else 100 * (primary.factor - 1),
        pairs=pairs,
        others=all(others) if others else None,
    )


def _measure(utilisation: float, count: int, rng: np.random.Generator) -> dict[str, dict[str, Floats]]:
    """The metrics of many runs, by arm and key."""
    parts = [
        {name: latencies(table) for name, table in part.items()}
        for part in simulate(utilisation, count, [REFERENCE, *CONTRASTS], rng)
    ]
    return {
        name: {key: np.concatenate([part[name][key] for part in parts]) for key in parts[0][name]} for name in parts[0]
    }


def _with_gate(values: dict[str, Floats], rng: np.random.Generator) -> list[Metrics]:
    """What `metrics.json` would hold of each run: none fails, some are invalid."""
    lateness = rng.lognormal(math.log(LATENESS_MS), LATENESS_SPREAD, len(values[MEAN]))
    valid = (lateness <= LIMITS["max_lateness_p99_ms"]).tolist()
    rows = zip(*(column.tolist() for column in values.values()), strict=True)
    return [
        metrics(REQUESTS, dict(zip(values, row, strict=True)), valid=ok) for row, ok in zip(rows, valid, strict=True)
    ]


def _arms(sample: dict[str, list[Metrics]], n: int, manifest: Manifest) -> list[Arm]:
    """The first n pairs."""
    return [arm(name, manifest, runs[:n]) for name, runs in sample.items()]


def _windows(server: Server, utilisation: float, table: Floats) -> Iterator[Measured]:
    """Whole runs with their latencies, for the estimand that needs them."""
    manifest = settings(estimand="system", duration_s=table.shape[1] / utilisation)
    quantiles = latencies(table)
    relaxation = server.relaxation(utilisation)
    for index, row in enumerate(table):
        known = {key: float(values[index]) for key, values in quantiles.items()} | {"relaxation_s": relaxation}
        yield Measured(run(manifest, row.copy()), metrics(len(row), known))
