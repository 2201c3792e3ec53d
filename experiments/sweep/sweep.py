"""A sweep: its jobs, how they are launched, and where they go."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from experiments.plan.config import ConfigError
from experiments.sweep.job import Job
from experiments.sweep.jobs import ONE_BY_ONE, UNTIL, are_playable, by_seed, check_launcher
from experiments.sweep.repeating import Repetition

NAME = "hydra_plugins.aegis.SeedBySeed"
"""As `conf/hydra/sweeper/seed_by_seed.yaml` calls its sweeper."""
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

    @property
    def notes(self) -> list[str]:
        """What is to be said of its jobs before the first one starts, each line once."""
        return list(dict.fromkeys(note for job in self.jobs for note in job.plan.notes))

    def check_launcher(self, target: str) -> None:
        """Note how the jobs are launched.

        Raises:
            ConfigError: they would run at the same time, and must not.
        """
        for job in self.jobs:
            check_launcher(job.config, target, is_swept=True)
        self.is_parallel = target != ONE_BY_ONE
        if not self.is_parallel:
            return
        if self.repetition is not None:
            raise ConfigError(f"hydra/launcher: does not go with {UNTIL}, which looks in between")
        # They are taken as they come.
        place = {job.number: at for _, same in by_seed(self.jobs) for at, job in enumerate(same)}
        self.jobs = [replace(job, order=place[job.number]) for job in self.jobs]
        if not are_playable(self.jobs, target):
            self.adds = ["tracking.enabled=false"]  # MLflow's database takes one writer at a time


def begun(jobs: list[Job]) -> Sweep:
    """A sweep from its beginning."""
    repeat = jobs[0].config.repeat
    if repeat.until_ratio_ci is None:
        return Sweep(jobs)
    return Sweep(jobs, Repetition(repeat.until_ratio_ci, repeat.max))
