"""What replicas and manager are told of a run's configuration, live and simulated."""

import dataclasses
import math
from typing import Any

from experiments.plan.config import BY_SPEED, Config, ReplicaConfig
from experiments.plan.fault_plan import Fault
from services.manager.settings import ScalingSettings


def replica_options(config: Config) -> dict[str, Any]:
    """What every replica is told, as engines take it: options of services.backend, `speeds` and `weights`."""
    demand = config.workload.demand
    return {
        **dataclasses.asdict(config.replica),
        "weights": weights(config.replica),
        "seed": config.seed,
        "replica_noise": demand.replica_noise,
        "demand_mean_ms": demand.mean_ms,
        "demand_distribution": demand.distribution,
        "demand_sigma": demand.sigma,
    }


def scaling_settings(config: Config, faults: list[Fault]) -> ScalingSettings:
    """What bounds the scaler; what the faults start again, the manager must leave alone."""
    faults_restart = any(fault.restarts for fault in faults)
    settings = config.autoscaling
    return dataclasses.replace(settings, self_heal=settings.self_heal and not faults_restart)


def weights(replica: ReplicaConfig) -> list[float]:
    """What each replica announces to the router; empty = all 1.0."""
    return list(replica.speeds if replica.weights == BY_SPEED else replica.weights)


def manager_startup_s(config: Config) -> float:
    """The longest time until a manager serves, seconds: its first replicas start before, so many at a time."""
    rounds = math.ceil(config.replicas / config.autoscaling.max_starting)
    return config.engine.startup_timeout_s * (1 + rounds)
