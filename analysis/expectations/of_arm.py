"""Any metric of `metrics.json` over the valid runs of an arm: a value, and an interval where several runs show one.

What arms are compared by is taken as the comparison takes it: latency of the system from all requests together where
the runs identify it, else the geometric mean over the runs; a share of all requests; seconds by their mean. Every
other metric is the mean over the runs, so that a bound means the same for one run and for ten. Only `valid` is of all
runs: of the valid ones it would be no question.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.comparison.arms import Arm, Measured
from analysis.comparison.compared import BY_KEY
from analysis.comparison.over_runs import interval_of
from analysis.comparison.planned import plan_of
from analysis.comparison.statistics import Interval, paired
from analysis.comparison.system_effects import of_system
from record.metrics import Metrics, value_of

OF_SERVED = ("latency_served_", "client_service_", "router_overhead_", "queue_", "service_")
"""Metrics of the requests that were served, whatever became of the others: failing can buy them."""


@dataclass(frozen=True)
class OfArm:
    """What is known of a metric."""

    interval: Interval
    about: str
    """`run`: one run; `runs`: the mean over runs of this length; `system`: the system in the long run."""
    why_none: str = ""
    """Why it has no value."""
    note: str = ""
    """What it leaves out."""


def of_arm(metric: str, arm: Arm) -> OfArm:
    """Over the valid runs of an arm.

    Raises:
        ComparisonError: what the manifests say of the comparison cannot be used.
    """
    runs = [one for seed in sorted(arm.runs) for one in arm.runs[seed]]
    valid = [one for one in runs if one.metrics["valid"]]
    if metric in BY_KEY and len(valid) > 1 and plan_of(valid[0].run.manifest["config"]).estimand == "system":
        interval = of_system(BY_KEY[metric], _apart(valid))
        if interval is not None:
            return OfArm(interval, "system", note=_not_valid([one.metrics for one in runs]))
    return of_metrics(metric, [one.metrics for one in runs])


def _apart(runs: Sequence[Measured]) -> list[Measured]:
    """Without the repetitions of simulated runs, which tell nothing more: those of one seed are the same."""
    kept: dict[object, Measured] = {}
    for number, one in enumerate(runs):
        kept.setdefault(("seed", one.run.manifest["seed"]) if one.run.is_simulated else number, one)
    return list(kept.values())


def of_metrics(metric: str, runs: Sequence[Metrics]) -> OfArm:
    """Over the valid ones of some runs, from their `metrics.json` alone; `valid` itself over all of them."""
    valid = [metrics for metrics in runs if metrics["valid"]]
    about = "run" if len(runs) == 1 else "runs"
    if metric == "valid" and runs:
        return OfArm(_interval(metric, runs, [float(each["valid"]) for each in runs]), about, note=_not_valid(runs))
    none = Interval(None, None, None, len(valid))
    if not valid:
        first = next((reasons[0] for metrics in runs if (reasons := metrics["invalid_reasons"])), "no run")
        return OfArm(none, about, f"{'the run is' if len(runs) == 1 else 'all runs are'} not valid: {first}")
    values = [value_of(metrics, metric) if metric in metrics else None for metrics in valid]
    if missing := sum(value is None for value in values):
        where = "" if len(valid) == 1 else f" in {missing} of {len(valid)} valid runs"
        return OfArm(none, about, "; ".join(filter(None, (f"{_why_none(metric, valid)}{where}", _not_valid(runs)))))
    numbers = [float(value) for value in values if value is not None]
    note = "; ".join(filter(None, (_not_valid(runs), _note(metric, valid))))
    return OfArm(_interval(metric, valid, numbers), about, note=note)


def _interval(metric: str, valid: Sequence[Metrics], numbers: list[float]) -> Interval:
    if len(numbers) == 1:
        return Interval(numbers[0], None, None, 1)
    if metric in BY_KEY and (interval := interval_of(BY_KEY[metric], valid)).mean is not None:
        return interval
    sample = paired(numbers)
    # That a few runs counted the same is no certainty.
    low, high = sample.interval() if sample.sd else (None, None)
    return Interval(sample.mean, low, high, len(numbers))


def _why_none(metric: str, runs: Sequence[Metrics]) -> str:
    beyond = metric.replace("_ms", "_beyond_ms", 1)
    far = [value for metrics in runs if beyond in metrics and (value := value_of(metrics, beyond)) is not None]
    if far and "beyond" not in metric:
        served = f", beyond {max(far):,.0f} ms" if max(far) else ""
        return f"it lies among requests that were not served{served}"
    if metric == "latency_mean_ms" and any(metrics["failed_requests"] for metrics in runs):
        return "some requests were not served, so that there is no mean"
    if metric == "detection_s" and any(metrics["faults_undetected"] for metrics in runs):
        return "a fault was not detected"
    if metric == "recovery_s" and any(metrics["recovered"] is False for metrics in runs):
        return "it did not recover"
    if metric == "latency_p999_ms":
        return "there are too few requests for it"
    return "it is undefined" if any(metric in metrics for metrics in runs) else "there is no such value"


def _not_valid(runs: Sequence[Metrics]) -> str:
    """How many are not, with the first reason; empty where all are."""
    reasons = [metrics["invalid_reasons"] for metrics in runs if not metrics["valid"]]
    if not reasons:
        return ""
    first = next((each[0] for each in reasons if each), "no reason is given")
    if len(runs) == 1:
        return f"the run is not valid: {first}"
    return f"{len(reasons)} of {len(runs)} runs {'is' if len(reasons) == 1 else 'are'} not valid: {first}"


def _note(metric: str, runs: Sequence[Metrics]) -> str:
    failed = sum(metrics["failed_requests"] for metrics in runs)
    if not metric.startswith(OF_SERVED) or not failed:
        return ""
    offered = sum(metrics["offered_requests"] for metrics in runs)
    return f"of the served requests only: {failed:,} of {offered:,} failed"
