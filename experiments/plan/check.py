"""What the types of the configuration cannot say: keys that do not go together, or ask for what there is not."""

import random

from analysis.comparison.compared import RATIOS
from experiments.plan.config import BY_SPEED, Config, ConfigError, require
from experiments.plan.engines import Engine, engine_of
from experiments.plan.expecting import check_expected
from experiments.plan.fault_plan import Fault
from experiments.plan.fault_timeline import plan_faults
from services.bounds import Bounds, hold
from services.manager import scalers
from services.router import policies

BYTES_PER_REQUEST = 350
"""Memory that a request of a run takes, roughly, when it is analysed."""
SPEEDS = Bounds(0.01, 100)
WEIGHTS = Bounds(0.001, 1000)
WITH_A_RATIO = "latency_p99_ms"
"""The metric that is proposed where one with a ratio is needed."""


def check(config: Config) -> list[Fault]:
    """Check every key; return the run's faults, planned ones and random ones, in order of time.

    Raises:
        ConfigError: with one line that names the key, its value and what it may be.
    """
    try:
        hold(config)
        engine = engine_of(config)
        _check_engine(config, engine)
        _check_replicas(config)
        _check_load(config, engine)
        config.workload.validate()
        if config.router is not None:
            config.router.validate()
        config.autoscaling.validate(engine.most_replicas)
        policy, scaler = dict(config.policy), dict(config.scaler)
        policies.create(policy.pop("name", ""), policy, random.Random(0))
        scalers.create(scaler.pop("name", ""), scaler)
        _check_manager(config)
        check_expected(config)
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


def _check_engine(config: Config, engine: type[Engine]) -> None:
    """What the engine cannot do is refused, and what only another one reads."""
    most = engine.most_replicas
    require(1 <= config.replicas <= most, "replicas", config.replicas, f"between 1 and {most} (engine={engine.name})")
    requests, limit = config.workload.most_requests(), engine.most_requests
    if requests > limit:
        gib = requests * BYTES_PER_REQUEST / 2**30
        raise ConfigError(
            f"workload.rate_rps={config.workload.rate_rps:g}: up to {requests:,.0f} requests in "
            f"{config.workload.duration_s:g} s, about {gib:,.0f} GiB of memory; engine={engine.name} takes at most "
            f"{limit:,}: lower the rate or the duration"
        )
    engine.check(config)


def _check_replicas(config: Config) -> None:
    replica, speeds = config.replica, config.replica.speeds
    if replica.discipline != "fifo":
        require(replica.kind == "sleep", "replica.discipline", replica.discipline, "fifo with replica.kind=cpu")
    require(
        not speeds or len(speeds) == len(config.replica_ids),
        "replica.speeds",
        speeds,
        f"empty or {len(config.replica_ids)} numbers, one a replica (or set replicas={len(speeds)})",
    )
    require(all(map(SPEEDS.holds, speeds)), "replica.speeds", speeds, f"numbers {SPEEDS}")
    _check_weights(config)


def _check_weights(config: Config) -> None:
    weights, count = config.replica.weights, len(config.replica_ids)
    if weights == []:
        return
    must = f"empty, {BY_SPEED}, or {count} numbers {WEIGHTS}, one a replica"
    if weights != BY_SPEED:
        is_one = isinstance(weights, list) and all(type(w) in (int, float) and WEIGHTS.holds(w) for w in weights)
        require(is_one, "replica.weights", weights, must)
        require(len(weights) == count, "replica.weights", weights, f"{must} (or set replicas={len(weights)})")
    if config.router is None:
        raise ConfigError(f"replica.weights={weights}: goes with a router, which reads them; add router=default")


def _check_load(config: Config, engine: type[Engine]) -> None:
    """The closed loop, and workers of other machines: what does not go with them."""
    load = config.load
    if load.loop == "closed" and (config.workload.profile != "constant" or load.workers != 1):
        raise ConfigError("load.loop=closed: goes with workload.profile=constant and load.workers=1 only")
    if load.remote_workers == 0:
        return
    require(bool(load.master_bind.strip()), "load.master_bind", repr(load.master_bind), "an address of this machine")
    for key, clashes, must in (
        ("engine", engine.is_virtual, f"another one than {engine.name}"),
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
    require(low <= config.replicas <= high, "replicas", config.replicas, f"between {low} and {high} (autoscaling)")


def check_repeat(config: Config) -> None:
    """Whether the metric that a sweep is judged by can be known to a factor.

    Raises:
        ConfigError: it is compared by a difference.
    """
    primary = config.comparison.primary
    if config.repeat.until_ratio_ci is not None:
        must = f"compared by a ratio where repeat.until_ratio_ci is given: comparison.primary={WITH_A_RATIO}"
        require(primary in RATIOS, "comparison.primary", primary, must)
