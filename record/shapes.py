"""The JSON files of a run, key by key: what `manifest.json`, `events.jsonl` and `samples.jsonl` hold.

What each key means stands in docs/results.md. A key may be absent: a run that broke off did not come to it, a folder
of schema 1 did not have it yet, and some belong to one kind of run only.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from record.metrics import Metrics

OURS = "aegis"
"""What `router.data_plane` calls Aegis' own router."""
Config = dict[str, Any]
"""A resolved configuration as sections and keys; those of `experiments.plan.config.Config` of the run's version."""


_Section = dict[str, Any] | None


class Sections(TypedDict, total=False):
    """The sections of a configuration that readers look into; null = there is none, as no router."""

    workload: dict[str, Any]
    replica: _Section
    load: _Section
    router: _Section
    policy: _Section
    scaler: _Section
    autoscaling: _Section
    tier: _Section
    random_faults: _Section
    engine: _Section
    validity: _Section
    slo: _Section
    comparison: _Section
    repeat: _Section
    tracking: _Section


class Commit(TypedDict):
    """The state of the code; null where it is not under git."""

    commit: str | None
    dirty: bool | None


class ClockEntry(TypedDict):
    """How far another clock was from the runner's, in milliseconds; null = it did not answer."""

    clock: str
    at: str
    offset_ms: float | None
    uncertainty_ms: float | None


class Generator(TypedDict, total=False):
    """What a load process says of itself; from `worker` on, of one on another machine only."""

    shard: int
    nice: int
    descriptors: int
    lacked: dict[str, int]
    sent: int
    completed: int
    dropped: int
    stopped: str
    cpu_s: float
    wall_s: float
    pid: int
    locust_version: str
    worker: str
    reason: str
    shares_kernel: bool
    clock_offset_ms: float
    clock_uncertainty_ms: float
    clock_drift_ms: float | None
    clock_drift_uncertainty_ms: float | None
    cpu_max_cores: float | None
    cpu_foreign_cores: float | None
    cpu_steal_cores: float | None


class Plugin(TypedDict):
    """A file outside the tree; `sha256` is that of its content."""

    key: str
    name: str
    file: str
    sha256: str


class Input(TypedDict):
    """A file that the configuration names and the run was planned by; `sha256` is that of its content."""

    key: str
    file: str
    bytes: int
    sha256: str


class SimulatedEngine(TypedDict):
    """What the simulator did, and how fast."""

    name: str
    compiled: bool
    events: int
    requests: int
    wall_s: float
    events_per_s: int
    requests_per_s: int


class Provenance(TypedDict, total=False):
    """Code and machine."""

    aegis: str
    git: Commit
    python: str
    platform: str
    kernel: str
    cpu: str
    cores: int | None
    packages: dict[str, str | None]


class Calls(TypedDict):
    """What the router of a second tier has counted from its last start to its end, warm-up included."""

    calls: int
    attempts: int
    """That have begun: a call that the router turns away has none."""
    hedged: int
    """Second attempts beside one that was slow."""
    failed: int
    """Calls that the router answered with an error, or whose answer broke off. One whose caller hung up before is none:
    it was given up after `tier.timeout_s`, or a quorum did not wait for it, and the router cannot tell which."""


class DataPlane(TypedDict):
    """A proxy that stood in the place of Aegis' router."""

    name: str
    version: str
    """As it says it itself; empty = it does not."""
    algorithm: str
    """In its own words; empty = none was named."""
    tells: bool
    """Whether it shows whom it takes out of rotation."""
    otherwise: list[str]
    """What it does otherwise than Aegis' router with the same settings, a sentence each."""


class _Configured(TypedDict):
    config: Config
    """Whoever reads a manifest is refused one without."""


class Manifest(_Configured, Provenance, total=False):
    """`manifest.json`."""

    schema_version: int
    run_id: str
    scenario: str
    mode: str
    exit_reason: str
    error: str
    seed: int
    schedule_hash: str
    started_at: str
    ended_at: str | None
    t0_unix: float | None
    t0_monotonic: float | None
    pid: int
    overrides: list[str]
    sweep_dir: str | None
    order: int | None
    looks: list[int]
    faults: list[dict[str, Any]]
    """As they are typed: `at_s`, `action`, `target`, `for_s`, and the action's own parameters."""
    virtual_time: bool
    plugins: list[Plugin]
    """Those outside the tree that the run took."""
    inputs: list[Input]
    """The files that it was planned by."""
    demand_source: str
    first_start_s: float | None
    """Of a run with `demand.parquet`: `measured` or `analytic`."""
    clocks: list[ClockEntry]
    engine: SimulatedEngine
    generator: list[Generator]
    picks: dict[str, int]
    """Attempts by why the policy picked their replica, as the router counted them until its end."""
    router_compiled: bool
    tier: Calls
    """Of a run with a second tier."""
    image: str
    data_plane: DataPlane
    """Of a run with another one than Aegis' router."""
    server: str
    """What a proxy or service that is not of Aegis called itself, before the run."""


def url_of_external(manifest: Manifest) -> str | None:
    """Where the proxy or service listened that stood in the place of Aegis' router; None = none did."""
    url = (manifest["config"].get("router") or {}).get("url")
    return None if url is None else str(url)


def stands_in(manifest: Manifest) -> str | None:
    """The proxy that the run started in the place of Aegis' router, by its name; None = there was none."""
    name = (manifest["config"].get("router") or {}).get("data_plane", OURS)
    return None if name == OURS or url_of_external(manifest) is not None else str(name)


def has_router(manifest: Manifest) -> bool:
    """Whether the run started what stood before the replicas: Aegis' router, or another proxy in its place."""
    return manifest["config"].get("router") is not None and url_of_external(manifest) is None


def has_own_router(manifest: Manifest) -> bool:
    """Whether that was Aegis' router, so that its word is there."""
    return has_router(manifest) and stands_in(manifest) is None


def tells_rotation(manifest: Manifest) -> bool:
    """Whether events say who was taken out of rotation; else nobody knows when a fault was noticed."""
    if url_of_external(manifest) is not None:
        return False
    return stands_in(manifest) is None or ("data_plane" in manifest and manifest["data_plane"]["tells"])


def is_simulated(manifest: Manifest) -> bool:
    """Whether a run was in virtual time, where nothing is late and no CPU is used; older manifests name the engine."""
    named = (manifest["config"].get("engine") or {}).get("name") == "sim"
    return manifest.get("virtual_time", named)


class _Moment(TypedDict):
    t_s: float
    """Seconds from the run's start; before it negative."""


class _Event(_Moment):
    event: str


class Event(_Event, total=False):
    """A line of `events.jsonl`, with what its readers ask for; more keys say more of some events."""

    source: str
    replica: str
    """Of the router's."""
    fault: int
    """Of the runner's: index into the manifest's list."""
    action: str
    target: str | list[str]
    planned_s: float | None
    parameters: Mapping[str, float]
    """Of a fault that landed, defaults included."""
    at_end: bool
    """Healed by the clean-up after the run."""
    reason: str
    cause: str
    """Of the router's `ejected`: `health_check`, `consecutive_failures` or `refused`; of others what let it do so."""
    desired: int
    """Of the manager's, as is `previous`."""
    previous: int


class Sample(_Moment, total=False):
    """A line of `samples.jsonl`; null = not sampled, or no answer."""

    cpu: Mapping[str, float | None] | None
    """Cores in use since the last line, by `schema.CPU_ROLES`."""
    replicas_ready: int | None
    replicas_desired: int | None
    replicas_provisioned: int | None
    """All that are paid for: those in rotation, and those that start, stand by, are ejected or drain."""
    router_in_flight: int | None
    router_lag_ms: float | None
    """How long the router's event loop has stood still since the last line, milliseconds."""


class Simulated(TypedDict):
    """A run in virtual time, as far as it is kept beside another one."""

    metrics: Metrics
    unserved_per_s: list[int]
    """Requests of each second of the run that were not served within `slo.p99_ms`, warm-up included."""


class Counterfactual(TypedDict):
    """`counterfactual.json`."""

    run_id: str
    """Of the run that it belongs to, as are the next two."""
    started_at: str
    schedule_hash: str
    without: list[str]
    """What was taken away, in words."""
    overrides: list[str]
    """Likewise, as it is typed."""
    handled: Simulated | None
    """The run as it was configured; null = it was simulated itself."""
    unhandled: Simulated
    """Without it."""
