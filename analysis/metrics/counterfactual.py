"""What the router's failure handling bought: a run beside the same one simulated without it, in words and rows.

The simulator is believed as far as it tells what was measured: the run simulated *with* its handling stands beside it.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from analysis.metrics.table import SLO_P99_MS
from analysis.metrics.verdict import DETECTORS, briefly, latency, percent
from record.counterfactual import read
from record.latency import ranked_ms
from record.metrics import Metrics
from record.reading import Run
from record.shapes import Counterfactual, Manifest

AGREES_RATIO = 1.25
"""A simulated p50 or p99 may be off by this factor: single live runs of one configuration differ by nearly as much
(docs/simulator.md has the errors by scenario)."""
AGREES_SHARE = 0.005
"""Likewise the share of failed requests, absolute."""


def objective_ms(run: Run) -> float:
    """`slo.p99_ms`."""
    return run.setting("slo", "p99_ms", SLO_P99_MS)


def unserved_per_s(run: Run) -> list[int]:
    """Requests of each second of the run, by their scheduled moment, that were not served within the objective."""
    late = ~(ranked_ms(run.requests) <= objective_ms(run))
    seconds = np.floor(run.requests["scheduled_s"].to_numpy()[late]).astype("int64")
    count = int(np.ceil(run.end_s))
    return [int(number) for number in np.bincount(seconds[seconds < count], minlength=count)]


class Side(NamedTuple):
    """A column of the rows."""

    name: str
    metrics: Metrics


def sides(simulated: Counterfactual, metrics: Metrics) -> list[Side]:
    """The run, its twin where it was measured, and the one without."""
    handled, unhandled = simulated["handled"], Side("simulated without", simulated["unhandled"]["metrics"])
    if handled is None:
        return [Side("simulated", metrics), unhandled]
    return [Side("measured", metrics), Side("simulated", handled["metrics"]), unhandled]


def without(simulated: Counterfactual) -> str:
    """What was taken away: `retries, health checks and passive ejection`."""
    *first, last = simulated["without"]
    return f"{', '.join(first)} and {last}" if first else last


def rows(simulated: Counterfactual, metrics: Metrics) -> list[tuple[str, ...]]:
    """Label and a cell for each of `sides`."""
    columns = [side.metrics for side in sides(simulated, metrics)]
    return [
        ("failed requests", *(f"{m['failed_requests']:,} ({percent(m['error_rate'])})" for m in columns)),
        ("served in time", *(percent(m["served_share"]) for m in columns)),
        ("latency p50", *(latency(m, "p50") for m in columns)),
        ("latency p99", *(latency(m, "p99") for m in columns)),
        ("retried requests", *(_count(m["retried_requests"]) for m in columns)),
        ("out of rotation after", *(_detection(m) for m in columns)),
    ]


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _detection(metrics: Metrics) -> str:
    if metrics["detection_s"] is None:
        return "never" if metrics["faults_undetected"] else "-"
    words = {"health_check": "check", "consecutive_failures": "failures", "refused": "refused", "lease": "lease"}
    cause = words.get(metrics["detected_by"] or "")
    return briefly(metrics["detection_s"]) + (f" ({cause})" if cause else "")


def disagreement(handled: Metrics, measured: Metrics) -> str | None:
    """How the run simulated as it was is unlike the measured one; None = it is not, within `AGREES_RATIO`."""
    apart = []
    for name in ("p50", "p99"):
        new, old = handled[f"latency_{name}_ms"], measured[f"latency_{name}_ms"]  # type: ignore[literal-required]
        if new is not None and old is not None and max(new / old, old / new) > AGREES_RATIO:
            apart.append(f"{name} is {100 * (new / old - 1):+.0f} % off")
        elif (new is None) != (old is None):
            apart.append(f"{name} lies among requests that were not served in one of the two")
    new, old = handled["error_rate"] or 0.0, measured["error_rate"] or 0.0
    if abs(new - old) > AGREES_SHARE:
        apart.append(f"failed requests are {100 * (new - old):+.1f} points off")
    return ", ".join(apart) or None


def _outcome(metrics: Metrics, failed_in_words: str = "failed") -> str:
    failed, offered = metrics["failed_requests"], metrics["offered_requests"]
    count = f"{failed:,} of {offered:,} requests" if failed else "none"
    count += f" {failed_in_words}" + (f" ({percent(metrics['error_rate'])})" if failed else "")
    return f"{count}, p99 {latency(metrics, 'p99')}"


def _doubt(simulated: Metrics) -> str:
    """Why a simulated run is itself not to be relied on; empty where it is valid."""
    if simulated["valid"]:
        return ""
    return f" (this simulated run is not valid: {'; '.join(simulated['invalid_reasons'])})"


def lines(simulated: Counterfactual, metrics: Metrics) -> list[str]:
    """What it bought, and how far that is to be believed; a line each.

    Args:
        found: content of `counterfactual.json`.
        metrics: content of `metrics.json`.
    """
    unhandled, handled = simulated["unhandled"]["metrics"], simulated["handled"]
    without_it = f"simulated without {without(simulated)}: {_outcome(unhandled, 'would have failed')}"
    noticed = unhandled["detection_s"]
    if noticed is not None and (words := DETECTORS.get(unhandled["detected_by"] or "")):
        without_it += f"; out of rotation after {briefly(noticed)}, {words}"
    without_it += _doubt(unhandled)
    if handled is None:
        return [f"{without_it}; with them, as above: {_outcome(metrics)}"]
    both = f"simulated with them: {_outcome(handled['metrics'])}{_doubt(handled['metrics'])}"
    both += f"; measured: {_outcome(metrics)}"
    if not metrics["valid"]:
        return [without_it, f"{both}; the measurement is not valid and cannot vouch for the simulator"]
    wrong = disagreement(handled["metrics"], metrics)
    if wrong is not None:
        return [without_it, f"{both}; the simulator does not agree ({wrong}): do not rely on it here"]
    near = f"p50 and p99 within a factor of {AGREES_RATIO:g}, failed within {100 * AGREES_SHARE:g} points"
    return [without_it, f"{both}; the simulator agrees ({near})"]


def bought(folder: Path, manifest: Manifest, metrics: Metrics) -> list[str]:
    """The lines of a run's folder; none where it has no counterfactual.

    Raises:
        FolderError: it is damaged.
    """
    simulated = read(folder, manifest)
    return [] if simulated is None else lines(simulated, metrics)
