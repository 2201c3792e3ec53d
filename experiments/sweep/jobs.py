"""The jobs that a command line asks for: each composed and checked before the first one starts."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from random import Random
from typing import TypeVar

import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from experiments.plan.config import Config, ConfigError
from experiments.plan.engines import engine_of
from experiments.plan.expecting import check_has_reference
from experiments.plan.installed import CONF
from experiments.sweep.composer import Composer
from experiments.sweep.job import Job

T = TypeVar("T")
ONE_BY_ONE = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
UNTIL = "repeat.until_ratio_ci"
OF_THE_LOAD = ("workload", "scenario")
"""Keys and groups that say what is asked; arms that were given different ones are meant to differ in it."""


def single(loader: ConfigLoader, overrides: Sequence[str]) -> Job:
    """The job of a command line that is no sweep.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: it is wrong.
    """
    job = Composer(loader).compose(0, overrides)
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
    composer = Composer(loader)
    jobs = _told_apart([composer.compose(number, overrides) for number, overrides in enumerate(split)])
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


def spread(arguments: list[str]) -> list[str]:
    """`arguments` for Hydra, which sets what is not swept in the scenario's own policy or scaler, whatever follows:
    where one of them is swept, a plain option of it is, too, over its one value.
    """
    parser = OverridesParser.create()
    try:
        overrides = {text: parser.parse_override(text) for text in arguments if not text.startswith("-")}
    except HydraException:
        return arguments  # Hydra says what is wrong
    swept = {each.key_or_group for each in overrides.values() if each.is_sweep_override()} & {"policy", "scaler"}

    def is_plain(text: str) -> bool:
        each = overrides.get(text)
        if each is None or each.is_sweep_override() or each.is_delete() or "." not in each.key_or_group:
            return False
        return each.key_or_group.partition(".")[0] in swept

    return ["{0}=choice({2})".format(*text.partition("=")) if is_plain(text) else text for text in arguments]


def place(arguments: list[str]) -> list[str]:
    """`arguments` for Hydra: the folder that was chosen for a run holds the sweep where the scenario is one."""
    name = next((a.partition("=")[2] for a in arguments if a.startswith("+scenario=")), "")
    path = CONF / "scenario" / f"{name}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if (content.get("hydra") or {}).get("mode") != "MULTIRUN":
        return arguments
    return [a.replace("hydra.run.dir=", "hydra.sweep.dir=", 1) for a in arguments]
