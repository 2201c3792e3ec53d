"""What comes of a search: the file that `autoscaling.capacity` takes, its table, and its picture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import isfinite, sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.table import Table

from analysis.scaling.demand import Objective, UnattainableError, analytic
from analysis.scaling.searching import Found, Search
from experiments.plan.capacity import VERSION, machine
from experiments.plan.config import Config
from record.files import dump, write_text
from record.provenance import now_iso, provenance


@dataclass(frozen=True)
class Point:
    """One number of replicas."""

    replicas: int
    found: Found
    search: Search
    analytic_rps: float | None
    """What Erlang's formula says; None = nothing."""

    @property
    def runs(self) -> int:
        """At all rates."""
        return sum(map(len, self.search.tries.values()))

    def as_dict(self) -> dict[str, Any]:
        """For the file."""
        found, verdicts = self.found, self.search.verdicts()
        return {
            "replicas": self.replicas,
            "rate_rps": found.rate_rps,
            "low_rps": found.low_rps,
            "high_rps": found.high_rps if isfinite(found.high_rps) else None,
            "is_precise": found.is_precise,
            "analytic_rps": self.analytic_rps,
            "rates": [
                {
                    "rate_rps": rate,
                    "verdict": verdict,
                    "runs": len(tries),
                    "requests": sum(each.requests for each in tries),
                    "late_share": fmean(each.late for each in tries),
                    "failed_share": fmean(each.failed for each in tries),
                }
                for rate, verdict in verdicts.items()
                if (tries := self.search.tries[rate])
            ],
        }


def objective_of(config: Config) -> Objective:
    """What is to be met."""
    return Objective(config.slo.p99_ms, config.slo.error_rate)


def by_formula(config: Config, count: int) -> tuple[float, ...] | None:
    """What Erlang's formula says that 1, 2, ... `count` replicas stand; None = that they do not, at any rate."""
    speeds = [*config.replica.speeds, *[1.0] * count][:count]
    means_s = [config.workload.mean_demand_s() / speed for speed in speeds]
    try:
        return analytic(objective_of(config), means_s, config.replica.concurrency).rates
    except UnattainableError:
        return None


def saturated_rps(config: Config, count: int) -> float:
    """What all slots of so many replicas can do, requests a second."""
    speeds = [*config.replica.speeds, *[1.0] * count][:count]
    return sum(speeds) * config.replica.concurrency / config.workload.mean_demand_s()


def settles_in_s(config: Config, point: Point) -> float:
    """How long a queue takes to forget that it began empty, seconds, at what a fleet was found to stand.

    1 / (sqrt(c mu) - sqrt(lambda))^2, the relaxation time of M/M/1 (Morse, Queues, Inventories and Maintenance, 1958,
    chapter 6) with all slots for a server.
    """
    spare = sqrt(saturated_rps(config, point.replicas)) - sqrt(point.found.rate_rps)
    return 1 / spare**2 if spare > 0 else float("inf")


def write(
    path: Path, points: Sequence[Point], config: Config, resolved: Mapping[str, Any], about: Mapping[str, Any]
) -> None:
    """Write the file, whole or not at all.

    Args:
        path: where to.
        points: of 1, 2, ... replicas.
        config: of the largest fleet.
        resolved: the same as it stands in a manifest.
        about: scenario, overrides, and the settings of the search.

    Raises:
        OSError: the disk does not take it.
    """
    made_with = provenance()
    content = {
        "schema_version": VERSION,
        "measured_at": now_iso(),
        **about,
        "objective": asdict(objective_of(config)),
        "machine": machine(),
        "aegis": made_with["aegis"],
        "git": made_with["git"],
        "config": resolved,
        "points": [point.as_dict() for point in points],
    }
    write_text(path, dump(content))


def notes(points: Sequence[Point], config: Config) -> Iterator[str]:
    """What to know of a curve, a line each."""
    warmup_s = config.workload.warmup_s
    unsettled = [(settles_in_s(config, point), point) for point in points if settles_in_s(config, point) > warmup_s]
    if unsettled:
        longest_s, point = max(unsettled, key=lambda each: each[0])
        takes = f"take about {longest_s:.3g} s to forget" if isfinite(longest_s) else "never forget"
        yield (
            f"{point.replicas} replica(s) at {point.found.rate_rps:.4g} requests/s {takes} "
            f"that they began idle, the warm-up is {warmup_s:g} s: so near to saturation the curve is that of "
            "runs of this length, and may be too high; raise workload.warmup_s and workload.duration_s"
        )
    wide = [point.replicas for point in points if not point.found.is_precise]
    if wide:
        yield (
            f"of {', '.join(map(str, wide))} replica(s) the rates between which it lies are further apart than "
            "capacity.precision: runs differ too much; raise workload.duration_s or capacity.seeds"
        )
    over = [point.replicas for one, point in pairwise(points) if point.found.rate_rps < one.found.rate_rps]
    if over:
        yield f"{', '.join(map(str, over))} replica(s) stand less than one fewer; as demand they count as that one does"


def table(points: Sequence[Point], config: Config) -> Table:
    """A row a number of replicas."""
    drawn = Table(box=None, pad_edge=False)
    names = ("replicas", "requests/s", "meets at, fails at", "utilisation", "Erlang's formula", "rates", "runs")
    for name in names:
        drawn.add_column(name, justify="right", no_wrap=True)
    for point in points:
        found = point.found
        share = found.rate_rps / saturated_rps(config, point.replicas)
        drawn.add_row(
            str(point.replicas),
            f"{found.rate_rps:.4g}",
            f"{found.low_rps:.4g}, {found.high_rps:.4g}" + ("" if found.is_precise else " (wide)"),
            f"{share:.2f}",
            "-" if point.analytic_rps is None else f"{point.analytic_rps:.4g}",
            str(len(point.search.tries)),
            str(point.runs),
        )
    return drawn


def draw(path: Path, points: Sequence[Point], config: Config, scenario: str) -> None:
    """The curve: measured with the rates between which it lies, what Erlang's formula says, and what all slots can do.

    Raises:
        OSError: the disk does not take it.
    """
    from matplotlib.ticker import MaxNLocator

    from analysis.pages.style import BLUE, GREY, INK, MUTED, ORANGE, dress, figure, header, save

    counts = [point.replicas for point in points]
    fig = figure(900, 620, 85)
    header(fig, 0, f"What {counts[0]} to {counts[-1]} replicas stand: {scenario}, engine={config.engine.name}",
           fontsize=14, fontweight="bold", color=INK)
    slots, mean_ms = config.replica.concurrency, config.workload.mean_demand_s() * 1e3
    header(fig, 1, f"{objective_of(config).sentence}; policy={config.policy['name']}, {slots} slot(s) each, "
           f"{config.workload.demand.distribution} demand of {mean_ms:.4g} ms", fontsize=10.5, color=MUTED)
    header(fig, 2, f"runs of {config.workload.duration_s:g} s, {config.workload.warmup_s:g} s of them warm-up",
           fontsize=10.5, color=MUTED)
    axes = fig.add_subplot()
    rates = [point.found.rate_rps for point in points]
    axes.plot(counts, [saturated_rps(config, count) for count in counts], color=GREY, linewidth=1, linestyle=":",
              label="all slots busy")
    known = [(point.replicas, point.analytic_rps) for point in points if point.analytic_rps is not None]
    if known:
        axes.plot(*zip(*known, strict=True), color=ORANGE, linestyle="--", marker="x", label="Erlang's formula (M/M/c)")
    below = [rate - point.found.low_rps for rate, point in zip(rates, points, strict=True)]
    above = [max(0.0, point.found.high_rps - rate) if isfinite(point.found.high_rps) else 0.0
             for rate, point in zip(rates, points, strict=True)]
    axes.errorbar(counts, rates, yerr=[below, above], color=BLUE, marker="o", markersize=5, capsize=4,
                  label="measured: the bar ends where it meets, and where it fails")
    dress(axes, "Highest rate that meets the objective", "replicas", "requests a second")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", fontsize=9.5, frameon=False)
    save(fig, path)
