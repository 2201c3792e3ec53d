"""What the types of the configuration cannot say: keys that do not go together, or ask for what there is not."""

import random
from collections.abc import Collection

from analysis.comparison.compared import RATIOS
from experiments.plan.client_retries import ClientRetrySettings
from experiments.plan.config import Config, ConfigError, LoadConfig, require
from experiments.plan.data_planes import check_data_plane, check_scaled
from experiments.plan.differing import differing
from experiments.plan.engines import Engine, engine_of
from experiments.plan.expecting import check_expected
from experiments.plan.external import check_external, check_faults_of_others
from experiments.plan.fault_plan import Fault, is_on_path
from experiments.plan.fault_timeline import plan_faults
from experiments.plan.replica_options import restarting
from experiments.plan.tiers import BY_SPEED, ReplicaConfig, TierConfig
from services.backend.settings import MAX_DEMAND_MS
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
        config.workload.validate()
        engine = engine_of(config)
        check_external(config, engine)
        check_data_plane(config, engine)
        _check_engine(config, engine)
        has_router = config.started_router is not None
        _check_replicas(config.replica, config.replica_ids, "replica", "replicas", has_router=has_router)
        _check_tier(config, engine)
        _check_load(config, engine)
        if config.router is not None:
            config.router.validate()
        config.autoscaling.validate(engine.most_replicas)
        policy, scaler = dict(config.policy), dict(config.scaler)
        policies.create(policy.pop("name", ""), policy, random.Random(0))
        reads = getattr(scalers.create(scaler.pop("name", ""), scaler), "reads", ())
        _check_manager(config, engine, reads)
        check_scaled(config, reads)
        check_expected(config)
        faults = plan_faults(
            config.faults,
            config.random_faults,
            replicas=config.replica_ids,
            initial=config.replicas,
            has_router=has_router,
            has_manager=config.has_manager,
            tier=config.tier.ids,
            has_cache=config.tier.hit_rate > 0,
            duration_s=config.workload.duration_s,
            warmup_s=config.workload.warmup_s,
            seed=config.seed,
        )
        check_faults_of_others(config, engine, faults)
        _check_paths(config, engine, faults)
        _check_crashes(config, faults)
        return faults
    except ValueError as error:
        raise ConfigError(" ".join(str(error).split())) from error


def _check_engine(config: Config, engine: type[Engine]) -> None:
    """What the engine cannot do is refused, and what only another one reads."""
    is_written = config.router is not None and config.router.decisions
    can_write = engine.name == "local" and not config.stands_in
    require(not is_written or can_write, "router.decisions", True, "false but with engine=local and Aegis' own router")
    least, most = 0 if config.is_external else 1, engine.most_replicas
    must = f"between {least} and {most} (engine={engine.name})"
    require(least <= config.replicas <= most, "replicas", config.replicas, must)
    requests, limit = config.workload.most_requests(), engine.most_requests
    if requests > limit:
        gib, trace = requests * BYTES_PER_REQUEST / 2**30, config.workload.trace
        key = f"workload.rate_rps={config.workload.rate_rps:g}" if trace is None else f"workload.trace={trace}"
        ways = "lower the rate or the duration" if trace is None else "lower workload.trace_height or trace_for_s"
        raise ConfigError(
            f"{key}: up to {requests:,.0f} requests in {config.workload.duration_s:g} s, about {gib:,.0f} GiB of "
            f"memory; engine={engine.name} takes at most {limit:,}: {ways}"
        )
    if not engine.is_virtual and config.workload.trace is not None:
        demand = config.workload.recorded().demand_s
        longest_s = 0.0 if demand is None else float(demand.max())
        must = f"at most {MAX_DEMAND_MS / 1e3:g}, which replicas take; engine=sim takes any"
        require(longest_s * 1e3 <= MAX_DEMAND_MS, "workload.trace: its demand_s", f"{longest_s:g}", must)
    engine.check(config)


def _check_replicas(replica: ReplicaConfig, ids: list[str], section: str, count_key: str, *, has_router: bool) -> None:
    """What one tier's replicas are told, one value each."""
    if replica.discipline != "fifo":
        require(replica.kind == "sleep", f"{section}.discipline", replica.discipline, f"fifo with {section}.kind=cpu")
    speeds, count = replica.speeds, len(ids)
    require(
        not speeds or len(speeds) == count,
        f"{section}.speeds",
        speeds,
        f"empty or {count} numbers, one a replica (or set {count_key}={len(speeds)})",
    )
    require(all(map(SPEEDS.holds, speeds)), f"{section}.speeds", speeds, f"numbers {SPEEDS}")
    weights = replica.weights
    if weights == []:
        return
    must = f"empty, {BY_SPEED}, or {count} numbers {WEIGHTS}, one a replica"
    if weights != BY_SPEED:
        is_one = isinstance(weights, list) and all(type(w) in (int, float) and WEIGHTS.holds(w) for w in weights)
        require(is_one, f"{section}.weights", weights, must)
        require(len(weights) == count, f"{section}.weights", weights, f"{must} (or set {count_key}={len(weights)})")
    if not has_router:
        raise ConfigError(f"{section}.weights={weights}: goes with a router, which reads them; add router=default")


def _check_tier(config: Config, engine: type[Engine]) -> None:
    """The second tier, and what calls of it ask of those before it."""
    tier = config.tier
    _check_replicas(tier.replica, tier.ids, "tier.replica", "tier.replicas", has_router=True)
    tier.router.validate("tier.router")
    policy = dict(tier.policy)
    try:
        policies.create(policy.pop("name", ""), policy, random.Random(0))
    except ValueError as error:
        raise ConfigError(f"tier.{error}") from error
    if not tier.replicas:
        for key, value in differing(tier, TierConfig(), "tier"):
            raise ConfigError(f"{key}={value}: there is nobody to call; add tier.replicas=4")
        return
    most = engine.most_replicas
    require(tier.replicas <= most, "tier.replicas", tier.replicas, f"at most {most} (engine={engine.name})")
    require(config.ledger != "always", "ledger", config.ledger, "auto or never with a second tier: it knows no calls")
    if tier.wait is not None:
        must = f"at most tier.fanout={tier.fanout}, the calls that there are"
        require(tier.wait <= tier.fanout, "tier.wait", tier.wait, must)
    if tier.slot == "held":
        for key, only in (("kind", "sleep"), ("discipline", "fifo"), ("checks", "aside")):
            value = getattr(config.replica, key)
            must = f"{only} where slots are held while a second tier is called; or tier.slot=free"
            require(value == only, f"replica.{key}", value, must)


def _check_load(config: Config, engine: type[Engine]) -> None:
    """The closed loop, and workers of other machines: what does not go with them."""
    load = config.load
    if config.workload.trace is not None:
        for key, clashes, must in (("loop", load.loop != "open", "open"), ("fit", load.fit, "false")):
            require(not clashes, f"load.{key}", getattr(load, key), f"{must} with workload.trace")
    if load.loop == "closed" and (config.workload.profile != "constant" or load.workers != 1):
        raise ConfigError("load.loop=closed: goes with workload.profile=constant and load.workers=1 only")
    _check_retries(load)
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


def _check_retries(load: LoadConfig) -> None:
    retries = load.retries
    if retries.max_attempts == 1:
        for key, value in differing(retries, ClientRetrySettings(), "load.retries"):
            raise ConfigError(f"{key}={value}: goes with load.retries.max_attempts above 1")
        return
    require(not load.ui, "load.ui", load.ui, "false where load.retries.max_attempts is above 1")
    most = f"at most load.timeout_s={load.timeout_s:g}, which all attempts have together"
    require((retries.attempt_s or 0.0) <= load.timeout_s, "load.retries.attempt_s", retries.attempt_s, most)


def _check_manager(config: Config, engine: type[Engine], reads: Collection[str]) -> None:
    """What is asked of a manager; `reads` are the signals that its scaler was told to read."""
    if not config.has_manager:
        return
    if "cpu" in reads and config.replica.kind != "cpu":
        raise ConfigError(f"scaler: cpu is read, which replica.kind={config.replica.kind} does not burn; set it to cpu")
    if config.router is None:
        raise ConfigError("scaler: a manager reads the router, so router=none goes with scaler=none only")
    low, high = config.autoscaling.min_replicas, config.autoscaling.max_replicas
    require(low <= config.replicas <= high, "replicas", config.replicas, f"between {low} and {high} (autoscaling)")
    starts, timeout_s = config.autoscaling.starts, config.engine.startup_timeout_s
    if starts.needs_engine and not getattr(engine, "has_starts", False):
        raise ConfigError(f"autoscaling.starts: engine={engine.name} does not play it; take engine=local or engine=sim")
    must = f"below engine.startup_timeout_s={timeout_s:g}, after which a start is given up; raise that, too"
    wait_s = starts.extra_s + starts.pull_s
    require(wait_s < timeout_s, "autoscaling.starts: extra_s + pull_s", f"{wait_s:g}", must)
    first = config.replicas + starts.warm
    must = f"0, or at least replicas + autoscaling.starts.warm = {first}"
    require(not 0 < starts.supply < first, "autoscaling.starts.supply", starts.supply, must)
    most = max(config.replicas, high) + starts.warm
    must = f"at most {engine.most_replicas} with autoscaling.max_replicas (engine={engine.name})"
    require(most <= engine.most_replicas, "autoscaling.starts.warm", starts.warm, must)


def _check_crashes(config: Config, faults: list[Fault]) -> None:
    """Where faults start replicas again, the manager starts no dead one, whoever it is (`scaling_settings`)."""
    action = restarting(config, faults)
    if config.has_manager and config.autoscaling.starts.crash and action is not None:
        share = f"autoscaling.starts.crash={config.autoscaling.starts.crash:g}"
        raise ConfigError(f"{share}: does not go with the fault {action}, which starts replicas again")


def _check_paths(config: Config, engine: type[Engine], faults: list[Fault]) -> None:
    """What happens on the way from the router to a replica needs a router, and an engine that can play it."""
    action = next((fault.action for fault in faults if is_on_path(fault.action)), None)
    if action is None:
        return
    if config.router is None:
        raise ConfigError(f"faults: {action} happens between router and replicas; add router=default")
    if config.tier.replicas:
        raise ConfigError(f"faults: {action} does not go with a second tier; set tier.replicas=0")
    if not getattr(engine, "has_paths", False):
        raise ConfigError(f"faults: engine={engine.name} does not play {action}; take engine=local or engine=sim")


def check_repeat(config: Config) -> None:
    """Whether the metric that a sweep is judged by can be known to a factor.

    Raises:
        ConfigError: it is compared by a difference.
    """
    primary = config.comparison.primary
    if config.repeat.until_ratio_ci is not None:
        must = f"compared by a ratio where repeat.until_ratio_ci is given: comparison.primary={WITH_A_RATIO}"
        require(primary in RATIOS, "comparison.primary", primary, must)
