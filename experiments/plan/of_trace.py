"""What follows from a trace: how long the run is, what rate that is, and what does not go with one."""

from collections.abc import Iterable
from dataclasses import fields, replace

from experiments.plan.config import Config, ConfigError
from experiments.plan.workload import ClassDemandSettings, WorkloadSettings
from record.schema import LONGEST_S

LEAST_RPS = 0.01
"""Of `workload.rate_rps`."""
SAID = {
    "demand_s": tuple(f"demand.{each.name}" for each in fields(ClassDemandSettings)),
    "key": ("keys", "key_skew"),
    "is_post": ("post_share",),
    "size": ("body_bytes",),
}
"""Keys below `workload` that a column of the trace takes the place of."""
PLAIN = "constant"
"""The profile that multiplies nothing."""
OF_RATES = "file"
"""That of a trace of rates."""
TIMED = ("rate_rps", "utilisation", "arrivals", "profile")
"""Likewise, of the moments themselves."""


def with_trace(config: Config, keys: Iterable[str]) -> tuple[Config, list[str]]:
    """The configuration as its trace has it, and what is to be said of that.

    The length of the run is the trace's, as it is played, unless it was typed; from a manifest it is the manifest's.

    Args:
        config: with a trace.
        keys: those that were typed; none of a manifest.

    Raises:
        ConfigError: the trace cannot be taken, or does not go with another key.
    """
    workload, typed = config.workload, set(keys)
    if workload.profile == OF_RATES:
        raise ConfigError(
            f"workload.trace={workload.trace}: workload=trace is the course of rates in workload.file.path; a trace "
            f"of requests goes alone, with workload={PLAIN}"
        )
    try:
        workload.check_trace()
        recorded = workload.recorded()
    except ValueError as error:
        raise ConfigError(str(error)) from error
    replaced = [*TIMED, *(k for column, names in SAID.items() if getattr(recorded, column) is not None for k in names)]
    for key in replaced:
        if f"workload.{key}" in typed:
            ways = "workload.trace_height or workload.trace_speed" if key in TIMED[:2] else "another trace"
            raise ConfigError(f"workload.{key}: is what the trace says; leave it out, or take {ways}")
    if workload.profile != PLAIN:
        raise ConfigError(f"workload.profile={workload.profile}: a trace has its own course; leave it out, or "
                          f"add workload={PLAIN} where the scenario has it")
    if recorded.demand_s is not None and workload.demand.replica_noise > 0:
        raise ConfigError("workload.demand.replica_noise: must be 0 with a trace that has demands (demand_s)")
    notes = [f"workload.trace={workload.trace}: {note}" for note in recorded.notes]
    return replace(config, workload=_timed(workload, typed, notes)), notes


def _timed(workload: WorkloadSettings, typed: set[str], notes: list[str]) -> WorkloadSettings:
    """With length and rate."""
    total_s = round(workload.scaling().total_s, 6)
    if typed and "workload.duration_s" not in typed:
        if total_s > LONGEST_S:
            first_s = float(workload.recorded().scheduled_s[0]) + workload.trace_from_s
            ways = "take a part of it by workload.trace_for_s"
            if first_s > LONGEST_S:
                ways = f"its first request is at {first_s:.0f}: begin there by workload.trace_from_s={int(first_s)}"
            raise ConfigError(f"workload.trace={workload.trace}: lasts {total_s:,.0f} s, a run {LONGEST_S:,}; {ways}")
        workload = replace(workload, duration_s=max(1.0, total_s))
        notes.append(f"workload.duration_s={workload.duration_s:g}: as long as the trace is played")
    elif typed and workload.duration_s > total_s:
        quiet_s = workload.duration_s - total_s
        why = "where the trace has ended (workload.trace_repeat plays it again)"
        notes.append(f"workload.duration_s={workload.duration_s:g}: nothing is asked in the last {quiet_s:g} s, {why}")
    rate = max(LEAST_RPS, round(workload.expected_requests() / workload.duration_s, 6))
    return replace(workload, rate_rps=rate, utilisation=None)
