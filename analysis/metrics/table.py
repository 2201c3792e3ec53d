"""`metrics.json`: one flat table of numbers; every key is defined in docs/results.md."""

import math
from collections import Counter
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.distributions.shares import most_of
from analysis.metrics import decisions, floor, ground_truth, lag, recovery, scaling, stationarity, tier, validity, work
from analysis.metrics.cautions import cautions
from analysis.metrics.timeline import is_beyond
from record import schema
from record.latency import QUANTILES, Floats, quantiles
from record.metrics import Metrics
from record.reading import Run
from record.schema import CPU_ROLES, OUTCOMES, PHASES

LEAST_FOR_P999 = 3688
"""Independent values that a two-sided 95 % interval for the 99.9th percentile needs at least (docs/results.md)."""
MEASURED_PHASES = tuple(phase for phase in PHASES if phase != "warmup")
FAILURES = tuple(outcome for outcome in OUTCOMES if outcome != "ok")
SLO_P99_MS = 1000.0
SLO_ERROR_RATE = 0.01
"""The service level objective where the manifest's `slo` section has none."""
DIGITS = 6

Values = dict[str, Any]


def compute(run: Run, timeline: pd.DataFrame) -> Metrics:
    """All metrics of a run, sorted by key; undefined = None.

    Args:
        run: the run's folder as read.
        timeline: its rows a second, of `timeline.build`.
    """
    phases = run.columns["phase"]
    values: Values = {"schema_version": schema.VERSION}
    values |= _rates(run) | _failures(run) | _latencies(run.ranked, "") | _served(run)
    for phase in MEASURED_PHASES:
        latencies, failed = run.ranked[phases == phase], run.columns["outcome"][phases == phase] != "ok"
        values |= _latencies(latencies, f"_{phase}")
        values |= {f"requests_{phase}": len(latencies), f"error_rate_{phase}": _share(failed)}
    values |= _stages(run) | _routing(run) | _instrument(run, timeline) | _objective(run, timeline)
    faults = recovery.assess(run, timeline)
    values |= {
        "detection_s": faults.detection_s,
        "detected_by": faults.detected_by,
        "recovery_s": faults.recovery_s,
        "recovered": faults.recovered,
        "fault_harm": faults.fault_harm,
        "faults_injected": len(run.faults),
        "faults_undetected": faults.undetected,
        "clock_offset_max_ms": validity.clock_offset_max_ms(run),
        "fault_delay_max_ms": max((delay for _, delay in validity.fault_delays(run.events)), default=None),
    }
    values |= tier.assess(run) | work.assess(run) | scaling.assess(run, timeline)
    values |= ground_truth.assess(run) | floor.assess(run) | decisions.assess(run) | lag.assess(run, timeline)
    settled = stationarity.assess(run)
    values |= {"utilisation": settled.utilisation, "relaxation_s": settled.relaxation_s, "steady": settled.steady}
    metrics = cast(Metrics, values)
    reasons = validity.reasons(run, metrics)
    values |= {"valid": not reasons, "invalid_reasons": reasons}
    values["warnings"] = cautions(run, metrics, settled)
    return cast(Metrics, {key: _plain(values[key]) for key in sorted(values)})


def _plain(value: Any) -> Any:  # noqa: ANN401
    """A JSON value: numbers rounded to 6 digits after the point, NaN = None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    return value


def _quantiles(values: Floats, name: str, unit: str = "ms", which: tuple[str, ...] = ("p50", "p99")) -> Values:
    """`<name>_<quantile>_<unit>`, interpolated linearly between order statistics (Hyndman and Fan's type 7)."""
    known = values[~np.isnan(values)]
    return {f"{name}_{q}_{unit}": float(np.quantile(known, QUANTILES[q])) if len(known) else None for q in which}


def _share(flags: NDArray[np.bool_]) -> float | None:
    return float(flags.mean()) if len(flags) else None


def _mean(values: Floats) -> float | None:
    """Of those that there are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _most(values: Floats) -> float | None:
    """Likewise."""
    known = values[~np.isnan(values)]
    return float(known.max()) if len(known) else None


def _rates(run: Run) -> Values:
    offered = int((run.offered.to_numpy() >= run.warmup_s).sum())
    completed = run.requests["completed_s"].to_numpy()
    in_window = (completed >= run.warmup_s) & (completed < run.end_s)
    outcomes = run.requests["outcome"].to_numpy(dtype=object)

    def per_second(count: int) -> float | None:
        return count / run.window_s if run.window_s > 0 else None

    return {
        "window_s": run.window_s,
        "offered_requests": offered,
        "offered_rps": per_second(offered),
        "sent_requests": int((~np.isnan(run.columns["sent_s"])).sum()),
        "achieved_rps": per_second(int(in_window.sum())),
        "goodput_rps": per_second(int((in_window & (outcomes == "ok")).sum())),
        "dropped": int((outcomes == "dropped").sum()),
    }


def _failures(run: Run) -> Values:
    outcomes = run.columns["outcome"]
    failed = outcomes != "ok"
    return {
        "failed_requests": int(failed.sum()),
        "error_rate": _share(failed),
        **{f"error_rate_{outcome}": _share(outcomes == outcome) for outcome in FAILURES},
        "post_requests": int(run.is_post.sum()),
        **_lost("get", failed[~run.is_post]),
        **_lost("post", failed[run.is_post]),
    }


def _lost(method: str, failed: NDArray[np.bool_]) -> Values:
    """So many of N, and what share it is at most, as far as N tell."""
    count, lost = len(failed), int(failed.sum())
    return {
        f"failed_{method}_requests": lost if count else None,
        f"failed_{method}_upper_share": most_of(lost, count) if count else None,
    }


def _latencies(latencies: Floats, suffix: str) -> Values:
    """Quantiles in which a request that was not served ranks last; one among them is None, and has a bound instead."""
    served = latencies[np.isfinite(latencies)]
    known: Values = {}
    for name, value in zip(QUANTILES, quantiles(latencies, QUANTILES.values()), strict=True):
        if name == "p999" and len(latencies) < LEAST_FOR_P999:
            value = math.nan
        known[f"latency_{name}_ms"] = value if math.isfinite(value) else None
        known[f"latency_{name}_beyond_ms"] = served.max(initial=0.0) if value == math.inf else None
    if not suffix and len(served) == len(latencies) > 0:
        known |= {"latency_mean_ms": latencies.mean(), "latency_max_ms": latencies.max()}
    elif not suffix:
        known |= {"latency_mean_ms": None, "latency_max_ms": None}
    return {f"{key}{suffix}": value for key, value in known.items()}


def _served(run: Run) -> Values:
    """How well it answers where it answers, and how many it answers in time."""
    latencies = run.latencies
    served = latencies[np.isfinite(latencies)]
    in_time = latencies <= run.setting("slo", "p99_ms", SLO_P99_MS)
    return {
        "served_share": float(in_time.mean()) if len(latencies) else None,
        **_quantiles(served, "latency_served"),
        "latency_served_mean_ms": _mean(served),
        "latency_served_max_ms": float(served.max()) if len(served) else None,
    }


def _stages(run: Run) -> Values:
    """Where the time of those that were served went: at the client, in the router, in the replica's queue, at work."""
    is_served = run.columns["outcome"] == "ok"
    names = ("sent_s", "completed_s", "router_s", "queue_s", "service_s")
    sent_s, completed_s, router_s, queue_s, service_s = (run.columns[name][is_served] for name in names)
    return (
        _quantiles((completed_s - sent_s) * 1e3, "client_service")
        | _quantiles(router_s * 1e3, "router_overhead")
        | _quantiles(queue_s * 1e3, "queue")
        | _quantiles(service_s * 1e3, "service")
        | {"service_mean_ms": _mean(service_s * 1e3)}
    )


def _routing(run: Run) -> Values:
    attempts = run.columns["attempts"]
    attempts = attempts[~np.isnan(attempts)]
    hedges = Counter(run.columns["hedge"].tolist())
    counted = Counter(run.columns["replica"].tolist())
    answered = Counter({replica: count for replica, count in counted.items() if not pd.isna(replica)})
    return {
        "retried_requests": int((attempts > 1).sum()) if len(attempts) else None,
        "attempts_per_request": _mean(attempts),
        "sends_per_request": _mean(run.columns[schema.SENDS]) if schema.SENDS in run.columns else 1.0,
        "hedged_requests": hedges["won"] + hedges["lost"] if len(attempts) else None,
        "hedge_wins": hedges["won"] if len(attempts) else None,
        **{f"share_{replica}": count / answered.total() for replica, count in answered.items()},
    }


def _instrument(run: Run, timeline: pd.DataFrame) -> Values:
    lateness = (run.columns["sent_s"] - run.columns["scheduled_s"]) * 1e3
    shard = run.columns["request_id"] % run.workers
    if run.is_simulated:  # it cannot be late
        lateness, shard = lateness[:0], shard[:0]
    by_worker = [_quantiles(lateness[shard == k], "lateness", which=("p99",)) for k in range(run.workers)]
    is_measured = timeline["second"].to_numpy() >= run.warmup_s
    used = {role: timeline[f"cpu_{role}_cores"].to_numpy()[is_measured] for role in CPU_ROLES}
    return {
        **_quantiles(lateness, "lateness"),
        **{f"lateness_p99_ms_worker_{k}": each["lateness_p99_ms"] for k, each in enumerate(by_worker)},
        **{f"cpu_{role}_cores": _mean(cores) for role, cores in used.items()},
        "cpu_generator_max_cores": _most(used["generator"]),
        "cpu_router_max_cores": _most(used["router"]),
    }


def _objective(run: Run, timeline: pd.DataFrame) -> Values:
    """Seconds outside the service level objective, and what it cost in replicas."""
    ready = [(float(s["t_s"]), s.get("replicas_ready")) for s in run.samples]
    paid_s = replica_seconds([(float(s["t_s"]), s.get("replicas_provisioned")) for s in run.samples])
    counts = [int(count) for _, count in ready if count is not None]
    has_manager = (run.manifest["config"].get("scaler") or {}).get("name", "none") != "none"
    told = Counter(event["event"] for event in run.events)
    violation_s = _violation_s(run, timeline)
    return {
        "slo_violation_s": violation_s,
        "slo_violation_share": violation_s / run.window_s if violation_s is not None else None,
        "slo_violating_requests": int((~(run.ranked <= run.setting("slo", "p99_ms", SLO_P99_MS))).sum()),
        "replica_seconds": replica_seconds(ready) if paid_s is None else paid_s,
        "replicas_max": max(counts, default=None),
        "replicas_min": min(counts, default=None),
        "failed_starts": told[schema.START_FAILED] if has_manager else None,
        "ended_replicas": told[schema.REPLICA_ENDED] if has_manager else None,
    }


def _violation_s(run: Run, timeline: pd.DataFrame) -> float | None:
    second, offered_rps, p99_ms, errors = (
        timeline[name].to_numpy() for name in ("second", "offered_rps", "p99_ms", "errors")
    )
    asked = (second >= run.warmup_s) & (offered_rps > 0)
    if not asked.any():
        return None
    width = np.minimum(1.0, run.end_s - second)
    slow = (p99_ms > run.setting("slo", "p99_ms", SLO_P99_MS)) | is_beyond(timeline, "p99_ms").to_numpy()
    failing = errors > run.setting("slo", "error_rate", SLO_ERROR_RATE) * offered_rps * width
    return float(width[asked & (slow | failing)].sum())


def replica_seconds(samples: list[tuple[float, int | None]]) -> float | None:
    """The integral of a number of replicas over time, from the run's start to the last sample.

    Each sample's count holds for the time since the sample before; a sample without a count (nobody
    answered) repeats the last known one. None = no sample has a count.

    Args:
        samples: (seconds from the run's start, replicas or None), in order of time.
    """
    known = [count for _, count in samples if count is not None]
    if not known:
        return None
    total, since, last = 0.0, 0.0, known[0]
    for t_s, count in samples:
        last = last if count is None else count
        total += last * (t_s - since)
        since = t_s
    return total
