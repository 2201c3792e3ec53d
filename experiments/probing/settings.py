"""The keys of `experiments.capacity`, and what it asks of Hydra: a command line for each number of replicas."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from experiments.plan.config import Config, ConfigError, require
from experiments.plan.keys import keys_of, meaning
from experiments.plan.resolve import Plan
from experiments.sweep.composer import Composer
from experiments.sweep.job import key_of
from services.bounds import Bounds, hold, written

SECTION = "capacity"
SOUGHT = {
    "replicas": f"1 to {SECTION}.max_replicas are measured",
    "scaler": "a fleet of a fixed number is measured",
    "autoscaling": "a fleet of a fixed number is measured",
    "faults": "a fleet without faults is measured",
    "random_faults": "a fleet without faults is measured",
    "workload.rate_rps": "it is what is sought",
    "workload.utilisation": "the rate is what is sought",
    "workload.profile": "rates that stay as they are are tried",
    "workload.trace": "rates that stay as they are are tried",
    "router.url": "fleets of Aegis' own replicas are measured",
    "load.ui": "there is nothing to look at",
    "load.fit": "the rate is what is sought",
    "expect": "expect it of a run",
    "repeat": f"{SECTION}.seeds and {SECTION}.precision say when it is enough",
    "hydra": "-o says where the result goes",
}
"""Keys and groups that are the command's own, and why."""
OF_A_COURSE = "workload"
"""The group that says how the rate goes; its section has other keys, too."""
FIXED = ("scaler=none", "workload=constant", "workload.utilisation=null", "workload.trace=null", "faults=[]",
         "random_faults.count=0", "tracking.enabled=false", "summary=never", "counterfactual=never",
         "expect=[]")  # fmt: skip
IDLE_SHARE = 0.5
"""Of what all slots can do: where a search begins that Erlang's formula says nothing of."""


@dataclass
class CapacitySettings:
    """How a curve of capacity is found."""

    max_replicas: Annotated[int, Bounds(1, 1000)] = 6
    """1, 2, ... to so many replicas are measured."""
    precision: Annotated[float, Bounds(0.005, 1)] = 0.05
    """A search ends where the lowest rate that fails is above the highest that meets the objective by this share."""
    seeds: Annotated[int, Bounds(3, 1000)] = 5
    """Runs of a rate before the first look at it; there are two more, at twice and four times as many."""
    tries: Annotated[int, Bounds(1, 100)] = 3
    """A probe whose instrument did not work is made so often; then the search is given up."""


@dataclass(frozen=True)
class Asked:
    """What a command line asks for."""

    settings: CapacitySettings
    overrides: tuple[str, ...]
    """Of a run, scenario included."""

    @classmethod
    def of(cls, words: Sequence[str]) -> "Asked":
        """Take a command line apart.

        Raises:
            ConfigError: a word is none, or a key is the command's own.
            HydraException, OmegaConfBaseException: a word cannot be parsed, or a value is of the wrong type.
        """
        own, overrides = list[str](), list[str]()
        for word in words:
            key, is_pair, _ = word.lstrip("+~").partition("=")
            if not is_pair:
                raise ConfigError(f"{word}: is no override, as +scenario=routed or {SECTION}.max_replicas=4")
            (own if key == SECTION or key.startswith(f"{SECTION}.") else overrides).append(word)
        for word in overrides:
            key = key_of(word)
            names = (name for name in SOUGHT if key == name or key.startswith((f"{name}.", f"{name}/")))
            name = "workload.profile" if key == OF_A_COURSE else next(names, None)
            if name is not None:
                raise ConfigError(f"{key}: leave it out, {SOUGHT[name]}")
            if OverridesParser.create().parse_override(word).is_sweep_override():
                raise ConfigError(f"{word}: a curve is of one configuration; choose one")
        known = [key.path for key in keys_of(CapacitySettings, f"{SECTION}.")]
        for key in (key_of(word) for word in own):
            if key not in known:
                raise ConfigError(f"{key}: there is no such key; there are {', '.join(known)}")
        given = OmegaConf.from_dotlist([word.lstrip("+").partition(".")[2] for word in own])
        settings = cast(CapacitySettings, OmegaConf.to_object(OmegaConf.merge(CapacitySettings, given)))
        try:
            hold(settings, SECTION)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        return cls(settings, tuple(overrides))


def keys_in_words() -> str:
    """The keys of `capacity.*`, a line each, for --help."""
    lines = []
    for key in keys_of(CapacitySettings, f"{SECTION}."):
        bounds = ", ".join(map(str, key.rules))
        lines.append(f"  {key.path}={written(key.default)} ({bounds}): {meaning(key.owner, key.name)}")
    return "\n".join(lines)


@dataclass
class Fleets:
    """The plans of fleets of 1, 2, ... replicas, of one command line."""

    asked: Asked
    loader: ConfigLoader
    scenario: str = ""
    _plans: dict[int, Plan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Compose the largest.

        Raises:
            ConfigError, HydraException, OmegaConfBaseException: the configuration is wrong.
        """
        self._composer = Composer(self.loader)
        self._largest = self._composed(self.asked.settings.max_replicas, [])
        config = self._largest.config
        require(config.load.loop == "open", "load.loop", config.load.loop, "open: a closed one waits for the fleet")
        limit = config.load.timeout_s * 1e3
        must = f"at most load.timeout_s={config.load.timeout_s:g} s, after which nobody waits"
        require(config.slo.p99_ms <= limit, "slo.p99_ms", f"{config.slo.p99_ms:g}", must)

    def __getitem__(self, replicas: int) -> Plan:
        """Of a fleet of so many replicas."""
        if replicas not in self._plans:
            largest = self._largest.config.replica
            lists = {"speeds": largest.speeds, "weights": largest.weights}
            each = [f"replica.{name}={list(v)[:replicas]}" for name, v in lists.items() if v and isinstance(v, list)]
            self._plans[replicas] = self._composed(replicas, each)
        return self._plans[replicas]

    @property
    def config(self) -> Config:
        """Of the largest fleet."""
        return self._largest.config

    @property
    def resolved(self) -> dict[str, Any]:
        """Of the largest fleet, as it stands in a manifest."""
        return self._largest.resolved

    def _composed(self, replicas: int, more: list[str]) -> Plan:
        typed = {key_of(word) for word in self.asked.overrides}
        own = [text for text in FIXED if key_of(text) not in typed]
        job = self._composer.compose(0, [*self.asked.overrides, *own, f"replicas={replicas}", *more])
        self.scenario = job.scenario
        return job.plan
