"""Simulated jobs of a sweep, played one after the other in one process, or in a few at the same time.

Hydra's launchers compose each job a second time, which costs more than to simulate it; here it is played from the plan
that was made when it was checked.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from experiments.plan.written import as_yaml
from experiments.runner.supervision import supervise
from experiments.sweep.at_once import play_at_once
from experiments.sweep.course import Course
from experiments.sweep.ending import note_status
from experiments.sweep.job import Job
from experiments.sweep.jobs import JOBLIB


@dataclass(frozen=True)
class Played:
    """The runs of a sweep's simulated jobs."""

    folder: Path
    """The sweep's."""
    course: Course
    may_rename: bool
    """Whether a run may take another folder where its own is that of a complete run."""
    processes: int = 1
    """In how many they are played."""

    def play(self, jobs: Sequence[Job]) -> Generator[tuple[Job, int], None, None]:
        """Play them; yields each with its exit status, in the order in which they end.

        Raises:
            Interrupted: by a signal.
            LostError: one of several processes has died.
        """
        if self.processes == 1 or len(jobs) == 1:
            for job in jobs:
                yield job, self.play_one(job)
            return
        # Once, in place of in each of the processes, for which these are what takes longest.
        import analysis.summary  # noqa: F401
        import experiments.session
        import experiments.simulator.simulation  # noqa: F401

        yield from play_at_once(self.play_one, jobs, self.processes)

    def play_one(self, job: Job) -> int:
        """Play a job; return its exit status."""
        from experiments.session import Session

        session = Session(
            plan=job.plan,
            scenario=job.scenario,
            folder=self.folder / job.folder,
            overrides=list(job.overrides),
            sweep_dir=self.folder.absolute(),
            order=job.order,
            looks=list(job.looks),
            may_rename=self.may_rename,
            # What is Hydra's own is the sweep's, and stands in its folder.
            hydra_files={"config.yaml": as_yaml(job.composed), "overrides.yaml": as_yaml(list(job.overrides))},
            is_logged_by_sweep=True,
            heading=partial(self.course.ended, job),
        )
        status = supervise(session)
        note_status(self.folder, status)
        return status


def processes_of(launcher: dict[str, Any]) -> int:
    """In how many processes a launcher would play jobs: `n_jobs` of the joblib launcher, one of another.

    Args:
        launcher: the configuration below `hydra.launcher`.
    """
    if launcher["_target_"] != JOBLIB:
        return 1
    from joblib import effective_n_jobs

    return int(effective_n_jobs(launcher["n_jobs"]))
