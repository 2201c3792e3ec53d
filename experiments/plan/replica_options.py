"""What replicas and manager are told of a run's configuration, live and simulated."""

import dataclasses
import math
from typing import Any

from experiments.plan.config import Config
from experiments.plan.fault_plan import Fault
from experiments.plan.tiers import BY_SPEED, ReplicaConfig, TierConfig
from experiments.plan.workload import HEAVY, CallDemandSettings, DemandSettings
from services.manager.settings import ScalingSettings

PLAIN = "exponential"
"""What a replica draws in place of a distribution that only the schedule draws."""


def replica_options(config: Config) -> dict[str, Any]:
    """What every replica is told, as engines take it: options of services.backend, `speeds` and `weights`."""
    return _options(config.replica, config.workload.demand, config.seed) | _calls(config.tier)


def tier_options(config: Config) -> dict[str, Any]:
    """What every replica of the second tier is told, likewise."""
    return _options(config.tier.replica, config.tier.demand, config.seed)


def _options(replica: ReplicaConfig, demand: DemandSettings | CallDemandSettings, seed: int) -> dict[str, Any]:
    return {
        **dataclasses.asdict(replica),
        "weights": weights(replica),
        "seed": seed,
        "replica_noise": demand.replica_noise,
        "demand_mean_ms": demand.mean_ms,
        # Only asked without a demand, as by curl: the schedule's requests bring theirs.
        "demand_distribution": PLAIN if demand.distribution in HEAVY else demand.distribution,
        "demand_sigma": demand.sigma,
    }


def _calls(tier: TierConfig) -> dict[str, Any]:
    """What those are told who call a second tier; nothing where there is none."""
    if not tier.replicas:
        return {}
    return {
        "fanout": tier.fanout,
        "wait": tier.wait or 0,
        "hit_rate": tier.hit_rate,
        "slot": tier.slot,
        "call_timeout_s": tier.timeout_s,
        "call_mean_ms": tier.demand.mean_ms,
        "call_distribution": tier.demand.distribution,
        "call_sigma": tier.demand.sigma,
    }


def scaling_settings(config: Config, faults: list[Fault]) -> ScalingSettings:
    """What bounds the scaler; what the faults start again, the manager must leave alone."""
    given = {field.name: getattr(config.autoscaling, field.name) for field in dataclasses.fields(ScalingSettings)}
    return ScalingSettings(**given | {"self_heal": config.autoscaling.self_heal and not restarting(config, faults)})


def restarting(config: Config, faults: list[Fault]) -> str | None:
    """The action of a fault that starts replicas of the manager's again; None = none does."""
    return next((fault.action for fault in faults if fault.restarts and fault.target in config.replica_ids), None)


def weights(replica: ReplicaConfig) -> list[float]:
    """What each replica announces to the router; empty = all 1.0."""
    return list(replica.speeds if replica.weights == BY_SPEED else replica.weights)


def manager_startup_s(config: Config) -> float:
    """The longest time until a manager serves, seconds: its first replicas start before, so many at a time."""
    rounds = math.ceil(config.replicas / config.autoscaling.max_starting)
    return config.engine.startup_timeout_s * (1 + rounds)
