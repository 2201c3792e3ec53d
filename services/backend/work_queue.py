"""A replica's queue: c slots and a FIFO line, every end planned on arrival. Pure: it is told the time.

Each job starts at max(arrival, earliest free slot) and ends demand / speed later, counted from *planned* moments:
a late timer delays one answer, and never those behind it (the Lindley recursion, Lindley 1952, for c slots
Kiefer and Wolfowitz 1955). A plan changes when a job ahead is cancelled, when the speed changes, and when the
process was stopped for a while; then everything that has not ended is planned anew.
"""

import heapq
from dataclasses import dataclass


class QueueFullError(Exception):
    """The line is full."""


@dataclass(slots=True, eq=False)
class Job:
    """One request's work; times in seconds on the caller's clock."""

    arrival: float
    demand: float
    """Seconds of service at speed 1."""
    start: float = 0.0
    end: float = 0.0


class WorkQueue:
    """Plans jobs on `concurrency` slots."""

    def __init__(self, concurrency: int, queue_limit: int, speed: float = 1.0) -> None:
        """All slots free."""
        self._concurrency = concurrency
        self._queue_limit = queue_limit
        self._speed = speed
        self._jobs: dict[Job, None] = {}
        self._free = [float("-inf")] * concurrency

    def __len__(self) -> int:
        """Jobs that have not been finished."""
        return len(self._jobs)

    def waiting(self, now: float) -> int:
        """Jobs in line at `now`."""
        return sum(job.start > now for job in self._jobs)

    def wait_s(self, now: float) -> float:
        """How long a job that came at `now` would stand in line."""
        return max(0.0, self._free[0] - now)

    def arrive(self, demand: float, now: float) -> Job:
        """Plan a job that arrives now.

        Raises:
            QueueFullError: every slot is taken and the line is full.
        """
        if self._free[0] > now and self.waiting(now) >= self._queue_limit:
            raise QueueFullError
        job = Job(now, demand)
        self._plan(job, now)
        self._jobs[job] = None
        return job

    def _plan(self, job: Job, now: float) -> None:
        job.start = max(now, self._free[0])
        job.end = job.start + job.demand / self._speed
        heapq.heapreplace(self._free, job.end)

    def finish(self, job: Job) -> None:
        """The job has ended; forget it."""
        self._jobs.pop(job, None)

    def cancel(self, job: Job, now: float) -> list[Job]:
        """Take a job out; returns those whose plan changed."""
        if job not in self._jobs:
            return []
        del self._jobs[job]
        return self._replan(now) if job.end > now else []

    def set_speed(self, speed: float, now: float) -> list[Job]:
        """From `now` on work goes at `speed`; returns the jobs whose plan changed."""
        factor, self._speed = self._speed / speed, speed
        serving = [job for job in self._jobs if job.start <= now < job.end]
        for job in serving:
            job.end = now + (job.end - now) * factor
        return serving + self._replan(now)

    def stopped(self, since: float, now: float) -> list[Job]:
        """The process did not run between `since` and `now`: no work was done; returns the jobs planned anew."""
        serving = [job for job in self._jobs if job.start <= since < job.end]
        for job in serving:
            job.end += now - since
        for job in self._jobs:
            if job.start > since:
                job.start = job.end = float("inf")  # back in line
        return serving + self._replan(now)

    def _replan(self, now: float) -> list[Job]:
        """Plan the line again behind the jobs in service; returns those whose end has changed."""
        self._free = [float("-inf")] * self._concurrency
        for job in self._jobs:
            if job.start <= now < job.end:
                heapq.heapreplace(self._free, job.end)
        changed = []
        for job in self._jobs:
            if job.start > now:
                before = job.end
                self._plan(job, now)
                if job.end != before:
                    changed.append(job)
        return changed
