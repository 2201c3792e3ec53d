"""Latency of the system in the long run, from the requests of all runs, rather than that of runs of their length."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from analysis.comparison.arms import Measured, Pairs
from analysis.comparison.compared import Compared
from analysis.comparison.effects import Effect
from analysis.comparison.pooled import Measured as Window
from analysis.comparison.pooled import Pool
from analysis.comparison.statistics import Interval
from analysis.comparison.system_quantiles import Metric, system_interval, system_ratio

MEAN = "latency_mean_ms"
DIGITS = 2
"""Significant ones of a duration that is advised."""


class System:
    """Both arms of a pairing, their requests pooled."""

    def __init__(self, pairs: Pairs) -> None:
        """Nothing is sorted before a metric asks for it."""
        self._pairs = pairs

    def effect(self, on_runs: Effect) -> Effect:
        """The effect on the system where it is identified, else that on runs of this length, with what it would take.

        A run with a fault, a scaler or a changing rate is an episode with a beginning and an end, which has no long
        run: of those, and of what is not latency, the effect stays as it is.
        """
        compared = on_runs.compared
        if (compared.quantile is None and compared.key != MEAN) or not self._is_stationary:
            return on_runs
        metric: Metric = "mean" if compared.quantile is None else compared.quantile
        ratio = system_ratio(*self._pools, metric)
        if not ratio.identified or not math.isfinite(ratio.error):
            return replace(on_runs, system_reason=ratio.reason, system_needs_s=self._duration_s(ratio.needed_factor))
        return replace(on_runs, values=(ratio.reference, ratio.arm), estimate=ratio, estimand="system", rank_p=None)

    @property
    def _is_stationary(self) -> bool:
        return _are_stationary([one for pair in self._pairs.kept for one in (pair.ours, pair.theirs)])

    @cached_property
    def _pools(self) -> tuple[Pool, Pool]:
        ours, theirs = zip(*((_window(pair.ours), _window(pair.theirs)) for pair in self._pairs.kept), strict=True)
        return Pool(ours), Pool(theirs)

    def _duration_s(self, factor: float) -> float | None:
        """Of a run whose window is `factor` times as long, rounded up; None = no length is known to do."""
        if not math.isfinite(factor):
            return None
        run = self._pairs.kept[0].ours.run
        exact = run.warmup_s + factor * run.window_s
        unit = 10.0 ** max(0, math.floor(math.log10(exact)) - DIGITS + 1)
        return math.ceil(exact / unit) * unit


def of_system(compared: Compared, runs: Sequence[Measured]) -> Interval | None:
    """A latency of one arm's system from all its valid runs, ms; None where they do not identify it, as above."""
    if (compared.quantile is None and compared.key != MEAN) or not _are_stationary(runs):
        return None
    metric: Metric = "mean" if compared.quantile is None else compared.quantile
    return system_interval(Pool([_window(one) for one in runs]), metric)


def _are_stationary(runs: Sequence[Measured]) -> bool:
    return bool(runs) and all(_is_stationary(one) and len(one.run.latencies) for one in runs)


def _is_stationary(one: Measured) -> bool:
    config = one.run.manifest["config"]
    workload = config["workload"]
    is_constant = (workload.get("profile") or "constant") == "constant" and workload.get("trace") is None
    is_fixed = (config.get("scaler") or {}).get("name", "none") == "none"
    return is_constant and is_fixed and not one.run.manifest.get("faults")


def _window(one: Measured) -> Window:
    return Window(one.run.latencies, one.run.window_s, one.metrics.get("relaxation_s"), one.metrics.get("steady"))
