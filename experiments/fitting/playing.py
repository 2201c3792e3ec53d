"""A fitted fleet in virtual time, with the arrivals of a log and demands drawn anew.

Where the proxy did not look at load, each host is a simulation of its own with the requests that the log gave to it.
Where it did, the fleet is one, behind a router of this project with a policy that looks at load, too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.fitting.fleet import Fleet
from analysis.fitting.inversion import Bools, Floats
from analysis.fitting.log import Log
from experiments.plan.check import SPEEDS
from experiments.plan.config import Config, EngineConfig, LoadConfig, RouterConfig
from experiments.plan.fault_plan import Fault
from experiments.plan.tiers import ReplicaConfig
from experiments.plan.workload import DemandSettings, WorkloadSettings
from experiments.simulator.request import OK
from experiments.simulator.stack import simulate
from services.backend.settings import MAX_DEMAND_MS
from services.router.settings import EjectionSettings, HealthCheckSettings, RetrySettings, TimeoutSettings

NEVER_S = 600.0
"""A client's patience (`load.timeout_s`): the log says nothing of it."""
NO_LIMIT = 100_000
"""Places in a replica's line, likewise."""
Policy = Mapping[str, Any]
"""As of `config.policy`."""
BY_LOAD: tuple[Policy | None, ...] = (
    None,
    {"name": "least_request"},
    {"name": "least_request", "choices": 2},
    {"name": "join_idle_queue"},
    {"name": "peak_ewma"},
)
"""What a proxy may be that looks at load; None = the recorded choices come nearest."""


@dataclass(frozen=True)
class Played:
    """What became of requests; shape (n,) each."""

    lasted_s: Floats
    served: Bools


@dataclass(frozen=True)
class Draw:
    """A fleet that the log does not rule out."""

    slots: int
    speeds: tuple[float, ...]


def draw(fleet: Fleet, number: int, rng: np.random.Generator) -> Draw:
    """The number-th of them: numbers of slots in turn, and the speeds of a resample, whose demand is in them."""
    least, most = SPEEDS.least or 0.0, SPEEDS.most or math.inf
    speeds = np.clip(fleet.drawn[int(rng.integers(len(fleet.drawn)))], least, most)
    return Draw(fleet.slots[number % len(fleet.slots)], tuple(speeds.tolist()))


def play(
    log: Log, drawn: Draw, demands_s: Floats, error_share: float, seed: int, policy: Policy | None = None
) -> Played:
    """Play a log's arrivals.

    Args:
        log: who came when, and to whom; its durations are not looked at.
        drawn: the fleet.
        demands_s: of each request at speed 1, shape (n,).
        error_share: of the requests that fail at once.
        seed: of the errors and the policy.
        policy: chooses the hosts; None = as the log says.
    """
    lasted_s, served = np.full(len(log), math.nan), np.zeros(len(log), np.bool_)
    parts = [(np.arange(len(log)), drawn.speeds)]
    if policy is None:
        parts = [(np.flatnonzero(log.host == number), (speed,)) for number, speed in enumerate(drawn.speeds)]
    begin_s = float(log.arrivals_s[0])
    for number, (rows, speeds) in enumerate(parts):
        if not len(rows):
            continue
        schedule = pd.DataFrame(
            {
                "request_id": np.arange(len(rows), dtype=np.int64),
                "scheduled_s": log.arrivals_s[rows] - begin_s,
                "demand_s": np.clip(demands_s[rows], 1e-6, MAX_DEMAND_MS / 1e3),
                "key": np.full(len(rows), "k", dtype=object),
            }
        )
        faults = [
            Fault(at_s=0.0, action="error", target=f"r{place}", rate=error_share, check_rate=0.0)
            for place in range(1, len(speeds) + 1)
            if error_share > 0
        ]
        config = _config(drawn.slots, speeds, float(schedule["scheduled_s"].iloc[-1]), seed + number, policy)
        stack = simulate(config, schedule, faults)
        lasted_s[rows] = stack.load.sojourn_s()
        served[rows] = np.frombuffer(stack.records.outcome, dtype=np.int8) == OK
    return Played(lasted_s, served)


def _config(slots: int, speeds: tuple[float, ...], last_s: float, seed: int, policy: Policy | None) -> Config:
    """Replicas, without a delay: what the log has of the way to a host is part of the demand."""
    router = None
    if policy is not None:
        router = RouterConfig(
            health=HealthCheckSettings(enabled=False),
            ejection=EjectionSettings(enabled=False),
            retry=RetrySettings(max_attempts=1),
            timeouts=TimeoutSettings(attempt_s=NEVER_S, overall_s=NEVER_S),
        )
    return Config(
        seed=seed,
        replicas=len(speeds),
        replica=ReplicaConfig(slots, NO_LIMIT, list(speeds)),
        workload=WorkloadSettings(duration_s=max(1.0, last_s), warmup_s=0.0, demand=DemandSettings()),
        load=LoadConfig(timeout_s=NEVER_S),
        router=router,
        policy=dict(policy or {"name": "random"}),
        scaler={"name": "none"},
        engine=EngineConfig("sim"),
    )
