"""From a composed configuration to a plan: the one way, for a run, a sweep's jobs, a replay and a simulated twin."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from experiments.plan.capacity import check_capacity
from experiments.plan.check import check, check_repeat
from experiments.plan.config import Config, ConfigError, require
from experiments.plan.data_planes import refuse_policy
from experiments.plan.errors import check_keys
from experiments.plan.fault_plan import Fault
from experiments.plan.inputs import make_absolute, take_over
from experiments.plan.installed import missing
from experiments.plan.of_trace import with_trace
from experiments.plan.too_short import cautions

PRIMARY_WITH_FAULTS = "served_share"
"""Failing cannot buy it; a latency alone says nothing of those that a fault left without an answer."""
PRIMARY_WITHOUT_FAULTS = "latency_p99_ms"


@dataclass(frozen=True)
class Plan:
    """What is to be run."""

    config: Config
    faults: list[Fault]
    """Planned ones and random ones, in order of time."""
    resolved: dict[str, Any]
    """The configuration as it stands in the manifest: that of `config`, without interpolations."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What was typed has changed besides itself, a line each, to be said before anything starts."""

    @property
    def primary(self) -> str:
        """The metric that its verdict is about."""
        assert self.config.comparison.primary is not None  # `resolve` has set it
        return self.config.comparison.primary

    def with_seed(self, seed: int) -> "Plan":
        """The same with another seed, and the faults that it draws.

        Raises:
            ConfigError: this seed makes the configuration wrong.
        """
        config = replace(self.config, seed=seed)
        return replace(self, config=config, faults=check(config), resolved=self.resolved | {"seed": seed})

    def with_tracking(self, enabled: bool) -> "Plan":
        """The same, logged to MLflow or not."""
        config = replace(self.config, tracking=replace(self.config.tracking, enabled=enabled))
        tracking = self.resolved["tracking"] | {"enabled": enabled}
        return replace(self, config=config, resolved=self.resolved | {"tracking": tracking})

    def with_rate(self, rate_rps: float) -> "Plan":
        """The same at another rate, requests a second."""
        config = replace(self.config, workload=replace(self.config.workload, rate_rps=rate_rps))
        workload = self.resolved["workload"] | {"rate_rps": rate_rps}
        return replace(self, config=config, resolved=self.resolved | {"workload": workload})


def resolve(composed: DictConfig, typed: Sequence[str] = ()) -> Plan:
    """The plan of a composed configuration, checked; what follows from other keys is set in it.

    Args:
        composed: Hydra's without its own section, or a manifest's (`as_composed`); is left as it is.
        typed: the overrides of the command line.

    Raises:
        ConfigError: it is wrong; one line that names the key, its value and what it may be.
        OmegaConfBaseException: a value is of the wrong type, or cannot be interpolated.
    """
    content = cast(dict[str, Any], OmegaConf.to_container(composed))
    check_keys(content)
    notes: list[str] = []
    config = cast(Config, OmegaConf.to_object(composed))
    make_absolute(config)
    config = _filled(config, typed, notes)
    faults = check(config)
    notes += cautions(config.workload)
    if config.comparison.primary is None:
        primary = PRIMARY_WITH_FAULTS if faults else PRIMARY_WITHOUT_FAULTS
        config = replace(config, comparison=replace(config.comparison, primary=primary))
    check_repeat(config)
    resolved = content  # of a plan's cost a fifth, where nothing is left to be interpolated
    if "${" in str(content):
        resolved = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
    if resolved["replicas"] != config.replicas:
        was, now = resolved["replicas"], config.replicas
        lists = f"replica.speeds lists {now} replicas: replicas={now} instead of {was}"
        alone = f"replicas=0 instead of {was}: router.url alone; router.replica_port=9001 starts them behind it"
        notes.append(lists if now else alone)
    resolved["replicas"] = config.replicas
    for key in ("rate_rps", "duration_s"):
        resolved["workload"][key] = getattr(config.workload, key)
    if config.workload.trace is not None:
        resolved["workload"]["utilisation"] = None
    take_over(config, resolved)
    resolved["tracking"]["enabled"] = config.tracking.enabled
    resolved["comparison"]["primary"] = config.comparison.primary
    if config.autoscaling.capacity is not None:
        notes += check_capacity(config, resolved)
    return Plan(config, faults, resolved, tuple(notes))


def as_composed(content: dict[str, Any]) -> DictConfig:
    """A manifest's configuration as Hydra would have composed it; keys that are absent have their defaults.

    Raises:
        ConfigError: there is no such key.
        OmegaConfBaseException: a value of the wrong type.
    """
    check_keys(content)
    return cast(DictConfig, OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.create(content)))


def _filled(config: Config, typed: Sequence[str], notes: list[str]) -> Config:
    """With what follows from other keys, from what is installed, and from a trace; what is to be said is noted.

    `replica.speeds` typed without `replicas` says how many replicas there are, `router.url` without a port for them
    that there are none; `workload.utilisation` sets the rate; runs are logged where MLflow is.
    """
    if config.tracking.enabled is None:
        config = replace(config, tracking=replace(config.tracking, enabled=missing("tracking") is None))
    keys = {text.lstrip("+").partition("=")[0] for text in typed}
    speeds = config.replica.speeds
    require(isinstance(speeds, list), "replica.speeds", speeds, "a list of numbers")  # an interpolation may be anything
    if "replica.speeds" in keys and "replicas" not in keys and speeds and not config.has_manager:
        config = replace(config, replicas=len(speeds))
    if config.is_external:
        config = _outside(config, keys)
    if config.stands_in:
        refuse_policy(config, keys)
    if config.workload.trace is not None:
        config, told = with_trace(config, keys)
        notes += told
        return config
    share = config.workload.utilisation
    if share is None:
        return config
    try:
        config.workload.validate()
    except ValueError as error:
        raise ConfigError(str(error)) from error
    require(config.replicas > 0, "workload.utilisation", share, "left out with replicas=0; workload.rate_rps says it")
    slots = sum(speeds[: config.replicas] or [1.0] * config.replicas) * config.replica.concurrency
    rate = round(share * slots / config.workload.mean_demand_s(), 6)
    return replace(config, workload=replace(config.workload, rate_rps=rate))


def _outside(config: Config, keys: set[str]) -> Config:
    """With what `router.url` makes of keys that the scenario and the groups have set, but nobody typed."""
    for key in sorted(keys):
        if key.partition(".")[0] == "policy":
            raise ConfigError(f"{key}: is of Aegis' own router; leave it out with router.url")
    is_alone = config.router is not None and config.router.replica_port is None and "replicas" not in keys
    return replace(config, replicas=0) if is_alone else config
