"""Systems whose truth is known, and the logs that they write, simulated: what the fit is calibrated on.

Most are what the fit takes a system for: hosts with slots and lines before them, under some policy. Some are not, and
have to be refused: hosts that share their speed among all requests, a second tier that all hosts wait for, a host that
slows down half-way, a proxy that holds requests back so that none waits at a host.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.fitting.inversion import Floats
from experiments.fitting.truth import Truth
from experiments.plan.config import Config, DelaysConfig, EngineConfig, LoadConfig, RouterConfig
from experiments.plan.delays import Delay
from experiments.plan.fault_plan import Fault
from experiments.plan.schedule import build_schedule
from experiments.plan.tiers import ReplicaConfig, TierConfig
from experiments.plan.workload import CallDemandSettings, DemandSettings, WorkloadSettings
from experiments.simulator.request import OK
from experiments.simulator.stack import VirtualStack, simulate
from services.router.settings import EjectionSettings, HealthCheckSettings, RetrySettings, TimeoutSettings

Kind = Literal["queues", "outage", "shared", "tier", "slows", "held back"]
ORDER: tuple[Kind, ...] = (
    "queues", "queues", "shared", "queues", "queues", "tier", "queues", "outage",
    "queues", "queues", "slows", "queues", "queues", "held back", "queues", "queues",
    "queues", "shared", "queues", "outage",
)  # fmt: skip
"""What is made one after the other, again and again."""
POLICIES = ("random", "round_robin", "least_request", "peak_ewma", "join_idle_queue", "consistent_hash")
FAMILIES = ("exponential", "lognormal", "constant")
NEVER_S = 600.0
"""Nobody gives up."""
PATIENT = TimeoutSettings(attempt_s=NEVER_S, overall_s=NEVER_S)
WAITED = 0.01
"""Share of requests that must have waited for the log to say how many slots there are."""
SLOWER = 1.6
"""Factor by which a host slows down half-way."""


@dataclass(frozen=True)
class System:
    """One, by what is true of it."""

    kind: Kind
    hosts: int
    slots: int
    speeds: tuple[float, ...]
    mean_ms: float
    family: str
    sigma: float
    utilisation: float
    policy: str
    requests: int
    step_s: float
    """Of the log's clock."""
    seed: int

    @property
    def is_queue(self) -> bool:
        """Whether it is what the fit takes it for."""
        return self.kind in ("queues", "outage")

    @property
    def rate_rps(self) -> float:
        """Requests a second."""
        return self.utilisation * self.slots * sum(self.speeds) / (self.mean_ms / 1e3)

    @property
    def duration_s(self) -> float:
        """Of the log."""
        return self.requests / self.rate_rps

    @property
    def outage_s(self) -> tuple[float, float]:
        """When the last host fails, if it does, and for how long."""
        return 0.2 * self.duration_s, 0.08 * self.duration_s

    @property
    def spread(self) -> float:
        """Standard deviation of the demand over its mean."""
        known = {"exponential": 1.0, "constant": 0.0}
        return known.get(self.family, math.sqrt(math.expm1(self.sigma**2)))

    def __str__(self) -> str:
        """In a line."""
        speeds = ", ".join(f"{speed:g}" for speed in self.speeds)
        return (
            f"{self.kind}: {self.hosts} x {self.slots}, speeds {speeds}, {self.family} {self.mean_ms:g} ms, "
            f"utilisation {self.utilisation:.2f}, {self.policy}"
        )


def made_up(number: int, requests: int) -> System:
    """The number-th of them, 0, 1, ..."""
    rng = np.random.default_rng([15, number])
    kind = ORDER[number % len(ORDER)]
    hosts = int(rng.integers(2 if kind in ("outage", "slows") else 1, 7))
    slots = int(rng.integers(1, 9))
    speeds = np.ones(hosts)
    if hosts > 1 and rng.random() < 0.5:
        speeds = np.round(rng.uniform(0.4, 1.2, hosts), 2)
    policy = "late_binding" if kind == "held back" else str(rng.choice(POLICIES))
    most = 0.9
    if policy in ("random", "round_robin", "consistent_hash"):  # which give all hosts the same
        most *= float(speeds.min() * hosts / speeds.sum())
    return System(
        kind,
        hosts,
        slots,
        tuple(speeds.tolist()),
        float(np.round(math.exp(rng.uniform(math.log(10), math.log(200))), 1)),
        str(rng.choice(FAMILIES)),
        float(np.round(rng.uniform(0.4, 1.2), 2)),
        float(np.round(min(most, rng.uniform(0.2, 0.9)), 2)),
        policy,
        requests,
        float(rng.choice([0.0, 1e-3])),
        number + 1,
    )


def log_of(system: System) -> tuple[pd.DataFrame, Truth]:
    """What its proxy would have logged, and what is true of that.

    Columns as of `aegis import`: `scheduled_s`, `taken_s`, `upstream_s`, `upstream`, `attempts`, `status`.
    """
    config = config_of(system)
    schedule = build_schedule(config.workload, config.seed)
    stack = simulate(config, schedule, faults_of(system))
    return _logged(stack, schedule, system)


def _logged(stack: VirtualStack, schedule: pd.DataFrame, system: System) -> tuple[pd.DataFrame, Truth]:
    records = stack.records
    served = np.frombuffer(records.outcome, dtype=np.int8) == OK
    queue_s, service_s = np.frombuffer(records.queue_s), np.frombuffer(records.service_s)
    names = np.array([*stack.nodes, None], dtype=object)
    step_s = system.step_s or 1e-6

    def shown(moments_s: Floats) -> Floats:
        return np.floor(moments_s / step_s) * step_s

    exact_s = schedule["scheduled_s"].to_numpy()
    begin_s = shown(exact_s)
    taken_s = shown(exact_s + stack.load.sojourn_s()) - begin_s
    upstream_s = np.where(served, shown(exact_s + queue_s + service_s) - begin_s, taken_s)
    table = pd.DataFrame(
        {
            "scheduled_s": np.round(begin_s, 6),
            "taken_s": np.round(taken_s, 6),
            "upstream_s": np.round(upstream_s, 6),
            "upstream": names[np.frombuffer(records.replica, dtype=np.int32)],
            "attempts": np.frombuffer(records.attempts, dtype=np.int16),
            "status": np.frombuffer(records.status, dtype=np.int16),
        }
    )
    at_s, for_s = system.outage_s
    outage_s = (at_s, at_s + for_s) if system.kind == "outage" else None
    waited = float((queue_s[served] > 1e-6).mean())
    return table, Truth(waited, schedule["demand_s"].to_numpy(), outage_s)


def faults_of(system: System) -> list[Fault]:
    """What happens to its last host."""
    last = f"r{system.hosts}"
    if system.kind == "outage":
        at_s, for_s = system.outage_s
        return [Fault(at_s=at_s, action="error", target=last, for_s=for_s, check_rate=0.0)]
    if system.kind == "slows":
        return [Fault(at_s=0.5 * system.duration_s, action="slow", target=last, factor=SLOWER)]
    return []


def config_of(system: System) -> Config:
    """The system as a run's, simulated."""
    router = RouterConfig(timeouts=PATIENT)
    if system.kind == "outage":  # nothing hides it
        router = RouterConfig(
            timeouts=PATIENT,
            retry=RetrySettings(max_attempts=1),
            ejection=EjectionSettings(enabled=False),
            health=HealthCheckSettings(enabled=False),
        )
    return Config(
        seed=system.seed,
        replicas=system.hosts,
        replica=ReplicaConfig(
            system.slots, 100_000, list(system.speeds), discipline="ps" if system.kind == "shared" else "fifo"
        ),
        workload=WorkloadSettings(
            rate_rps=system.rate_rps,
            duration_s=system.duration_s,
            warmup_s=0.0,
            demand=DemandSettings(mean_ms=system.mean_ms, distribution=system.family, sigma=system.sigma),
        ),
        load=LoadConfig(timeout_s=NEVER_S),
        router=router,
        policy={"name": system.policy, **({"limit": 100_000} if system.kind == "held back" else {})},
        scaler={"name": "none"},
        tier=_tier(system) if system.kind == "tier" else TierConfig(),
        engine=EngineConfig("sim", delays=DelaysConfig(router=Delay(0.1, 0.27), replica=Delay(0.56, 0.3))),
    )


def _tier(system: System) -> TierConfig:
    """One server behind all hosts, busy at 0.8, whose answers their slots wait for."""
    mean_ms = 0.8 / system.rate_rps * 1e3
    return TierConfig(
        replicas=1,
        demand=CallDemandSettings(mean_ms=mean_ms),
        replica=ReplicaConfig(1, 100_000),
        policy={"name": "random"},
        timeout_s=NEVER_S,
    )
