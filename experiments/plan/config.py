"""The configuration of a run: every key with its type, default, unit and bounds.

Hydra composes `conf/` against these classes, so that a misspelt key or a wrong type is refused; `check.py` holds the
bounds and adds what one key alone cannot say. Importing this module stays cheap: a wrong configuration must answer at
once.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

from omegaconf import MISSING

from analysis.comparison.compared import PRIMARY, REGRET
from experiments.plan.client_retries import ClientRetrySettings
from experiments.plan.delays import Delay, StartUp
from experiments.plan.fault_plan import Fault, FaultPlanSettings
from experiments.plan.tiers import ReplicaConfig, TierConfig
from experiments.plan.workload import WorkloadSettings
from services.bounds import Bounds, Choices
from services.manager.settings import ScalingSettings
from services.router.settings import RouterSettings


class ConfigError(ValueError):
    """The configuration is wrong; the text is one line that names the key and the choices."""


def require(holds: bool, key: str, value: object, must: str) -> None:
    """Refuse a value where something does not hold.

    Raises:
        ConfigError: `key=value: must be ...`.
    """
    if not holds:
        raise ConfigError(f"{key}={value}: must be {must}")


@dataclass
class LoadConfig:
    """How the schedule is sent."""

    loop: Annotated[str, Choices("open", "closed")] = "open"
    """`open`: every request leaves at its scheduled moment. `closed`: `users` users at Locust's `constant_throughput`,
    each of whom waits for its answer; it hides what they had no time to ask (`+scenario=omission`)."""
    force: bool = False
    """Send more than this machine was found to send on time (`python -m experiments.calibrate`)."""
    fit: bool = False
    """Lower `workload.rate_rps` to what this machine sends on time; measured for a few seconds where it is unknown."""
    users: Annotated[int, Bounds(1, 10_000)] = 10
    """Closed-loop users, who share the rate; `load.loop=closed` only."""
    workers: Annotated[int, Bounds(1, 16)] = 1
    """Generator processes; each sends every workers-th request."""
    remote_workers: Annotated[int, Bounds(0, 64)] = 0
    """Instead of processes of this machine so many workers of others send (`experiments.load_worker`); 0 = none."""
    master_bind: str = "127.0.0.1"
    """Where the workers find the run; an address other machines can reach has to be chosen, since Locust's channel
    knows no password."""
    master_port: Annotated[int, Bounds(0, 65_535)] = 5557
    """Port of it, Locust's own; 0 = a free one, which is printed."""
    remote_wait_s: Annotated[float, Bounds(above=0, most=86_400)] = 60.0
    """Seconds that the run waits for its workers to connect; then it fails."""
    timeout_s: Annotated[float, Bounds(above=0, most=600)] = 10.0
    """Seconds after sending at which the client gives up; `load.retries` have them together."""
    path: str = "/work"
    """What is asked for, with router.url; `{id}` and `{key}` in it become those of the request. Aegis' own replicas
    answer `/work`."""
    headers_file: str | None = None
    """With router.url: a file of lines `Name: value` that every request has besides, as a token that no command line
    and no manifest is to show. Unset = none."""
    body_file: str | None = None
    """With router.url: the body of each POST request (`workload.post_share`); unset = `workload.body_bytes` zeros."""
    allow_external: bool = False
    """Send the load of router.url, or the commands of `faults`, to what is not on this machine's loopback: only to
    what is yours."""
    deadline_ms: Annotated[float | None, Bounds(1, 600_000)] = None
    """Every request says that it is waited for so long (`X-Aegis-Deadline-Ms`): router and replicas drop what is late
    by then. The client itself waits `timeout_s` all the same. Unset = nothing is said."""
    retries: ClientRetrySettings = field(default_factory=ClientRetrySettings)
    max_in_flight: Annotated[int, Bounds(least=1)] = 2000
    """Open requests per generator process; beyond it a request is dropped, and the run is invalid."""
    ui: bool = False
    """Start Locust's web UI against the stack instead of measuring."""
    ui_port: Annotated[int | None, Bounds(1, 65_535)] = None
    """Port of the web UI; unset = 8089, or a free one where that is taken."""
    ui_users: Annotated[int, Bounds(least=1)] = 5
    """Closed-loop users that the web UI's form begins with."""


@dataclass
class ValidityConfig:
    """Limits beyond which the instrument, not the system, spoiled the run (fixed before it, equal for all arms)."""

    max_lateness_p99_ms: Annotated[float, Bounds(least=0)] = 25.0
    """Sent minus scheduled, 99th percentile over the measured window, milliseconds."""
    min_sent_share: Annotated[float, Bounds(least=0)] = 0.999
    """Requests sent over requests planned."""
    max_generator_cpu_cores: Annotated[float, Bounds(least=0)] = 0.9
    """Mean CPU of the busiest second of one generator process may not pass this, in cores."""
    max_foreign_cpu_cores: Annotated[float, Bounds(least=0)] = 0.5
    """Mean CPU of processes that are not the run's, in cores."""
    max_steal_cores: Annotated[float, Bounds(least=0)] = 0.2
    """Mean CPU taken by the hypervisor, in cores."""
    max_router_starved_ms: Annotated[float, Bounds(least=0)] = 50.0
    """How long the router's event loop stands still in a mean second while the router uses less than 0.9 cores: another
    process has its core, milliseconds."""
    max_fault_delay_ms: Annotated[float, Bounds(least=0)] = 100.0
    """A fault's moment minus its planned moment, milliseconds."""
    max_clock_offset_ms: Annotated[float, Bounds(least=0)] = 10.0
    """Clock of router or manager minus the runner's, and step of the time of day, as far as certain, milliseconds."""


@dataclass
class SloConfig:
    """The service level objective that `slo_violation_s` counts against."""

    p99_ms: Annotated[float, Bounds(least=0)] = 1000.0
    """A second violates when its 99th percentile is above this many milliseconds."""
    error_rate: Annotated[float, Bounds(least=0)] = 0.01
    """A second violates when a larger share of its requests failed."""


@dataclass
class ComparisonConfig:
    """What `analysis.compare` decides by; fixed before the runs, equal for all arms."""

    primary: Annotated[str | None, Choices(*PRIMARY)] = None
    """The metric that the verdict is about. Unset = `served_share` where the run has faults, else `latency_p99_ms`;
    `+scenario=autoscale` sets `scaling_regret`."""
    estimand: Annotated[str, Choices("system", "run")] = "system"
    """What a latency is compared of: `system` (quantiles of the pooled requests of an arm's runs) or `run` (the mean
    over runs of this length)."""
    smallest_effect: Annotated[float, Bounds(above=0, below=1)] = 0.05
    """Relative effects below this do not matter: an interval within them is `equivalent`."""
    smallest_share: Annotated[float, Bounds(above=0, below=1)] = 0.001
    """Likewise for the difference of a share (failed requests), absolute."""
    smallest_seconds: Annotated[float, Bounds(above=0, most=86_400)] = 1.0
    """Likewise for metrics that are compared by their difference in seconds (recovery, violation of the SLO)."""
    smallest_count: Annotated[float, Bounds(above=0, most=86_400)] = 1.0
    """Likewise for those that are counted otherwise (a scaler's actions)."""


@dataclass
class RepeatConfig:
    """How often a sweep repeats its arms; fixed before the runs, equal for all arms."""

    until_ratio_ci: Annotated[float | None, Bounds(above=0, below=1)] = None
    """Add pairs until the interval of the primary metric lies within a factor 1 + this of every arm's ratio; unset =
    as many as there are seeds."""
    max: Annotated[int, Bounds(3, 1000)] = 20
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
    """The router, and how many of it there are; another proxy in its place (docs/data_planes.md); or where a proxy or
    service of one's own listens (docs/external.md)."""

    count: Annotated[int, Bounds(1, 1000)] = 1
    """Routers that know nothing of each other; request i goes to number i mod count. More than one: engine=sim."""
    data_plane: str = "aegis"
    """What passes requests on: `aegis`, this router, or a file of `experiments/data_planes/`, which is started in its
    place with the same settings, as far as it knows them."""
    algorithm: str | None = None
    """How another data plane balances, in its own words (docs/data_planes.md); unset = its first choice. Aegis' router
    has `policy`."""
    command: str | None = None
    """Of router=custom: the command that runs it in the foreground, with `{config}` where its configuration stands."""
    template: str | None = None
    """Of router=custom: a file, Jinja's template of that configuration (docs/data_planes.md)."""
    version_command: str = ""
    """Of router=custom: a command that prints its version, for the manifest; empty = there is none."""
    url: str | None = None
    """Of router=external: where a proxy or service that runs already listens, as `http://127.0.0.1:8000`. Unset = Aegis
    starts its own router."""
    decisions: bool = False
    """True: the router writes down what its policy is told and answers, in `logs/decisions.jsonl`, by which `aegis
    conformance` asks the policy again (docs/conformance.md). Live runs of Aegis' own router as a process alone."""
    replica_port: Annotated[int | None, Bounds(1, 65_535)] = None
    """With router.url, and of router=custom: the port of replica r1, which the proxy knows; r2 has the next, and so on.
    Unset with router.url = nothing of Aegis is behind it, replicas=0."""
    ports: list[int] = field(default_factory=list)
    """With router.url: further ports of this machine at which the system under test listens. Who listens there belongs
    to it, as who listens at router.url does: its CPU is `cpu_router_cores`, and no foreign process's."""


@dataclass
class AutoscalingConfig(ScalingSettings):
    """Bounds, tolerance, windows and rate limits around a scaler's wish; of one that has windows and rates of its own
    the bounds alone (docs/scaling.md). And what its decisions are held against."""

    capacity: str | None = None
    """A file of `aegis capacity`: what so many replicas stand, by which `demand.parquet` says how many the load needs.
    Unset = by Erlang's formula, where something scales or the rate changes."""
    shortage_price: Annotated[float, Bounds(1, 1_000_000)] = 10.0
    """Replica-seconds that a second with a replica too few costs, by which `scaling_regret` is reckoned. 10: a service
    that spends a tenth of what it earns on replicas loses what ten cost where one is missing (docs/autoscaling.md)."""


@dataclass
class DelaysConfig:
    """What the simulator takes from measuring (`python -m experiments.calibrate --simulator`); lognormal."""

    client: Delay = field(default_factory=Delay)
    """From the client to the router (without one: to the replica) and back."""
    router: Delay = field(default_factory=Delay)
    """The router's own time for a request."""
    replica: Delay = field(default_factory=Delay)
    """From the router to a replica and back."""
    startup: StartUp = field(default_factory=StartUp)
    """From the start of a process until it serves."""


@dataclass
class EngineConfig:
    """What runs the system under test."""

    name: str = "local"
    """A file of `experiments/engines/`. `local`: processes on this machine; `compose`: containers on it; `sim`: virtual
    time."""
    image: str | None = None
    """Of engine=compose: the services' image; null = built from this tree."""
    delays: DelaysConfig | None = None
    """Of engine=sim."""
    startup_timeout_s: Annotated[float, Bounds(least=1)] = 20.0
    """A service, or one of the first replicas, that is not ready after so many seconds fails the run; one that the
    manager adds is given up, and tried again (`autoscaling.starts.backoff_s`). Of engine=sim also: the most that
    `engine.delays.startup.median_ms` may be."""


@dataclass
class Config:
    """One run."""

    arm: str = ""
    """A name that tells arms apart that are configured alike (`+scenario=aa`)."""
    seed: Annotated[int, Bounds(0, 2**63 - 1)] = 1
    """Schedule, demands, random faults and every other draw follow from it: runs of one seed are asked the same."""
    replicas: int = 4
    """How many replicas a run begins with; how many there can be, the engine says. 0 = none, with router.url alone."""
    replica: ReplicaConfig = field(default_factory=ReplicaConfig)
    workload: WorkloadSettings = field(default_factory=WorkloadSettings)
    load: LoadConfig = field(default_factory=LoadConfig)
    router: RouterConfig | None = field(default_factory=RouterConfig)
    policy: dict[str, Any] = MISSING
    """Which replica a request goes to, and the options of that policy."""
    scaler: dict[str, Any] = MISSING
    """How many replicas there are to be, and the options of that scaler; `none` = as many as `replicas` says."""
    autoscaling: AutoscalingConfig = field(default_factory=AutoscalingConfig)
    tier: TierConfig = field(default_factory=TierConfig)
    faults: list[Fault] = field(default_factory=list)
    """What is done to the system, and when: a list of `{at_s: 5, action: kill, target: r1, for_s: 3}`."""
    random_faults: FaultPlanSettings = field(default_factory=FaultPlanSettings)
    engine: EngineConfig = field(default_factory=EngineConfig)
    validity: ValidityConfig = field(default_factory=ValidityConfig)
    slo: SloConfig = field(default_factory=SloConfig)
    summary: Annotated[str, Choices("auto", "always", "never")] = "auto"
    """Draw each run's `summary.png`: `always`; `never`; or `auto`: not of the simulated runs of a sweep, whose pictures
    would cost many times their play. `python -m analysis.summary DIR` draws later; `metrics.json` is there anyway."""
    counterfactual: Annotated[str, Choices("auto", "always", "never")] = "auto"
    """Simulate each run with faults once more, without the router's retries, health checks and passive ejection:
    `always`; `never`; or `auto`: runs that are no job of a sweep, of 200,000 requests at most. `counterfactual.json`
    holds it, and the page shows it."""
    ledger: Annotated[str, Choices("auto", "always", "never")] = "auto"
    """Replicas write down every attempt that comes to them, and what became of it (`work.parquet`): `always`; `never`;
    or `auto`: where something may be done twice or in vain, in runs with faults, POST requests or clients that ask
    again, of 200,000 requests at most, but not in the simulated ones of a sweep. With engine=compose and before a
    second tier none do."""
    comparison: ComparisonConfig = field(default_factory=ComparisonConfig)
    repeat: RepeatConfig = field(default_factory=RepeatConfig)
    expect: list[str] = field(default_factory=list)
    """What the run, or each arm of a sweep, must show, else exit status 4: `expect='[latency_p99_ms < 300]'`
    (docs/thresholds.md)."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    @property
    def is_external(self) -> bool:
        """Whether the load goes to a proxy or service that is not of Aegis."""
        return self.router is not None and self.router.url is not None

    @property
    def started_router(self) -> RouterConfig | None:
        """What the run starts before its replicas, Aegis' or another data plane; None = nothing."""
        return None if self.is_external else self.router

    @property
    def stands_in(self) -> bool:
        """Whether another data plane is started in the place of Aegis' router."""
        return self.started_router is not None and self.started_router.data_plane != "aegis"

    @property
    def own_router(self) -> RouterConfig | None:
        """Aegis' own; None = there is none, or another one stands in its place."""
        return None if self.stands_in else self.started_router

    @property
    def has_manager(self) -> bool:
        """Whether a manager starts and scales the replicas."""
        return bool(self.scaler["name"] != "none")

    @property
    def has_demand(self) -> bool:
        """Whether it is said how many replicas the load needs: where something scales, where a curve of capacity is
        named, and where a fixed fleet has to stand a rate that changes, or arms are judged by that, as scalers are."""
        is_judged = self.workload.rate_changes() or self.comparison.primary == REGRET
        is_fixed = self.started_router is not None and is_judged
        return (self.has_manager or self.autoscaling.capacity is not None or is_fixed) and not self.load.ui

    @property
    def replica_ids(self) -> list[str]:
        """The ids that replicas can have in this run."""
        count = self.replicas
        if self.has_manager:
            count = max(count, self.autoscaling.max_replicas) + self.autoscaling.starts.warm
        return [f"r{number}" for number in range(1, count + 1)]
