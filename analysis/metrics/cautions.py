"""What a reader must know of a valid run before he trusts a number of it: never a reason against the instrument."""

from collections.abc import Iterator

from analysis.metrics import external
from analysis.metrics.harm import why_not_judged
from analysis.metrics.stationarity import Stationarity
from analysis.metrics.tier import why_unknown
from record.metrics import Metrics
from record.reading import Run
from record.shapes import url_of_external

LEAST_FOR_P99 = 368
"""Independent values that a two-sided 95 % interval for the 99th percentile needs at least (order statistics)."""
RELAXATIONS = 3.0
"""Relaxation times that a warm-up should last: e^-3, 5 %, of a disturbance is left then."""
SATURATED_CORES = 0.9
"""A router process has one thread."""


def cautions(run: Run, metrics: Metrics, settled: Stationarity) -> list[str]:
    """A sentence each."""
    return [
        *_quantiles(metrics),
        *_settled(run, settled),
        *(_router(metrics) if url_of_external(run.manifest) is None else ()),  # another one may have many threads
        *_loop(run),
        *_tier(run),
        *_recovery(run),
        *external.notes(run),
        *external.notes_of_stand_in(run),
    ]


def _quantiles(metrics: Metrics) -> Iterator[str]:
    count = metrics["offered_requests"]
    if 0 < count < LEAST_FOR_P99:
        yield f"p99 rests on {count} requests; its 95 % interval needs {LEAST_FOR_P99} at least"


def _settled(run: Run, settled: Stationarity) -> Iterator[str]:
    if settled.utilisation is not None and settled.utilisation >= 1:
        load = f"the load offered is {settled.utilisation:.2f} times what the replicas can serve"
        yield f"not steady: {load}, so that results depend on the run's length"
    elif settled.steady is False and settled.change is not None:
        first, last = settled.change
        yield f"not steady: mean latency went from {first:,.0f} to {last:,.0f} ms over the steady phase"
    needed = None if settled.relaxation_s is None else RELAXATIONS * settled.relaxation_s
    if needed is not None and run.warmup_s < needed:
        why = f"{RELAXATIONS:g} relaxation times at utilisation {settled.utilisation:.2f}"
        yield f"the warm-up of {run.warmup_s:g} s is short: such a queue needs {needed:.1f} s to settle ({why})"


def _router(metrics: Metrics) -> Iterator[str]:
    used = metrics["cpu_router_max_cores"]
    if used is not None and used >= SATURATED_CORES:
        yield f"the router used {used:.2f} cores in its busiest second: its own saturation is part of the result"


def _loop(run: Run) -> Iterator[str]:
    if (run.manifest["config"].get("load") or {}).get("loop") == "closed":
        missing = len(run.demand_s) - len(run.requests)
        yield f"closed loop: {missing:,} planned requests were never asked, and their waiting is in no latency"


def _tier(run: Run) -> Iterator[str]:
    if why := why_unknown(run):
        yield f"the calls of the second tier are not known: {why}"


def _recovery(run: Run) -> Iterator[str]:
    why = why_not_judged(run) if run.faults else None
    if why is not None:
        yield f"recovery is not judged: {why}"
