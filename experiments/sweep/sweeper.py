"""Runs a sweep's jobs, as Hydra's sweeper: seed after seed, those of one seed in an order drawn from it.

A job's number is its place on the command line whenever it is measured, and orders the folders, whose names begin with
what differs: so the reference stays the arm named first.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from experiments.plan.config import ConfigError
from experiments.plan.original import refused
from experiments.runner.exit_status import ExitStatus
from experiments.runner.supervision import say, warn
from experiments.sweep import optuna
from experiments.sweep.course import course_of
from experiments.sweep.ending import take
from experiments.sweep.job import Job
from experiments.sweep.jobs import by_seed, consecutive, planned
from experiments.sweep.playing import Played, processes_of
from experiments.sweep.resuming import recorded_params, what_is_missing
from experiments.sweep.sweep import NAME, PLAN, Sweep, begun
from experiments.tracking.companion import SweepCompanion
from experiments.tracking.values import sweep_files
from record.naming import by_number

SUBDIR = "hydra.sweep.subdir="


def sweep_asked_for(loader: ConfigLoader, hydra: DictConfig, task: Sequence[str]) -> Sweep:
    """The jobs to measure, from their beginning or where `repeat.resume` goes on.

    Args:
        loader: of Hydra.
        hydra: Hydra's own section of the configuration.
        task: the overrides that were typed.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: a job is wrong, or there is nothing to go on with.
    """
    settings, folder = hydra.sweeper, Path(hydra.sweep.dir)
    params = recorded_params(folder) if settings.resume else settings.params or {}
    sweep = begun(planned(loader, [*(f"{key}={value}" for key, value in params.items()), *task]))
    if settings.resume:
        sweep = what_is_missing(sweep, folder, settings.pairs)
        faults = (fault for job in sweep.jobs for fault in job.plan.faults)
        if not settings.commands and (why_not := refused(folder, faults)) is not None:
            raise ConfigError(why_not)
        if settings.tracking is not None:
            sweep.adds = [f"tracking.enabled={str(settings.tracking).lower()}"]
    sweep.folder = folder
    sweep.names_folders = not any(str(text).startswith(SUBDIR) for text in hydra.overrides.hydra)
    sweep.check_launcher(hydra.launcher._target_)
    return sweep


class SeedBySeed(Sweeper):
    """Spans the jobs of Hydra's own sweeper; differs in the order, in the checks before the first job, and in going on.

    Not a subclass of it: Hydra's search for plugins executes that module a second time, and its class of before is then
    another one.
    """

    def __init__(self, **settings: object) -> None:
        """The keys of `conf/hydra/sweeper/seed_by_seed.yaml`, which are read from the configuration."""
        super().__init__()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """What Hydra gives every sweeper."""
        self.hydra_context, self.config = hydra_context, config
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Measure what `arguments` (or the sweep that is gone on with) ask for.

        Raises:
            ConfigError, HydraException, OmegaConfBaseException: a job is wrong; nothing has been started.
        """
        assert self.config is not None and self.hydra_context is not None  # `setup` came first
        sweep = sweep_asked_for(self.hydra_context.config_loader, self.config.hydra, arguments)
        for note in sweep.notes:
            say(note)
        sweep.folder.mkdir(parents=True, exist_ok=True)
        take(sweep.folder)
        if not self.config.hydra.sweeper.resume:
            sweep.check_place()
        if self.config.hydra.sweeper.resume or not self._may_rename:
            sweep.take_folders()
        if not self.config.hydra.sweeper.resume:
            OmegaConf.save(self.config, sweep.folder / PLAN)
        for path in sweep_files(sweep.folder):  # they do not know the runs to come
            path.unlink(missing_ok=True)
        ordered = [job for _, jobs in by_seed(sweep.jobs) for job in sorted(jobs, key=lambda job: job.order)]
        in_order = sweep.jobs if sweep.is_parallel else ordered
        self._course = course_of(in_order, is_budget=sweep.repetition is not None)
        self._played = self._playing(sweep)
        if sweep.is_parallel and self._played is not None:
            self._launch(sweep, sweep.jobs)
            return
        if sweep.is_parallel:
            for jobs in consecutive(sweep.jobs):
                self._launch(sweep, jobs)
            return
        done, has_failed = list(sweep.earlier), False
        for _, jobs in by_seed(sweep.jobs):
            for job in sorted(jobs, key=lambda job: job.order):
                has_failed |= ExitStatus.FAILED in self._launch(sweep, [job])
            done += jobs
            if _is_enough(sweep, done, has_failed=has_failed):
                return

    def _playing(self, sweep: Sweep) -> Played | None:
        """How the jobs are played, where all are simulated on this machine; None = Hydra launches each."""
        assert self.config is not None  # `setup` came first
        if not sweep.is_playable(self.config.hydra.launcher._target_):
            return None
        launcher = cast(dict[str, Any], OmegaConf.to_container(self.config.hydra.launcher, resolve=True))
        if sweep.adds:
            sweep.jobs = [job.with_tracking(sweep.adds == ["tracking.enabled=true"]) for job in sweep.jobs]
        if any(job.config.tracking.enabled for job in sweep.jobs):
            SweepCompanion(sweep.folder, warn)
        return Played(sweep.folder, self._course, may_rename=self._may_rename, processes=processes_of(launcher))

    @property
    def _may_rename(self) -> bool:
        """Whether a run may take another folder, since the sweep's place was not typed."""
        assert self.config is not None  # `setup` came first
        typed = [str(text) for text in self.config.hydra.overrides.hydra]
        return not any(text.startswith(("hydra.run.", "hydra.sweep.")) for text in typed)

    def _launch(self, sweep: Sweep, jobs: list[Job]) -> list[int]:
        """Measure jobs, those that are not played with consecutive numbers; return their exit statuses."""
        if self._played is not None:
            return _play(self._played, jobs)
        if len(jobs) == 1:
            say(self._course.begins(jobs[0]))
        launched = [
            [
                *(text for text in job.overrides if not sweep.adds or not text.startswith("tracking.enabled=")),
                *sweep.adds,
                f"hydra.sweeper.order={job.order}",
                f"hydra.sweeper.looks={list(job.looks)}",
                *([f"{SUBDIR}'{job.folder}'"] if sweep.names_folders else []),
            ]
            for job in jobs
        ]
        results = self._launcher.launch(launched, initial_job_idx=jobs[0].number)
        return [result.return_value.status for result in results]  # raises what the job raised


def _play(played: Played, jobs: list[Job]) -> list[int]:
    """Play simulated jobs and have them logged; return their exit statuses."""
    companion = SweepCompanion.of(played.folder)
    untold = {job.number: played.folder / job.folder for job in jobs}
    statuses: list[int] = []
    try:
        with closing(played.play(jobs)) as ended:
            for job, status in ended:
                statuses.append(status)
                folder = untold.pop(job.number)
                if companion is not None:
                    companion.ended(folder)
        return statuses
    finally:  # one that was interrupted is closed, too
        for folder in untold.values():
            if companion is not None:
                companion.ended(folder)


def _is_enough(sweep: Sweep, done: list[Job], *, has_failed: bool) -> bool:
    """Whether the data say so; not beyond the budget, where `repeat.resume` was asked for more pairs."""
    pairs = len(by_seed(done))
    if sweep.repetition is None or pairs > sweep.repetition.most:
        return False
    there, numbers = by_number(sweep.folder), sorted(job.number for job in done)
    folders = [there[number] for number in numbers if number in there]
    is_enough = sweep.repetition.is_enough(folders, pairs=pairs, has_failed=has_failed)
    return is_enough and (has_failed or pairs < sweep.repetition.most)


def register() -> None:
    """Make the sweeper known to Hydra.

    Hydra takes plugins only from a top-level package `hydra_plugins`, by their dotted name. `Plugins.register` would
    enter the class by its module's name, which is not below it, and a class that claims to be of such a module could
    not be pickled for the processes of a parallel launcher. So the entry is made under the name that the configuration
    gives.
    """
    Plugins.instance().class_name_to_class[NAME] = SeedBySeed
    optuna.register()
