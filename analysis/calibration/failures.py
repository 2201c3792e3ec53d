"""Calibration where requests are lost: intervals of shares, and whether failing can buy a verdict."""

import math

import numpy as np

from analysis.calibration.cells import FALSE, Cell, Column, Table
from analysis.calibration.runs import arm, metrics, settings
from analysis.comparison.arms import Arm
from analysis.comparison.compared import FAILED
from analysis.comparison.comparison import compare
from record.metrics import Metrics
from record.shapes import Manifest

REQUESTS = 3000
PAIRS = (3, 5, 10, 20)
SHARES = (0.0005, 0.005, 0.05)
SPREADS = (0.0, 1.0)
"""Squared coefficient of variation of the share from run to run: none, as where requests fail by themselves, and that
of the exponential distribution, as where failures come in bursts (beta-binomial counts)."""
WIDE = (
    "wider than 95 % asks for: the interval is the wider of two, that of independent requests and that of the runs, so "
    "that neither few events nor bursts make it too narrow (docs/validity.md)"
)
FEWER = (0.8, 0.1)
"""Latency of an arm that looks faster, and its spread: a fifth less, log-normal, of pairs."""
MORE_LOST = (0.002, 0.01, 0.1)


def of_shares(experiments: int, rng: np.random.Generator) -> list[Table]:
    """Failed requests of two arms that lose the same share: coverage of the difference, and false verdicts."""
    manifest = settings()
    cells = []
    for share in SHARES:
        for spread in SPREADS:
            for n in PAIRS:
                cell = Cell({"failed": f"{share:.2%}", "spread of runs": f"{spread:g}", "pairs": str(n)})
                counts = _counts(share, spread, (experiments, 2, n), rng)
                for reference, other in counts:
                    comparison = compare([arm("a", manifest, _runs(reference)), arm("b", manifest, _runs(other))])
                    row = comparison.row("b", FAILED)
                    assert row is not None and row.low is not None and row.high is not None
                    cell.add(
                        covered=row.low <= 0 <= row.high,
                        false=row.verdict in ("better", "worse"),
                        equivalent=row.verdict == "equivalent",
                        width=100 * (row.high - row.low) / 2,
                    )
                cells.append(cell)
    coverage = Column("covered", "coverage, %", least=0.92, most=1.0)
    noted = Column("covered", "within 98 %", least=0.0, most=0.98, noted=WIDE)
    width = Column("width", "half width, points", "median")
    columns = [coverage, noted, FALSE, Column("equivalent", "equivalent, %"), width]
    return [Table("Failed requests, equal shares", columns, cells)]


def of_losers(experiments: int, rng: np.random.Generator) -> list[Table]:
    """An arm that answers a fifth faster what it answers and loses more: how often it is called better."""
    manifest = settings()
    losing, equal = [], []
    for share in MORE_LOST:
        for n in PAIRS:
            cell = Cell({"lost by the faster arm": f"{share:.1%}", "pairs": str(n)})
            for counts in _counts(share, 1.0, (experiments, n), rng):
                cell.add(**_verdict(_pair(n, [0] * n, counts.tolist(), math.log(FEWER[0]), rng), manifest))
            losing.append(cell)
            cell = Cell({"lost by both": f"{share:.1%}", "pairs": str(n)})
            for ours, theirs in _counts(share, 1.0, (experiments, 2, n), rng):
                cell.add(**_verdict(_pair(n, ours.tolist(), theirs.tolist(), 0.0, rng), manifest))
            equal.append(cell)
    never = Column("better", "better, %", most=0.0)
    return [
        Table("Faster, and loses more than matters", [never, Column("worse", "worse, %")], losing),
        Table("Equal arms that lose requests, the headline", [FALSE], equal),
    ]


def _counts(share: float, spread: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Lost requests of runs: binomial, with a share that differs from run to run."""
    shares = np.full(shape, share) if not spread else rng.beta(*_beta(share, spread), size=shape)
    return rng.binomial(REQUESTS, shares)


def _beta(share: float, spread: float) -> tuple[float, float]:
    """Parameters of the beta distribution with that mean and squared coefficient of variation."""
    total = (1 - share) / (share * spread) - 1
    return share * total, (1 - share) * total


def _runs(counts: np.ndarray) -> list[Metrics]:
    return [metrics(REQUESTS, failed=int(count)) for count in counts]


def _pair(
    n: int, ours: list[int], theirs: list[int], effect: float, rng: np.random.Generator
) -> list[list[Metrics]]:
    """Runs of two arms whose p99 differs by `effect` on the log scale; none where more than 1 % was lost."""
    base = rng.normal(math.log(100), 0.2, n)
    other = base + effect + rng.normal(0, FEWER[1], n)
    return [
        [
            metrics(REQUESTS, _p99(math.exp(value), lost), failed=lost)
            for lost, value in zip(counts, values.tolist(), strict=True)
        ]
        for counts, values in ((ours, base), (theirs, other))
    ]


def _p99(value: float, lost: int) -> dict[str, float | None]:
    is_known = lost <= 0.01 * REQUESTS
    return {"latency_p99_ms": value if is_known else None, "latency_p99_beyond_ms": None if is_known else value}


def _verdict(runs: list[list[Metrics]], manifest: Manifest) -> dict[str, bool]:
    arms: list[Arm] = [arm(label, manifest, metrics) for label, metrics in zip("ab", runs, strict=True)]
    row = compare(arms).row("b", "latency_p99_ms")
    verdict = None if row is None else row.overall
    return {"better": verdict == "better", "worse": verdict == "worse", "false": verdict in ("better", "worse")}
