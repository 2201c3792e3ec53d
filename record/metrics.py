"""`metrics.json`, key by key, in the order of docs/results.md, which says what each means."""

from collections.abc import Mapping
from typing import TypedDict, cast


class Metrics(TypedDict, total=False):
    """The run in numbers; null = undefined.

    All keys are there but in files that an older version made. Beside them stand `share_<replica>` of each replica
    that answered, `pick_share_<reason>` of each reason for a pick, and
    `lateness_p99_ms_worker_<shard>` of each generator process, whose names a run decides: `value_of`.
    """

    # load and its outcome
    schema_version: int
    window_s: float
    offered_requests: int
    offered_rps: float | None
    sent_requests: int
    achieved_rps: float | None
    goodput_rps: float | None
    failed_requests: int
    error_rate: float | None
    served_share: float | None
    error_rate_http_error: float | None
    error_rate_timeout: float | None
    error_rate_refused: float | None
    error_rate_reset: float | None
    error_rate_dropped: float | None
    error_rate_steady: float | None
    requests_steady: int
    error_rate_fault: float | None
    requests_fault: int
    error_rate_recovery: float | None
    requests_recovery: int
    post_requests: int
    failed_get_requests: int | None
    failed_get_upper_share: float | None
    failed_post_requests: int | None
    failed_post_upper_share: float | None
    dropped: int

    # latency and where it goes
    latency_p50_ms: float | None
    latency_p90_ms: float | None
    latency_p99_ms: float | None
    latency_p999_ms: float | None
    latency_p50_beyond_ms: float | None
    latency_p90_beyond_ms: float | None
    latency_p99_beyond_ms: float | None
    latency_p999_beyond_ms: float | None
    latency_p50_ms_steady: float | None
    latency_p90_ms_steady: float | None
    latency_p99_ms_steady: float | None
    latency_p999_ms_steady: float | None
    latency_p50_beyond_ms_steady: float | None
    latency_p90_beyond_ms_steady: float | None
    latency_p99_beyond_ms_steady: float | None
    latency_p999_beyond_ms_steady: float | None
    latency_p50_ms_fault: float | None
    latency_p90_ms_fault: float | None
    latency_p99_ms_fault: float | None
    latency_p999_ms_fault: float | None
    latency_p50_beyond_ms_fault: float | None
    latency_p90_beyond_ms_fault: float | None
    latency_p99_beyond_ms_fault: float | None
    latency_p999_beyond_ms_fault: float | None
    latency_p50_ms_recovery: float | None
    latency_p90_ms_recovery: float | None
    latency_p99_ms_recovery: float | None
    latency_p999_ms_recovery: float | None
    latency_p50_beyond_ms_recovery: float | None
    latency_p90_beyond_ms_recovery: float | None
    latency_p99_beyond_ms_recovery: float | None
    latency_p999_beyond_ms_recovery: float | None
    latency_mean_ms: float | None
    latency_max_ms: float | None
    latency_served_p50_ms: float | None
    latency_served_p99_ms: float | None
    latency_served_mean_ms: float | None
    latency_served_max_ms: float | None
    client_service_p50_ms: float | None
    client_service_p99_ms: float | None
    router_overhead_p50_ms: float | None
    router_overhead_p99_ms: float | None
    queue_p50_ms: float | None
    queue_p99_ms: float | None
    service_p50_ms: float | None
    service_p99_ms: float | None
    service_mean_ms: float | None

    # routing and replicas
    retried_requests: int | None
    attempts_per_request: float | None
    sends_per_request: float | None
    hedged_requests: int | None
    hedge_wins: int | None
    tier_calls: int | None
    tier_calls_per_request: float | None
    tier_attempts_per_call: float | None
    tier_hedged_calls: int | None
    tier_failed_calls: int | None
    replicas_min: int | None
    replicas_max: int | None
    failed_starts: int | None
    ended_replicas: int | None
    replica_seconds: float | None
    slo_violation_s: float | None
    slo_violation_share: float | None
    slo_violating_requests: int

    # how well it was scaled
    scaling_not_judged: str | None
    scaling_regret: float | None
    scaling_regret_replica_seconds: float | None
    paid_replica_seconds: float | None
    shortage_replica_seconds: float | None
    hindsight_replica_seconds: float | None
    hindsight_shortage_replica_seconds: float | None
    hindsight_under_provisioned_share: float | None
    hindsight_startup_s: float | None
    need_to_ready_s: float | None
    need_to_ready_max_s: float | None
    unmet_needs: int | None
    under_provisioning_accuracy: float | None
    over_provisioning_accuracy: float | None
    under_provisioning_resource_share: float | None
    over_provisioning_resource_share: float | None
    under_provisioned_share: float | None
    over_provisioned_share: float | None
    scaling_actions: int | None
    scaling_jitter_per_min: float | None
    scaling_instability_up_share: float | None
    scaling_instability_down_share: float | None

    # faults
    faults_injected: int
    detection_s: float | None
    detected_by: str | None
    faults_undetected: int | None
    fault_harm: bool | None
    recovery_s: float | None
    recovered: bool | None
    fault_delay_max_ms: float | None

    # the router's decisions
    time_in_panic_s: float | None
    false_ejections: int | None
    regret_mean_ms: float | None
    regret_p99_ms: float | None

    # what replicas did
    amplification: float | None
    executions_per_request: float | None
    duplicate_requests: int | None
    duplicate_posts: int | None
    wasted_work_s: float | None
    wasted_work_share: float | None

    # against theory
    exact_error_p50_ms: float | None
    exact_error_p99_ms: float | None
    exact_latency_p99_ms: float | None
    exact_blocked_share: float | None
    theory_latency_mean_ms: float | None
    theory_latency_p99_ms: float | None
    theory_blocked_share: float | None

    # against the floor
    floor_p50_ms: float | None
    floor_p99_ms: float | None
    floor_mean_ms: float | None
    floor_failed_requests: int | None
    floor_p50_ms_steady: float | None
    floor_p99_ms_steady: float | None
    floor_failed_requests_steady: int | None
    floor_p50_ms_fault: float | None
    floor_p99_ms_fault: float | None
    floor_failed_requests_fault: int | None
    floor_p50_ms_recovery: float | None
    floor_p99_ms_recovery: float | None
    floor_failed_requests_recovery: int | None
    excess_p50_ms: float | None
    excess_p99_ms: float | None
    excess_mean_ms: float | None
    excess_failed_requests: int | None
    times_floor_p50: float | None
    times_floor_p99: float | None
    excess_p50_ms_steady: float | None
    excess_p99_ms_steady: float | None
    excess_failed_requests_steady: int | None
    times_floor_p50_steady: float | None
    times_floor_p99_steady: float | None
    excess_p50_ms_fault: float | None
    excess_p99_ms_fault: float | None
    excess_failed_requests_fault: int | None
    times_floor_p50_fault: float | None
    times_floor_p99_fault: float | None
    excess_p50_ms_recovery: float | None
    excess_p99_ms_recovery: float | None
    excess_failed_requests_recovery: int | None
    times_floor_p50_recovery: float | None
    times_floor_p99_recovery: float | None

    # the instrument
    lateness_p50_ms: float | None
    lateness_p99_ms: float | None
    cpu_generator_cores: float | None
    cpu_router_cores: float | None
    cpu_replicas_cores: float | None
    cpu_manager_cores: float | None
    cpu_runner_cores: float | None
    cpu_foreign_cores: float | None
    cpu_steal_cores: float | None
    cpu_generator_max_cores: float | None
    cpu_router_max_cores: float | None
    router_lag_ms: float | None
    router_lag_max_ms: float | None
    router_starved_ms: float | None
    clock_offset_max_ms: float | None
    valid: bool
    invalid_reasons: list[str]
    warnings: list[str]

    # whether it had settled
    utilisation: float | None
    relaxation_s: float | None
    steady: bool | None


def value_of(metrics: Metrics, key: str) -> float | None:
    """A metric whose name is known only when the code runs: one of those that arms are compared by, a worker's.

    Raises:
        KeyError: there is none of that name.
    """
    return cast(Mapping[str, float | None], metrics)[key]
