"""Simulated jobs of a sweep, played one after the other in one process, or in a few at the same time.

Hydra's launchers compose each job a second time, which costs more than to simulate it; here it is played from the plan
that was made when it was checked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from experiments.plan.written import as_yaml
from experiments.runner.supervision import supervise
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
    joblib: dict[str, Any] | None = None
    """Settings of `joblib.Parallel`, where they are played at the same time."""

    def play(self, jobs: Sequence[Job]) -> Iterator[int]:
        """Play them; yields their exit statuses in the order of the jobs.

        Raises:
            Interrupted: by a signal.
        """
        if self.joblib is None:
            for job in jobs:
                yield self.play_one(job)
            return
        from joblib import Parallel, delayed

        yield from Parallel(**self.joblib, return_as="generator")(delayed(self.play_one)(job) for job in jobs)

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


def joblib_settings(launcher: dict[str, Any]) -> dict[str, Any] | None:
    """What Hydra's joblib launcher hands on to joblib; None of another launcher.

    Args:
        launcher: the configuration below `hydra.launcher`.
    """
    if launcher["_target_"] != JOBLIB:
        return None
    from hydra_plugins.hydra_joblib_launcher._core import process_joblib_cfg

    settings = {key: value for key, value in launcher.items() if key != "_target_"}
    process_joblib_cfg(settings)
    return settings
