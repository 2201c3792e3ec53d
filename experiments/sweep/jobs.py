"""The jobs that a command line asks for: each composed and checked before the first one starts."""

import re
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from random import Random
from typing import TypeVar

import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from experiments.plan.config import Config, ConfigError
from experiments.plan.engines import engine_of
from experiments.plan.expecting import check_has_reference
from experiments.plan.installed import CONF
from experiments.plan.resolve import Plan, resolve
from record.naming import job_folder

T = TypeVar("T")
ONE_BY_ONE = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
UNTIL = "repeat.until_ratio_ci"
SEED = re.compile("^seed: .*$", re.MULTILINE)
"""A job's seed in the YAML of its configuration."""
OF_THE_LOAD = ("workload", "scenario")
"""Keys and groups that say what is asked; arms that were given different ones are meant to differ in it."""


@dataclass(frozen=True)
class Job:
    """One run of a sweep, or the only one."""

    number: int
    """Unique in its sweep; the arm named first has the lowest."""
    overrides: tuple[str, ...]
    scenario: str
    plan: Plan
    composed: str
    """The configuration as Hydra composed it, YAML."""
    order: int = 0
    """Its place within its seed's jobs."""
    looks: tuple[int, ...] = ()
    """The numbers of pairs at which its sweep had already ended before it was planned."""
    differs: tuple[str, ...] = ()
    """Its arm, as far as not all jobs of its sweep have it."""

    @property
    def folder(self) -> str:
        """The name of its folder in its sweep's."""
        return job_folder(self.differs, self.config.seed, self.number)

    @property
    def name(self) -> str:
        """What it is called in a line: the same, and its seed."""
        return ", ".join([*self.differs, f"seed={self.config.seed}"])

    @property
    def config(self) -> Config:
        """Its plan's."""
        return self.plan.config

    @property
    def arm(self) -> tuple[str, ...]:
        """Its overrides without what runs of one arm may differ in."""
        return tuple(text for text in self.overrides if key_of(text) not in ("seed", "tracking.enabled"))

    def with_seed(self, seed: int, number: int) -> "Job":
        """The same arm with another seed.

        Raises:
            ConfigError: this seed makes the configuration wrong.
        """
        kept = tuple(text for text in self.overrides if key_of(text) != "seed")
        composed = SEED.sub(f"seed: {seed}", self.composed, count=1)
        plan = self.plan.with_seed(seed)
        return Job(number, (f"seed={seed}", *kept), self.scenario, plan, composed, differs=self.differs)

    def with_tracking(self, enabled: bool) -> "Job":
        """The same, logged to MLflow or not, as if that had been typed last."""
        kept = tuple(text for text in self.overrides if key_of(text) != "tracking.enabled")
        text = f"tracking.enabled={str(enabled).lower()}"
        return replace(self, overrides=(*kept, text), plan=self.plan.with_tracking(enabled))


def key_of(override: str) -> str:
    """The key or group that an override names."""
    return override.lstrip("+~").partition("=")[0]


class _Composer:
    """Composes jobs. Those that choose the same groups are composed once, and then given their values as Hydra does."""

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader = loader
        self._known: dict[tuple[str, ...], tuple[DictConfig, str]] = {}
        self._parsed: dict[str, Override] = {}
        self._groups: dict[str, bool] = {}

    def compose(self, number: int, overrides: Sequence[str]) -> tuple[Job, bool]:
        """The job, and whether a key of it follows from another by interpolation."""
        composed, scenario = self._given_values(overrides) or self._by_hydra(overrides)
        plan = resolve(composed, overrides)
        engine_of(plan.config).check_here(plan.config)
        text = OmegaConf.to_yaml(composed)
        return Job(number, tuple(overrides), scenario, plan, text), "${" in text

    def _given_values(self, overrides: Sequence[str]) -> tuple[DictConfig, str] | None:
        """None where a value is more than another one of a key that is there, or is wrong, which Hydra words better."""
        parsed = [self._parse(text) for text in overrides]
        choices = [override for override in parsed if self._is_choice(override)]
        values = [override for override in parsed if not self._is_choice(override)]
        if not all(value.type == OverrideType.CHANGE and not value.is_hydra_override() for value in values):
            return None
        key = tuple(str(choice.input_line) for choice in choices)
        if key not in self._known:
            self._known[key] = self._by_hydra(key)
        known, scenario = self._known[key]
        composed = deepcopy(known)
        try:
            for value in values:
                OmegaConf.update(composed, value.key_or_group, value.value(), merge=True)
        except (OmegaConfBaseException, AssertionError, AttributeError, TypeError, ValueError):
            return None
        return composed, scenario

    def _by_hydra(self, overrides: Sequence[str]) -> tuple[DictConfig, str]:
        """Without Hydra's own section; and the scenario."""
        composed = self._loader.load_configuration(
            config_name="config", overrides=list(overrides), run_mode=RunMode.RUN, validate_sweep_overrides=False
        )
        scenario = composed.hydra.runtime.choices["scenario"]
        with flag_override(composed, ["readonly", "struct"], False):
            del composed["hydra"]
        return composed, scenario

    def _parse(self, text: str) -> Override:
        if text not in self._parsed:
            self._parsed[text] = OverridesParser.create().parse_override(text)
        return self._parsed[text]

    def _is_choice(self, override: Override) -> bool:
        key = override.key_or_group
        if key not in self._groups:
            self._groups[key] = bool(self._loader.get_group_options(key))
        return self._groups[key] and not isinstance(override.value(), dict)


def _composed(loader: ConfigLoader, split: Sequence[Sequence[str]]) -> list[Job]:
    """Each composed as Hydra composes it; where only a plain seed differs the plan is taken over.

    A composition takes a tenth of a second, a simulated run of a thousand requests less.
    """
    jobs: list[Job] = []
    first: dict[tuple[str, ...], Job] = {}
    composer = _Composer(loader)
    for number, overrides in enumerate(split):
        seeds = [text.partition("=")[2] for text in overrides if key_of(text) == "seed"]
        known = first.get(tuple(text for text in overrides if key_of(text) != "seed"))
        if known is not None and len(seeds) == 1 and seeds[0].isdecimal() and str(int(seeds[0])) == seeds[0]:
            job = replace(known.with_seed(int(seeds[0]), number), overrides=tuple(overrides))
            if bool(job.plan.faults) == bool(known.plan.faults):  # on which the primary metric may depend
                jobs.append(job)
                continue
        job, has_interpolations = composer.compose(number, overrides)
        if not has_interpolations:
            first[tuple(text for text in overrides if key_of(text) != "seed")] = job
        jobs.append(job)
    return jobs


def single(loader: ConfigLoader, overrides: Sequence[str]) -> Job:
    """The job of a command line that is no sweep.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: it is wrong.
    """
    job, _ = _Composer(loader).compose(0, overrides)
    check_alone(job.config)
    return job


def check_alone(config: Config) -> None:
    """Refuse what only a sweep can do.

    Raises:
        ConfigError: with the key.
    """
    if config.load.ui and config.router is None:
        raise ConfigError("load.ui=true: the web UI needs a router and a single run")
    if config.repeat.until_ratio_ci is not None:
        raise ConfigError(f"{UNTIL}: is for the command line of a sweep, with -m and two arms or more")
    check_has_reference(config, arms=1)


def check_launcher(config: Config, target: str, *, is_swept: bool) -> None:
    """Refuse a launcher where there is one run, and live runs at the same time.

    Raises:
        ConfigError: with the way out.
    """
    if target == ONE_BY_ONE:
        return
    if not is_swept:
        raise ConfigError("hydra/launcher: is for sweeps, add -m")
    if not engine_of(config).is_virtual:
        raise ConfigError("hydra/launcher: live runs at the same time spoil each other; add engine=sim")


def are_playable(jobs: Sequence[Job], launcher: str) -> bool:
    """Whether all are simulated, and launched by this machine alone.

    Args:
        jobs: of a sweep.
        launcher: the class that Hydra would launch them with.
    """
    return launcher in (ONE_BY_ONE, JOBLIB) and all(engine_of(job.config).is_virtual for job in jobs)


def planned(loader: ConfigLoader, arguments: Sequence[str]) -> list[Job]:
    """Every job of a sweep in the order of its numbers, with the seeds of the whole budget of a sequential one.

    An hour's measuring must not end on a typing error, nor on arms that cannot be compared.

    Args:
        loader: of Hydra.
        arguments: the scenario's own sweep, then the overrides of the command line.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: of the first job that is wrong.
    """
    overrides = OverridesParser.create(loader).parse_overrides(list(arguments))
    swept = {override.key_or_group: str(override.input_line) for override in overrides if override.is_sweep_override()}
    split = BasicSweeper.split_arguments(overrides, max_batch_size=None)[0]
    jobs = _told_apart(_composed(loader, split))
    if any(job.config.load.ui for job in jobs):
        raise ConfigError("load.ui=true: the web UI needs a router and a single run")
    _check_primary(jobs)
    _check_expected(jobs)
    if not any(key.split(".")[0] in OF_THE_LOAD for key in swept):
        _check_schedules(jobs)
    if any(job.config.repeat.until_ratio_ci is not None for job in jobs):
        jobs = _whole_budget(jobs, swept)
    return _in_drawn_order(jobs)


def _told_apart(jobs: list[Job]) -> list[Job]:
    shared = set.intersection(*(set(job.arm) for job in jobs))
    return [replace(job, differs=tuple(text for text in job.arm if text not in shared)) for job in jobs]


def _check_primary(jobs: list[Job]) -> None:
    metrics = sorted({job.plan.primary for job in jobs})
    if len(metrics) > 1:
        raise ConfigError(
            f"comparison.primary: the arms would be judged by different metrics ({', '.join(metrics)}), as some have "
            "faults and others none; set comparison.primary to one for all"
        )


def _check_expected(jobs: list[Job]) -> None:
    if len({tuple(job.config.expect) for job in jobs}) > 1:
        raise ConfigError("expect: must be the same for all arms")
    check_has_reference(jobs[0].config, arms=len({job.arm for job in jobs}))


def _check_schedules(jobs: list[Job]) -> None:
    """Arms of one seed must be asked the same; a rate that follows from the fleet is not the same for another fleet."""
    for seed, same in by_seed(jobs):
        loads = {str(asdict(job.config.workload)): job.config.workload for job in same}
        if len(loads) > 1:
            rates = ", ".join(f"{workload.rate_rps:g}" for workload in loads.values())
            raise ConfigError(
                f"workload.utilisation: the arms of seed {seed} would be given different schedules ({rates} "
                "requests/s), as their fleets differ; give workload.rate_rps instead, the same for all"
            )


def _whole_budget(jobs: list[Job], swept: dict[str, str]) -> list[Job]:
    for key, typed in swept.items():
        if key == "seed":
            raise ConfigError(f"{typed}: with {UNTIL} give the first seed only; the others follow it")
        if key.startswith("repeat."):
            raise ConfigError(f"{typed}: must be the same for all arms")
    repeat = jobs[0].config.repeat
    if len(jobs) < 2:
        raise ConfigError(
            f"{UNTIL}={repeat.until_ratio_ci}: one arm only; it needs two or more, as policy=round_robin,peak_ewma"
        )
    first = jobs[0].config.seed
    return [
        job if pair == 0 else job.with_seed(first + pair, pair * len(jobs) + job.number)
        for pair in range(repeat.max)
        for job in jobs
    ]


def by_seed(jobs: Iterable[Job]) -> list[tuple[int, list[Job]]]:
    """The jobs of each seed, the seeds in the order in which they are first named."""
    seeds: dict[int, list[Job]] = {}
    for job in jobs:
        seeds.setdefault(job.config.seed, []).append(job)
    return list(seeds.items())


def _in_drawn_order(jobs: list[Job]) -> list[Job]:
    places = {job.number: order for seed, same in by_seed(jobs) for order, job in enumerate(drawn(seed, same))}
    return [replace(job, order=places[job.number]) for job in jobs]


def drawn(seed: int, jobs: Sequence[T]) -> list[T]:
    """The jobs (or arms) of one seed in the order in which they are measured: a permutation drawn from the seed.

    What drifts while a pair is measured, or is cold for the first of it, must not always hit the same arm.
    """
    return Random(f"aegis-order-{seed}").sample(jobs, len(jobs))


def consecutive(jobs: Iterable[Job]) -> list[list[Job]]:
    """The jobs in runs of consecutive numbers."""
    ordered = sorted(jobs, key=lambda job: job.number)
    runs = groupby(enumerate(ordered), key=lambda pair: pair[1].number - pair[0])
    return [[job for _, job in group] for _, group in runs]


def place(arguments: list[str]) -> list[str]:
    """`arguments` for Hydra: the folder that was chosen for a run holds the sweep where the scenario is one."""
    name = next((a.partition("=")[2] for a in arguments if a.startswith("+scenario=")), "")
    path = CONF / "scenario" / f"{name}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if (content.get("hydra") or {}).get("mode") != "MULTIRUN":
        return arguments
    return [a.replace("hydra.run.dir=", "hydra.sweep.dir=", 1) for a in arguments]
