"""Where a sweep stands: job 2 of 6, its arm and seed, and how long the rest will probably take."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from analysis.comparison.run_time import LIVE_OVERHEAD_S, span
from experiments.plan.engines import engine_of
from experiments.sweep.job import Job

OF_SCHEDULE_S = 1e-4
"""Seconds that a simulated request weighs; only its ratio to the others' counts, as soon as one job has been played."""


@dataclass(frozen=True)
class Course:
    """The jobs of a sweep in the order in which they are measured; goes to a launcher's processes as it is."""

    places: dict[int, int]
    """By a job's number, from 1 on."""
    names: dict[int, str]
    """By a job's number: its arm as far as it differs from the others, and its seed."""
    expected_s: list[float]
    """What each takes, in the order of measuring, seconds; of simulated jobs in proportion only."""
    is_virtual: bool
    is_budget: bool = False
    """Whether there are as many jobs at most."""
    began_s: float = field(default_factory=time.monotonic)
    """On the monotonic clock, which all processes of a machine share."""

    def begins(self, job: Job) -> str:
        """The line before a job."""
        return f"{self._named(job)}{self._left(self.places[job.number] - 1)}"

    def ended(self, job: Job) -> str:
        """The beginning of the line about a job that has just ended."""
        return f"{self._named(job)}{self._left(self.places[job.number])}"

    def _named(self, job: Job) -> str:
        most = "at most " if self.is_budget else ""
        return f"job {self.places[job.number]} of {most}{len(self.places)}, {self.names[job.number]}"

    def _left(self, done: int) -> str:
        left = self.left_s(done, time.monotonic())
        return "" if left is None or done == len(self.places) else f", about {span(left)} left"

    def left_s(self, done: int, now_s: float) -> float | None:
        """What is probably left after the first `done` jobs, seconds; None = nothing is known yet.

        The rest of what was expected, at the pace of those that are done.
        """
        before, after = sum(self.expected_s[:done]), sum(self.expected_s[done:])
        if not before:
            return None if self.is_virtual else after
        return after * (now_s - self.began_s) / before


def course_of(jobs: Sequence[Job], *, is_budget: bool) -> Course:
    """The course of jobs, given in the order in which they will be measured."""
    is_virtual = all(engine_of(job.config).is_virtual for job in jobs)
    return Course(
        {job.number: place for place, job in enumerate(jobs, 1)},
        {job.number: job.name for job in jobs},
        [_expected_s(job, is_virtual=is_virtual) for job in jobs],
        is_virtual,
        is_budget,
    )


def _expected_s(job: Job, *, is_virtual: bool) -> float:
    workload = job.config.workload
    return workload.most_requests() * OF_SCHEDULE_S if is_virtual else workload.duration_s + LIVE_OVERHEAD_S
