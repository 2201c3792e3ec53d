"""A sweep: its jobs, how they are launched, and where they go."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from experiments.plan.config import ConfigError
from experiments.sweep.job import Job
from experiments.sweep.jobs import ONE_BY_ONE, UNTIL, are_playable, by_seed, check_launcher
from experiments.sweep.repeating import Repetition
from record.naming import by_number
from record.place import is_held

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
    names_folders: bool = True
    """Whether its jobs' folders are called by what differs; else as `hydra.sweep.subdir` says, which was typed."""
    is_parallel: bool = False

    @property
    def notes(self) -> list[str]:
        """What is to be said of its jobs before the first one starts, each line once."""
        return list(dict.fromkeys(note for job in self.jobs for note in job.plan.notes))

    def is_playable(self, target: str) -> bool:
        """Whether its jobs can be played here instead of being launched by the class `target`."""
        return self.names_folders and are_playable(self.jobs, target)

    def take_folders(self) -> None:
        """Give folders that the jobs' numbers had before their jobs' names: each is emptied when its job is run.

        What an earlier sweep into the same place has measured would be compared with what this one measures.

        Raises:
            ConfigError: a run that is going on has one of them.
        """
        there = by_number(self.folder) if self.names_folders else {}
        for job in self.jobs:
            place, before = self.folder / job.folder, there.get(job.number)
            if before is None or before == place:
                continue
            if is_held(before):
                raise ConfigError(f"{before}: another run writes here; choose another hydra.sweep.dir")
            before.rename(place)

    def check_place(self) -> None:
        """That no run of an earlier sweep stays in its folder, which would be compared with what this one measures.

        Raises:
            ConfigError: some do, since this sweep has no jobs of their numbers.
        """
        numbers = {job.number for job in self.jobs}
        if left := [path.name for number, path in by_number(self.folder).items() if number not in numbers]:
            raise ConfigError(
                f"{self.folder}: {left[0]}{f' and {len(left) - 1} more' if left[1:] else ''} of an earlier sweep would "
                "be compared with these; remove them, or choose another hydra.sweep.dir"
            )

    def check_launcher(self, target: str) -> None:
        """Note how the jobs are launched.

        Raises:
            ConfigError: they would run at the same time, and must not, or are looked for in folders of other names.
        """
        if self.repetition is not None and not self.names_folders:
            raise ConfigError(f"hydra.sweep.subdir: does not go with {UNTIL}, which looks in between")
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
        if not self.is_playable(target):
            self.adds = ["tracking.enabled=false"]  # MLflow's database takes one writer at a time


def begun(jobs: list[Job]) -> Sweep:
    """A sweep from its beginning."""
    repeat = jobs[0].config.repeat
    if repeat.until_ratio_ci is None:
        return Sweep(jobs)
    return Sweep(jobs, Repetition(repeat.until_ratio_ci, repeat.max))
