"""Runs a sweep's jobs, as Hydra's sweeper: seed after seed, those of one seed in an order drawn from it.

Job i has number and folder i whenever it is measured, so that the reference stays the arm named first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, cast

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from experiments.plan.config import ConfigError
from experiments.runner.supervision import warn
from experiments.sweep.jobs import UNTIL, Job, by_seed, consecutive, planned
from experiments.sweep.playing import ONE_BY_ONE, Played, are_playable, joblib_settings
from experiments.sweep.repeating import Repetition
from experiments.tracking.companion import SweepCompanion
from experiments.tracking.values import SWEEP_FILES

NAME = "hydra_plugins.aegis.SeedBySeed"
"""As `conf/hydra/sweeper/seed_by_seed.yaml` calls it."""
FAILED = 1
PLAN = "multirun.yaml"
"""What a sweep was asked for, in its folder; Hydra's name for it."""


@dataclass
class Sweep:
    """What is to be measured into one folder."""

    jobs: list[Job]
    """Still to be measured."""
    repetition: Repetition | None = None
    """Where the number of pairs is left to the data."""
    earlier: list[Job] = field(default_factory=list)
    """Measured before, where a sweep is gone on with."""
    adds: list[str] = field(default_factory=list)
    """`tracking.enabled=...` for every job, in place of its own; or nothing."""
    folder: Path = Path()
    is_parallel: bool = False
    is_tracked: bool = False
    """Whether its runs are to be logged at its end, not each by itself."""
    played: Played | None = None
    """How its jobs are played, where all are simulated on this machine; else Hydra launches each."""
    companion: SweepCompanion | None = None
    """Logs the jobs that are played."""
    statuses: list[int] = field(default_factory=list)
    """Exit statuses of the jobs that have ended."""

    def play(self, jobs: list[Job]) -> None:
        """Play simulated jobs, and have them logged."""
        assert self.played is not None
        untold = [self.folder / str(job.number) for job in jobs if job.config.tracking.enabled]
        try:
            for job, status in zip(jobs, self.played.play(jobs), strict=True):
                self.statuses.append(status)
                if job.config.tracking.enabled and self.companion is not None:
                    self.companion.ended(untold.pop(0))
        finally:  # an interrupted run is closed, too
            for folder in untold:
                if self.companion is not None:
                    self.companion.ended(folder)

    def check_launcher(self, target: str) -> None:
        """Note how the jobs are launched.

        Raises:
            ConfigError: they would run at the same time, and must not.
        """
        self.is_parallel = target != ONE_BY_ONE
        if not self.is_parallel:
            return
        if any(job.config.engine.name != "sim" for job in self.jobs):
            raise ConfigError("hydra/launcher: live runs at the same time spoil each other; add engine=sim")
        if self.repetition is not None:
            raise ConfigError(f"hydra/launcher: does not go with {UNTIL}, which looks in between")
        # They are taken as they come.
        place = {job.number: at for _, same in by_seed(self.jobs) for at, job in enumerate(same)}
        self.jobs = [replace(job, order=place[job.number]) for job in self.jobs]
        if are_playable(self.jobs, target):
            return
        self.is_tracked = self.adds == ["tracking.enabled=true"] or (
            not self.adds and bool(self.jobs[0].config.tracking.enabled)
        )
        self.adds = ["tracking.enabled=false"]  # MLflow's database takes one writer at a time


def begun(jobs: list[Job]) -> Sweep:
    """A sweep from its beginning."""
    repeat = jobs[0].config.repeat
    if repeat.until_ratio_ci is None:
        return Sweep(jobs)
    return Sweep(jobs, Repetition(repeat.until_ratio_ci, repeat.max))


class SeedBySeed(Sweeper):
    """Spans the jobs of Hydra's own sweeper; differs in the order, the checks before the first job, and in the end.

    Not a subclass of it: Hydra's search for plugins executes that module a second time, and its class of before is then
    another one.
    """

    resumed: ClassVar[Sweep | None] = None
    """The sweep to go on with, in place of the one that the command line spans."""
    current: ClassVar[Sweep | None] = None
    """The sweep of this process."""

    def __init__(
        self,
        max_batch_size: int | None = None,
        params: dict[str, str] | None = None,
        order: int | None = None,
        looks: Sequence[int] = (),
    ) -> None:
        """`params` are a scenario's own sweep; the others are for the jobs to read, or for Hydra's own sweeper."""
        super().__init__()
        self._params = [f"{key}={value}" for key, value in (params or {}).items()]

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
        sweep = SeedBySeed.resumed
        if sweep is None:
            sweep = begun(planned(self.hydra_context.config_loader, [*self._params, *arguments]))
        sweep.check_launcher(self.config.hydra.launcher._target_)
        sweep.folder = Path(self.config.hydra.sweep.dir)
        sweep.folder.mkdir(parents=True, exist_ok=True)
        if SeedBySeed.resumed is None:
            OmegaConf.save(self.config, sweep.folder / PLAN)
        for name in SWEEP_FILES:  # they do not know the runs to come
            (sweep.folder / name).unlink(missing_ok=True)
        if are_playable(sweep.jobs, self.config.hydra.launcher._target_):
            self._make_playable(sweep)
        SeedBySeed.current = sweep
        if sweep.is_parallel and sweep.played is not None:
            self._launch(sweep, sweep.jobs)
            return
        if sweep.is_parallel:
            for jobs in consecutive(sweep.jobs):
                self._launch(sweep, jobs)
            return
        done = list(sweep.earlier)
        for _, jobs in by_seed(sweep.jobs):
            for job in sorted(jobs, key=lambda job: job.order):
                self._launch(sweep, [job])
            done += jobs
            if self._is_enough(sweep, done):
                return

    def _is_enough(self, sweep: Sweep, done: list[Job]) -> bool:
        """Whether the data say so; not beyond the budget, where `repeat.resume` was asked for more pairs."""
        pairs = len(by_seed(done))
        if sweep.repetition is None or pairs > sweep.repetition.most:
            return False
        has_failed = FAILED in sweep.statuses
        folders = [sweep.folder / str(job.number) for job in sorted(done, key=lambda job: job.number)]
        is_enough = sweep.repetition.is_enough(folders, pairs=pairs, has_failed=has_failed)
        return is_enough and (has_failed or pairs < sweep.repetition.most)

    def _make_playable(self, sweep: Sweep) -> None:
        assert self.config is not None  # `setup` came first
        typed = [str(text) for text in self.config.hydra.overrides.hydra]
        launcher = cast(dict[str, Any], OmegaConf.to_container(self.config.hydra.launcher, resolve=True))
        is_chosen = any(text.startswith("hydra.sweep.dir=") for text in typed)
        sweep.played = Played(sweep.folder, may_rename=not is_chosen, joblib=joblib_settings(launcher))
        if sweep.adds:
            sweep.jobs = [job.with_tracking(sweep.adds == ["tracking.enabled=true"]) for job in sweep.jobs]
        if any(job.config.tracking.enabled for job in sweep.jobs):
            sweep.companion = SweepCompanion(sweep.folder.absolute(), warn)

    def _launch(self, sweep: Sweep, jobs: list[Job]) -> None:
        if sweep.played is not None:
            sweep.play(jobs)
            return
        launched = [
            [
                *(text for text in job.overrides if not sweep.adds or not text.startswith("tracking.enabled=")),
                *sweep.adds,
                f"hydra.sweeper.order={job.order}",
                f"hydra.sweeper.looks={list(job.looks)}",
            ]
            for job in jobs
        ]
        for result in self._launcher.launch(launched, initial_job_idx=jobs[0].number):
            sweep.statuses.append(int(result.return_value))  # raises what the job raised


def register() -> None:
    """Make the sweeper known to Hydra.

    Hydra takes plugins only from a top-level package `hydra_plugins`, by their dotted name. `Plugins.register` would
    enter the class by its module's name, which is not below it, and a class that claims to be of such a module could
    not be pickled for the processes of a parallel launcher. So the entry is made under the name that the configuration
    gives.
    """
    Plugins.instance().class_name_to_class[NAME] = SeedBySeed

