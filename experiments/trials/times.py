"""A pathology's times in a run of another length, equal for all arms. Pure.

Warm-up is short, the first fault comes as soon as there is a steady phase to hold it against, and faults keep their
lengths where they fit: what a p99 of the fault's phase is made of is the few requests that it takes to notice, which
are as many of a short phase as of a long one. Where they do not fit, their moments and lengths shrink by one factor;
restarts take the time that they take.
"""

import math
from collections.abc import Sequence

from analysis.metrics.harm import LEAST_STEADY_S, WAKE_S
from experiments.plan.config import Config, ConfigError
from experiments.plan.fault_plan import Fault

WARMUP_S = 2.0
"""At most, where something fails; a pathology without a fault keeps its own, in which the router learns whom it has."""
RESTART_S = 3.0
"""A process takes to end and to be back."""
LEAST_S = WARMUP_S + LEAST_STEADY_S + 2 * RESTART_S + WAKE_S
"""Of a run."""


def fitted(config: Config, duration_s: float) -> list[str]:
    """Overrides for a run of `duration_s` seconds; none where the scenario's own times are drawn from the seed.

    Raises:
        ConfigError: it is too short.
    """
    if not LEAST_S <= duration_s < math.inf:
        raise ConfigError(f"--duration={duration_s:g}: must be at least {LEAST_S:g}: steady, failing and after it")
    if config.random_faults.count:
        return []
    if not config.faults:
        warmup_s = min(config.workload.warmup_s, duration_s / 4)
        return [f"workload.warmup_s={warmup_s:g}", f"workload.duration_s={duration_s:g}"]
    warmup_s = min(config.workload.warmup_s, WARMUP_S)
    begin_s = warmup_s + LEAST_STEADY_S
    first_s = min(fault.at_s for fault in config.faults)
    factor = _factor(config.faults, first_s, duration_s - begin_s - WAKE_S)
    overrides = [f"workload.warmup_s={warmup_s:g}", f"workload.duration_s={duration_s:g}"]
    for number, fault in enumerate(config.faults):
        overrides.append(f"faults.{number}.at_s={round(begin_s + factor * (fault.at_s - first_s), 3):g}")
        if fault.for_s is not None:
            overrides.append(f"faults.{number}.for_s={round(factor * fault.for_s, 3):g}")
    return overrides


def _factor(faults: Sequence[Fault], first_s: float, room_s: float) -> float:
    """By which moments and lengths shrink, so that all is over within `room_s` seconds of the first."""
    factor = 1.0
    for fault in faults:
        after_s = fault.at_s - first_s
        scaled_s, left_s = (after_s, room_s - RESTART_S) if fault.for_s is None else (after_s + fault.for_s, room_s)
        if scaled_s > 0:
            factor = min(factor, left_s / scaled_s)
    return factor
