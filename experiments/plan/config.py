"""The configuration of a run: every key with its type, default and unit.

Hydra composes `conf/` against these classes, so that a misspelt key or a wrong type is refused; `validate`
adds what types cannot say. Importing this module stays cheap: a wrong configuration must answer at once.
"""

import contextlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from analysis.comparison.compared import PRIMARY, RATIOS
from experiments.plan.delays import Delay
from experiments.plan.fault_plan import Fault, FaultPlanSettings, plan_faults
from experiments.plan.installed import missing
from experiments.plan.workload import WorkloadSettings
from services.backend.settings import KINDS, ON_HANGUP
from services.backend.work_queue import DISCIPLINES
from services.bounds import hold
from services.manager import scalers
from services.manager.settings import ScalingSettings
from services.plugins import check_folders
from services.router import policies
from services.router.settings import RouterSettings

ENGINES = ("local", "compose", "sim")
MOST_REPLICAS = {"local": 64, "compose": 64, "sim": 10_000}
MOST_REQUESTS = {"local": 5_000_000, "compose": 5_000_000, "sim": 40_000_000}
"""A larger schedule is refused, by engine."""
BYTES_PER_REQUEST = 350
"""Memory that a request of a run takes, roughly, when it is analysed."""
LOOPS = ("open", "closed")
ESTIMANDS = ("system", "run")
PRIMARY_WITH_FAULTS = "served_share"
"""Failing cannot buy it; a latency alone says nothing of those that a fault left without an answer."""
PRIMARY_WITHOUT_FAULTS = "latency_p99_ms"


class ConfigError(ValueError):
    """The configuration is wrong; the text is one line that names the key and the choices."""


@dataclass
class ReplicaConfig:
    """What one replica can do."""

    concurrency: int = 2
    """Requests served at the same time (slots)."""
    queue_limit: int = 100
    """Requests that may wait; one more is answered 503."""
    speeds: list[float] = field(default_factory=list)
    """One factor a replica (service time = demand / speed); empty = all 1.0. Typed without `replicas`, it says how many
    replicas there are."""
    kind: str = "sleep"
    """How the demand is spent: `sleep` or `cpu`."""
    discipline: str = "fifo"
    """`fifo`, or `ps`: processor sharing, all requests at once at min(1, slots / requests) of the speed."""
    on_hangup: str = "cancel"
    """Work whose client has hung up is given up (`cancel`), or done for nobody (`finish`)."""


@dataclass
class LoadConfig:
    """How the schedule is sent."""

    loop: str = "open"
    """`open`: every request leaves at its scheduled moment. `closed`: `users` users at Locust's `constant_throughput`,
    each of whom waits for its answer; it hides what they had no time to ask (`+scenario=omission`)."""
    force: bool = False
    """Send more than this machine was found to send on time (`python -m experiments.calibrate`)."""
    fit: bool = False
    """Lower `workload.rate_rps` to what this machine sends on time; measured for a few seconds where it is unknown."""
    users: int = 10
    """Closed-loop users, who share the rate; `load.loop=closed` only."""
    workers: int = 1
    """Generator processes; each sends every workers-th request."""
    remote_workers: int = 0
    """Instead of processes of this machine so many workers of others send (`experiments.load_worker`); 0 = none."""
    master_bind: str = "127.0.0.1"
    """Where the workers find the run; an address other machines can reach has to be chosen, since Locust's channel
    knows no password."""
    master_port: int = 5557
    """Port of it, Locust's own; 0 = a free one, which is printed."""
    remote_wait_s: float = 60.0
    """Seconds that the run waits for its workers to connect; then it fails."""
    timeout_s: float = 10.0
    """Seconds after sending at which the client gives up."""
    max_in_flight: int = 2000
    """Open requests per generator process; beyond it a request is dropped, and the run is invalid."""
    ui: bool = False
    """Start Locust's web UI against the stack instead of measuring."""
    ui_port: int | None = None
    """Port of the web UI; unset = 8089, or a free one where that is taken."""
    ui_users: int = 5
    """Closed-loop users that the web UI's form begins with."""


@dataclass
class ValidityConfig:
    """Limits beyond which the instrument, not the system, spoiled the run (fixed before it, equal for all arms)."""

    max_lateness_p99_ms: float = 25.0
    """Sent minus scheduled, 99th percentile over the measured window, milliseconds."""
    min_sent_share: float = 0.999
    """Requests sent over requests planned."""
    max_generator_cpu_cores: float = 0.9
    """Mean CPU of the busiest second of one generator process may not pass this, in cores."""
    max_foreign_cpu_cores: float = 0.5
    """Mean CPU of processes that are not the run's, in cores."""
    max_steal_cores: float = 0.2
    """Mean CPU taken by the hypervisor, in cores."""
    max_fault_delay_ms: float = 100.0
    """A fault's moment minus its planned moment, milliseconds."""
    max_clock_offset_ms: float = 10.0
    """Clock of router or manager minus the runner's, and step of the time of day, as far as certain, milliseconds."""


@dataclass
class SloConfig:
    """The service level objective that `slo_violation_s` counts against."""

    p99_ms: float = 1000.0
    """A second violates when its 99th percentile is above this many milliseconds."""
    error_rate: float = 0.01
    """A second violates when a larger share of its requests failed."""


@dataclass
class ComparisonConfig:
    """What `analysis.compare` decides by; fixed before the runs, equal for all arms."""

    primary: str | None = None
    """The metric that the verdict is about. Unset = `served_share` where the run has faults, else `latency_p99_ms`."""
    estimand: str = "system"
    """What a latency is compared of: `system` (quantiles of the pooled requests of an arm's runs) or `run` (the mean
    over runs of this length)."""
    smallest_effect: float = 0.05
    """Relative effects below this do not matter: an interval within them is `equivalent`."""
    smallest_share: float = 0.001
    """Likewise for the difference of a share (failed requests), absolute."""
    smallest_seconds: float = 1.0
    """Likewise for metrics that are compared by their difference in seconds (recovery, violation of the SLO)."""


@dataclass
class RepeatConfig:
    """How often a sweep repeats its arms; fixed before the runs, equal for all arms."""

    until_ratio_ci: float | None = None
    """Add pairs until the interval of the primary metric lies within a factor 1 + this of every arm's ratio; unset =
    as many as there are seeds."""
    max: int = 20
    """Budget: at most so many pairs an arm. The looks at the data are planned from it: after 2/5 and all."""


@dataclass
class TrackingConfig:
    """MLflow."""

    enabled: bool | None = None
    """Log the run to MLflow (`MLFLOW_TRACKING_URI`, else `mlflow.db` in the working folder); unset = where it is
    installed."""
    experiment: str = "aegis"
    """Name of the MLflow experiment."""


@dataclass
class RouterConfig(RouterSettings):
    """The router, and how many of it there are."""

    count: int = 1
    """Routers that know nothing of each other; request i goes to number i mod count. More than one: engine=sim."""


@dataclass
class DelaysConfig:
    """What the simulator takes from measuring (`python -m experiments.calibrate --simulator`); lognormal."""

    client: Delay = field(default_factory=Delay)
    """From the client to the router (without one: to the replica) and back."""
    router: Delay = field(default_factory=Delay)
    """The router's own time for a request."""
    replica: Delay = field(default_factory=Delay)
    """From the router to a replica and back."""
    startup: Delay = field(default_factory=Delay)
    """From the start of a process until it serves."""


@dataclass
class EngineConfig:
    """What runs the system under test."""

    name: str = "local"
    """`local`: processes on this machine; `compose`: containers on it; `sim`: virtual time."""
    image: str | None = None
    """Of engine=compose: the services' image; null = built from this tree."""
    delays: DelaysConfig | None = None
    """Of engine=sim."""
    startup_timeout_s: float = 20.0
    """A service that is not ready after so many seconds fails the run."""


@dataclass
class Config:
    """One run."""

    arm: str = ""
    """A name that tells arms apart that are configured alike (`+scenario=aa`)."""
    seed: int = 1
    replicas: int = 4
    replica: ReplicaConfig = field(default_factory=ReplicaConfig)
    workload: WorkloadSettings = field(default_factory=WorkloadSettings)
    load: LoadConfig = field(default_factory=LoadConfig)
    router: RouterConfig | None = field(default_factory=RouterConfig)
    policy: dict[str, Any] = MISSING
    scaler: dict[str, Any] = MISSING
    autoscaling: ScalingSettings = field(default_factory=ScalingSettings)
    faults: list[Fault] = field(default_factory=list)
    random_faults: FaultPlanSettings = field(default_factory=FaultPlanSettings)
    engine: EngineConfig = field(default_factory=EngineConfig)
    validity: ValidityConfig = field(default_factory=ValidityConfig)
    slo: SloConfig = field(default_factory=SloConfig)
    comparison: ComparisonConfig = field(default_factory=ComparisonConfig)
    repeat: RepeatConfig = field(default_factory=RepeatConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    @property
    def has_manager(self) -> bool:
        """Whether a manager starts and scales the replicas."""
        return bool(self.scaler["name"] != "none")

    @property
    def replica_ids(self) -> list[str]:
        """The ids that replicas can have in this run."""
        count = max(self.replicas, self.autoscaling.max_replicas) if self.has_manager else self.replicas
        return [f"r{number}" for number in range(1, count + 1)]


def register() -> None:
    """Make the schema known to Hydra, under the name that `conf/config.yaml` begins with, and plugins of outside.

    A policy outside the tree is chosen as any other, `policy=mine`: its group's entry follows from its constructor. One
    that cannot be used has an entry, too, so that choosing it says what is wrong with it.

    Raises:
        ConfigError: a folder of plugins is none.
    """
    try:
        check_folders()
    except ValueError as error:
        raise ConfigError(str(error)) from error
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for point in (policies.POLICIES, scalers.SCALERS):
        for name, files in point.files().items():
            if not point.is_outside(files[0]):
                continue
            options = {}
            with contextlib.suppress(ValueError):
                options = point.options(name, "rng")
            store.store(group=point.kind, name=name, node={"name": name, **options})


def fill_in(config: Config, typed: Sequence[str]) -> None:
    """What follows from what was typed and what is installed: `replica.speeds` without `replicas` says how many
    replicas there are, and runs are logged where MLflow is.

    Args:
        config: is changed.
        typed: the overrides of the command line.
    """
    keys = {text.lstrip("+").partition("=")[0] for text in typed}
    if "replica.speeds" in keys and "replicas" not in keys and config.replica.speeds and not config.has_manager:
        config.replicas = len(config.replica.speeds)
    if config.tracking.enabled is None:
        config.tracking.enabled = missing("tracking") is None


def _require(holds: bool, key: str, value: object, must: str) -> None:
    if not holds:
        raise ConfigError(f"{key}={value}: must be {must}")


def _require_fields(prefix: str, section: object, least: dict[str, float]) -> None:
    for name, bound in least.items():
        value = getattr(section, name)
        _require(value >= bound, f"{prefix}.{name}", value, f"at least {bound:g}")


def _resolve(config: Config) -> None:
    """The rate, where the utilisation is given."""
    share = config.workload.utilisation
    if share is None:
        return
    _require(0 < share <= 10, "workload.utilisation", share, "above 0 and at most 10")
    mean_ms = config.workload.demand.mean_ms
    _require(mean_ms >= 0.01, "workload.demand.mean_ms", mean_ms, "at least 0.01")
    speeds = config.replica.speeds[: config.replicas] or [1.0] * config.replicas
    slots = sum(speeds) * config.replica.concurrency
    config.workload.rate_rps = round(share * slots / (mean_ms / 1e3), 6)


def validate(config: Config) -> list[Fault]:
    """Check what the types cannot; return the run's faults, planned ones and random ones, in order of time.

    Sets what follows from other keys: `workload.rate_rps` where `workload.utilisation` is given, and
    `comparison.primary` where it is unset.

    Raises:
        ConfigError: with one line that names the key, its value and what it may be.
    """
    _resolve(config)
    faults = _check(config)
    if config.comparison.primary is None:
        config.comparison.primary = PRIMARY_WITH_FAULTS if faults else PRIMARY_WITHOUT_FAULTS
    _check_repeat(config)
    return faults


def _check(config: Config) -> list[Fault]:
    _require(0 <= config.seed < 2**63, "seed", config.seed, "between 0 and 2^63 - 1")
    _check_engine(config)
    replica = config.replica
    _require(1 <= replica.concurrency <= 1024, "replica.concurrency", replica.concurrency, "between 1 and 1024")
    _require(0 <= replica.queue_limit <= 100_000, "replica.queue_limit", replica.queue_limit, "between 0 and 100000")
    for name, words in (("kind", KINDS), ("discipline", DISCIPLINES), ("on_hangup", ON_HANGUP)):
        word = getattr(replica, name)
        _require(word in words, f"replica.{name}", word, "one of " + ", ".join(words))
    if replica.discipline != "fifo":
        _require(replica.kind == "sleep", "replica.discipline", replica.discipline, "fifo with replica.kind=cpu")
    speeds = replica.speeds
    _require(
        not speeds or len(speeds) == len(config.replica_ids),
        "replica.speeds",
        speeds,
        f"empty or {len(config.replica_ids)} numbers, one a replica (or set replicas={len(speeds)})",
    )
    _require(all(0.01 <= s <= 100 for s in speeds), "replica.speeds", speeds, "numbers between 0.01 and 100")
    load = config.load
    _require(1 <= load.workers <= 16, "load.workers", load.workers, "between 1 and 16")
    _require(0 < load.timeout_s <= 600, "load.timeout_s", load.timeout_s, "above 0 and at most 600")
    _require(load.max_in_flight >= 1, "load.max_in_flight", load.max_in_flight, "at least 1")
    _require(load.loop in LOOPS, "load.loop", load.loop, "one of " + ", ".join(LOOPS))
    _require(1 <= load.users <= 10_000, "load.users", load.users, "between 1 and 10000")
    if load.loop == "closed" and (config.workload.profile != "constant" or load.workers != 1):
        raise ConfigError("load.loop=closed: goes with workload.profile=constant and load.workers=1 only")
    _check_remote(config)
    _require(load.ui_users >= 1, "load.ui_users", load.ui_users, "at least 1")
    _require(load.ui_port is None or 1 <= load.ui_port <= 65535, "load.ui_port", load.ui_port, "between 1 and 65535")
    _require_fields("validity", config.validity, dict.fromkeys(vars(config.validity), 0))
    _check_comparison(config.comparison)
    _require_fields("slo", config.slo, dict.fromkeys(vars(config.slo), 0))
    try:
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
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(" ".join(str(error).split())) from error


def _check_engine(config: Config) -> None:
    """What the engine cannot do is refused, and what only another one reads."""
    engine = config.engine
    _require(engine.name in ENGINES, "engine", engine.name, "one of " + ", ".join(ENGINES))
    _require(engine.startup_timeout_s >= 1, "engine.startup_timeout_s", engine.startup_timeout_s, "at least 1")
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
    count = 1 if config.router is None else config.router.count
    _require(1 <= count <= 1000, "router.count", count, "between 1 and 1000")
    if engine.name != "sim":
        _require(engine.delays is None, "engine.delays", "...", "left out, they are of engine=sim")
        _require(count == 1, "router.count", count, "1, or engine=sim")
        return
    try:
        hold(engine.delays or DelaysConfig(), "engine.delays")
    except ValueError as error:
        raise ConfigError(str(error)) from error
    _require(config.replica.kind == "sleep", "replica.kind", config.replica.kind, "sleep (engine=sim burns no CPU)")
    _require(not config.load.ui, "load.ui", config.load.ui, "false (engine=sim has nothing to look at)")
    _require(not config.load.fit, "load.fit", config.load.fit, "false (engine=sim sends any rate on time)")
    if config.has_manager:
        _require(count == 1, "router.count", count, "1 where something scales: a manager reads one router")


def _check_remote(config: Config) -> None:
    """Workers of other machines, and what does not go with them."""
    load = config.load
    _require(0 <= load.remote_workers <= 64, "load.remote_workers", load.remote_workers, "between 0 and 64")
    if load.remote_workers == 0:
        return
    _require(bool(load.master_bind.strip()), "load.master_bind", repr(load.master_bind), "an address of this machine")
    _require(0 <= load.master_port <= 65535, "load.master_port", load.master_port, "between 0 and 65535")
    _require(0 < load.remote_wait_s <= 86_400, "load.remote_wait_s", load.remote_wait_s, "above 0 and at most 86400")
    for key, clashes, must in (
        ("engine", config.engine.name == "sim", "another one than sim"),
        ("load.workers", load.workers != 1, "left at 1 (a machine with more cores runs several load_worker)"),
        ("load.loop", load.loop != "open", "open"),
        ("load.fit", load.fit, "false (it measures this machine)"),
        ("load.ui", load.ui, "false"),
    ):
        if clashes:
            raise ConfigError(f"load.remote_workers={load.remote_workers}: {key} must be {must}")


def _check_comparison(comparison: ComparisonConfig) -> None:
    primary, estimand, seconds = comparison.primary, comparison.estimand, comparison.smallest_seconds
    _require(primary in (None, *PRIMARY), "comparison.primary", primary, "one of " + ", ".join(PRIMARY))
    _require(estimand in ESTIMANDS, "comparison.estimand", estimand, "one of " + ", ".join(ESTIMANDS))
    for name in ("smallest_effect", "smallest_share"):
        value = getattr(comparison, name)
        _require(0 < value < 1, f"comparison.{name}", value, "above 0 and below 1")
    _require(0 < seconds <= 86_400, "comparison.smallest_seconds", seconds, "above 0 and at most 86400")


def _check_repeat(config: Config) -> None:
    repeat, primary = config.repeat, config.comparison.primary
    _require(3 <= repeat.max <= 1000, "repeat.max", repeat.max, "between 3 and 1000")
    if repeat.until_ratio_ci is not None:
        _require(0 < repeat.until_ratio_ci < 1, "repeat.until_ratio_ci", repeat.until_ratio_ci, "above 0 and below 1")
        must = f"compared by a ratio where repeat.until_ratio_ci is given: comparison.primary={PRIMARY_WITHOUT_FAULTS}"
        _require(primary in RATIOS, "comparison.primary", primary, must)


def _check_manager(config: Config) -> None:
    if not config.has_manager:
        return
    if config.router is None:
        raise ConfigError("scaler: a manager reads the router, so router=none goes with scaler=none only")
    low, high = config.autoscaling.min_replicas, config.autoscaling.max_replicas
    _require(low <= config.replicas <= high, "replicas", config.replicas, f"between {low} and {high} (autoscaling)")
