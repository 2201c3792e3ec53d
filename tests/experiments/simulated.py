"""Short simulations for tests: a configuration in a line, without delays unless asked."""

from experiments.plan.config import Config, EngineConfig, LoadConfig, RouterConfig
from experiments.plan.schedule import build_schedule
from experiments.plan.tiers import ReplicaConfig
from experiments.plan.workload import DemandSettings, WorkloadSettings
from experiments.simulator.stack import simulate
from services.router.settings import TimeoutSettings

NEVER_S = 600.0


def configured(
    load=0.8, *, replicas=1, slots=1, limit=100_000, requests=20_000, mean_ms=100.0, distribution="exponential",
    sigma=1.0, policy=None, router="default", seed=1, speeds=(), discipline="fifo", on_hangup="cancel", arrivals="poisson",
):  # fmt: skip
    """A fleet at utilisation `load`; nobody times out."""
    rate = load * replicas * slots / (mean_ms / 1e3)
    return Config(
        seed=seed,
        replicas=replicas,
        replica=ReplicaConfig(slots, limit, list(speeds), discipline=discipline, on_hangup=on_hangup),
        workload=WorkloadSettings(
            rate_rps=rate, duration_s=requests / rate, warmup_s=0.0, arrivals=arrivals,
            demand=DemandSettings(mean_ms=mean_ms, distribution=distribution, sigma=sigma),
        ),
        load=LoadConfig(timeout_s=NEVER_S),
        router=None if router is None else RouterConfig(timeouts=TimeoutSettings(attempt_s=NEVER_S, overall_s=NEVER_S)),
        policy=policy or {"name": "random"},
        scaler={"name": "none"},
        engine=EngineConfig("sim"),
    )  # fmt: skip


def run(config, faults=(), schedule=None):
    """The stack after its run."""
    planned = build_schedule(config.workload, config.seed) if schedule is None else schedule
    return simulate(config, planned, faults)
