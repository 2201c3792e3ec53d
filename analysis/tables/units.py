"""The unit of a column or a metric: it stands in the name."""

import re

ENDINGS = (
    (r"_ms", "ms"),
    (r"_ms_(steady|fault|recovery)", "ms"),
    (r"_ms_worker_\d+", "ms"),
    (r"_rps", "requests/s"),
    (r"_cores", "cores"),
    (r"_seconds", "replica-seconds"),
    (r"_s", "s"),
    (r"_requests(_(steady|fault|recovery))?", "requests"),
    (r"_share|_rate|utilisation|_provisioning_accuracy", "share"),
)
STARTS = ((r"error_rate|share_|pick_share_", "share"), (r"requests_", "requests"), (r"times_floor_", "ratio"))
COUNTED = {
    "dropped": "requests",
    "errors": "requests",
    "second": "s",
    "status": "HTTP status",
    "attempts": "attempts",
    "attempts_per_request": "attempts",
    "hedge_wins": "requests",
    "sends_per_request": "attempts",
    "amplification": "attempts",
    "executions_per_request": "executions",
    "duplicate_posts": "requests",
    "tier_calls": "calls",
    "tier_calls_per_request": "calls",
    "tier_attempts_per_call": "attempts",
    "tier_hedged_calls": "calls",
    "tier_failed_calls": "calls",
    "replicas_ready": "replicas",
    "replicas_desired": "replicas",
    "replicas_provisioned": "replicas",
    "replicas_min": "replicas",
    "replicas_max": "replicas",
    "failed_starts": "starts",
    "ended_replicas": "replicas",
    "slo_violating_requests": "requests",
    "scaling_regret": "ratio",
    "unmet_needs": "needs",
    "scaling_actions": "actions",
    "scaling_jitter_per_min": "replicas/min",
    "faults_injected": "faults",
    "faults_undetected": "faults",
    "false_ejections": "ejections",
    "router_in_flight": "requests",
}
"""What is counted, where the name's ending does not say it."""


def unit_of(name: str) -> str:
    """The unit, such as `ms`, `s`, `requests/s`, `share` (0 to 1) or `replicas`; empty where there is none."""
    if name in COUNTED:
        return COUNTED[name]
    for start, unit in STARTS:
        if re.match(start, name):
            return unit
    return next((unit for ending, unit in ENDINGS if re.search(rf"({ending})$", name)), "")


def units_of(names: list[str]) -> dict[str, str]:
    """The units of those that have one."""
    return {name: unit for name in names if (unit := unit_of(name))}
