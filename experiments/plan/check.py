"""What the types of the configuration cannot say: keys that do not go together, or ask for what there is not."""

import random

from analysis.comparison.compared import RATIOS
from experiments.plan.config import Config, ConfigError
from experiments.plan.fault_plan import Fault, plan_faults
from experiments.plan.outside import check_image
from services.bounds import Bounds, hold
from services.manager import scalers
from services.router import policies

MOST_REPLICAS = {"local": 64, "compose": 64, "sim": 10_000}
MOST_REQUESTS = {"local": 5_000_000, "compose": 5_000_000, "sim": 40_000_000}
"""A larger schedule is refused, by engine."""
BYTES_PER_REQUEST = 350
"""Memory that a request of a run takes, roughly, when it is analysed."""
SPEEDS = Bounds(0.01, 100)
WITH_A_RATIO = "latency_p99_ms"
"""The metric that is proposed where one with a ratio is needed."""


def check(config: Config) -> list[Fault]:
    """Check every key; return the run's faults, planned ones and random ones, in order of time.

    Raises:
        ConfigError: with one line that names the key, its value and what it may be.
    """
    try:
        hold(config)
        _check_engine(config)
        _check_replicas(config)
        _check_load(config)
        config.workload.validate()
        if config.router is not None:
            config.router.validate()
        config.autoscaling.validate(MOST_REPLICAS[config.engine.name])
        policy, scaler = dict(config.policy), dict(config.scaler)
        policies.create(policy.pop("name", ""), policy, random.Random(0))
        scalers.create(scaler.pop("name", ""), scaler)
        _check_manager(config)
        return plan_faults(
            config.faults,
            config.random_faults,
            replicas=config.replica_ids,
            initial=config.replicas,
            has_router=config.router is not None,
            has_manager=config.has_manager,
            duration_s=config.workload.duration_s,
            warmup_s=config.workload.warmup_s,
            seed=config.seed,
        )
    except ValueError as error:
        raise ConfigError(" ".join(str(error).split())) from error


def _require(holds: bool, key: str, value: object, must: str) -> None:
    if not holds:
        raise ConfigError(f"{key}={value}: must be {must}")


def _check_engine(config: Config) -> None:
    """What the engine cannot do is refused, and what only another one reads."""
    engine = config.engine
    most = MOST_REPLICAS[engine.name]
    _require(1 <= config.replicas <= most, "replicas", config.replicas, f"between 1 and {most} (engine={engine.name})")
    requests, limit = config.workload.most_requests(), MOST_REQUESTS[engine.name]
    if requests > limit:
        gib = requests * BYTES_PER_REQUEST / 2**30
        raise ConfigError(
            f"workload.rate_rps={config.workload.rate_rps:g}: up to {requests:,.0f} requests in "
            f"{config.workload.duration_s:g} s, about {gib:,.0f} GiB of memory; engine={engine.name} takes at most "
            f"{limit:,}: lower the rate or the duration"
        )
    if engine.name != "compose":
        _require(engine.image is None, "engine.image", engine.image, "left out, it is of engine=compose")
    else:
        check_image(config)
    count = 1 if config.router is None else config.router.count
    if engine.name != "sim":
        _require(engine.delays is None, "engine.delays", "...", "left out, they are of engine=sim")
        _require(count == 1, "router.count", count, "1, or engine=sim")
        return
    _require(config.replica.kind == "sleep", "replica.kind", config.replica.kind, "sleep (engine=sim burns no CPU)")
    _require(not config.load.ui, "load.ui", config.load.ui, "false (engine=sim has nothing to look at)")
    _require(not config.load.fit, "load.fit", config.load.fit, "false (engine=sim sends any rate on time)")
    if config.has_manager:
        _require(count == 1, "router.count", count, "1 where something scales: a manager reads one router")


def _check_replicas(config: Config) -> None:
    replica, speeds = config.replica, config.replica.speeds
    if replica.discipline != "fifo":
        _require(replica.kind == "sleep", "replica.discipline", replica.discipline, "fifo with replica.kind=cpu")
    _require(
        not speeds or len(speeds) == len(config.replica_ids),
        "replica.speeds",
        speeds,
        f"empty or {len(config.replica_ids)} numbers, one a replica (or set replicas={len(speeds)})",
    )
    _require(all(map(SPEEDS.holds, speeds)), "replica.speeds", speeds, f"numbers {SPEEDS}")


def _check_load(config: Config) -> None:
    """The closed loop, and workers of other machines: what does not go with them."""
    load = config.load
    if load.loop == "closed" and (config.workload.profile != "constant" or load.workers != 1):
        raise ConfigError("load.loop=closed: goes with workload.profile=constant and load.workers=1 only")
    if load.remote_workers == 0:
        return
    _require(bool(load.master_bind.strip()), "load.master_bind", repr(load.master_bind), "an address of this machine")
    for key, clashes, must in (
        ("engine", config.engine.name == "sim", "another one than sim"),
        ("load.workers", load.workers != 1, "left at 1 (a machine with more cores runs several load_worker)"),
        ("load.loop", load.loop != "open", "open"),
        ("load.fit", load.fit, "false (it measures this machine)"),
        ("load.ui", load.ui, "false"),
    ):
        if clashes:
            raise ConfigError(f"load.remote_workers={load.remote_workers}: {key} must be {must}")


def _check_manager(config: Config) -> None:
    if not config.has_manager:
        return
    if config.router is None:
        raise ConfigError("scaler: a manager reads the router, so router=none goes with scaler=none only")
    low, high = config.autoscaling.min_replicas, config.autoscaling.max_replicas
    _require(low <= config.replicas <= high, "replicas", config.replicas, f"between {low} and {high} (autoscaling)")


def check_repeat(config: Config) -> None:
    """Whether the metric that a sweep is judged by can be known to a factor.

    Raises:
        ConfigError: it is compared by a difference.
    """
    primary = config.comparison.primary
    if config.repeat.until_ratio_ci is not None:
        must = f"compared by a ratio where repeat.until_ratio_ci is given: comparison.primary={WITH_A_RATIO}"
        _require(primary in RATIOS, "comparison.primary", primary, must)
