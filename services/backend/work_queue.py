"""A replica's queue, every end planned on arrival: FIFO on c slots, or processor sharing. Pure: it is told the time.

Ends are counted from *planned* moments: a late timer delays one answer, and never those behind it. A plan changes
when a job is cancelled, when the speed changes, and when the process was stopped for a while; with processor sharing
also when a job arrives. Whoever waits for the ends is then told which have changed.
"""

import heapq
from collections.abc import Sequence
from typing import Protocol

DISCIPLINES = ("fifo", "ps")
NEVER = float("inf")
UNCHANGED: Sequence["Job"] = ()


class QueueFullError(Exception):
    """The line is full."""


class Job:
    """One request's work; times in seconds on the caller's clock."""

    __slots__ = ("arrival", "demand", "end", "expires", "left", "start")

    def __init__(
        self, arrival: float, demand: float, start: float, end: float, left: float = 0.0, expires: float = NEVER
    ) -> None:
        """`demand` is seconds of service at speed 1; `left` is what is left of it, in processor sharing only.

        From `expires` on nobody waits for it: where its turn comes later it is dropped, and ends as it starts.
        """
        self.arrival = arrival
        self.demand = demand
        self.start = start
        self.end = end
        self.left = left
        self.expires = expires

    @property
    def is_dropped(self) -> bool:
        """Whether its turn comes too late; not while nobody knows when it comes."""
        return self.expires <= self.start < NEVER


class Queue(Protocol):
    """The shape of every discipline."""

    def waiting(self, now: float) -> int:
        """Jobs beyond the slots at `now`."""

    def busy(self, now: float) -> int:
        """Slots that serve at `now`."""

    def wait_s(self, now: float) -> float:
        """How long a job that came at `now` would stand in line."""

    def arrive(self, demand: float, now: float, expires: float = NEVER) -> tuple[Job, Sequence[Job]]:
        """Plan a job that arrives now, and is dropped if its turn comes at `expires` or later.

        Returns it, and the others whose end has changed.

        Raises:
            QueueFullError: every slot is taken and the line is full.
        """

    def finish(self, job: Job) -> None:
        """The job has ended; forget it. It may be called any time after the job's end."""

    def cancel(self, job: Job, now: float) -> Sequence[Job]:
        """Take a job out; returns those whose end has changed."""

    def set_speed(self, speed: float, now: float) -> Sequence[Job]:
        """From `now` on work goes at `speed`; returns the jobs whose end has changed."""

    def stopped(self, since: float, now: float) -> Sequence[Job]:
        """The process did not run between `since` and `now`: no work was done; returns the jobs planned anew."""


def create(discipline: str, concurrency: int, queue_limit: int, speed: float = 1.0) -> Queue:
    """A queue of one of the `DISCIPLINES`."""
    kind = WorkQueue if discipline == "fifo" else ProcessorSharing
    return kind(concurrency, queue_limit, speed)


class WorkQueue(Queue):
    """First in, first out, on `concurrency` slots.

    Each job starts at max(arrival, earliest free slot) and ends demand / speed later (the Lindley recursion, Lindley
    1952, for c slots Kiefer and Wolfowitz 1955).
    """

    def __init__(self, concurrency: int, queue_limit: int, speed: float = 1.0) -> None:
        """All slots free."""
        self._concurrency = concurrency
        self._queue_limit = queue_limit
        self._most = concurrency + queue_limit
        self._speed = speed
        self._jobs: dict[Job, None] = {}
        self._free = [float("-inf")] * concurrency

    def __len__(self) -> int:
        """Jobs that have not been finished."""
        return len(self._jobs)

    def waiting(self, now: float) -> int:
        """Jobs in line at `now`."""
        begun = 0
        for job in self._jobs:  # they start in the order in which they came
            if job.start > now:
                break
            begun += 1
        return len(self._jobs) - begun

    def busy(self, now: float) -> int:
        """Slots that serve at `now`."""
        return sum(end > now for end in self._free)

    def wait_s(self, now: float) -> float:
        """How long a job that came at `now` would stand in line."""
        return max(0.0, self._free[0] - now)

    def arrive(self, demand: float, now: float, expires: float = NEVER) -> tuple[Job, Sequence[Job]]:
        """Plan a job that arrives now, and is dropped if its turn comes too late; nobody else's end changes.

        Raises:
            QueueFullError: every slot is taken and the line is full.
        """
        free = self._free[0]
        # Fewer jobs than places: the line need not be counted.
        if free > now and len(self._jobs) >= self._most and self.waiting(now) >= self._queue_limit:
            raise QueueFullError
        start = free if free > now else now
        if start < expires:
            end = start + demand / self._speed
            heapq.heapreplace(self._free, end)
        else:
            end = start
        job = Job(now, demand, start, end, 0.0, expires)
        self._jobs[job] = None
        return job, UNCHANGED

    def _plan(self, job: Job, now: float) -> None:
        job.start = job.end = max(now, self._free[0])
        if job.start < job.expires:
            job.end = job.start + job.demand / self._speed
            heapq.heapreplace(self._free, job.end)

    def finish(self, job: Job) -> None:
        """The job has ended; forget it."""
        self._jobs.pop(job, None)

    def cancel(self, job: Job, now: float) -> Sequence[Job]:
        """Take a job out; returns those whose plan changed."""
        if job not in self._jobs:
            return UNCHANGED
        del self._jobs[job]
        return self._replan(now) if job.end > now else UNCHANGED

    def set_speed(self, speed: float, now: float) -> Sequence[Job]:
        """From `now` on work goes at `speed`; returns the jobs whose plan changed."""
        factor, self._speed = self._speed / speed, speed
        serving = [job for job in self._jobs if job.start <= now < job.end]
        for job in serving:
            job.end = now + (job.end - now) * factor
        return serving + self._replan(now)

    def stopped(self, since: float, now: float) -> Sequence[Job]:
        """The process did not run between `since` and `now`: no work was done; returns the jobs planned anew."""
        serving = [job for job in self._jobs if job.start <= since < job.end]
        for job in serving:
            job.end += now - since
        for job in self._jobs:
            if job.start > since:
                job.start = job.end = float("inf")  # back in line
        return serving + self._replan(now)

    def _replan(self, now: float) -> list[Job]:
        """Plan the line again behind the jobs in service; returns those whose plan has changed."""
        self._free = [float("-inf")] * self._concurrency
        for job in self._jobs:
            if job.start <= now < job.end:
                heapq.heapreplace(self._free, job.end)
        changed = []
        for job in self._jobs:
            if job.start > now:
                before, was_dropped = job.end, job.is_dropped
                self._plan(job, now)
                if job.end != before or job.is_dropped != was_dropped:
                    changed.append(job)
        return changed


class ProcessorSharing(Queue):
    """All jobs at once: n jobs on c slots go at min(1, c / n) of the speed each (Kleinrock, Queueing Systems II, 4.4).

    `queue_limit` bounds the jobs beyond the slots. Nobody stands in line, so that a job's service lasts from its
    arrival to its end.
    """

    def __init__(self, concurrency: int, queue_limit: int, speed: float = 1.0) -> None:
        self._concurrency = concurrency
        self._queue_limit = queue_limit
        self._speed = speed
        self._jobs: dict[Job, None] = {}
        self._at = float("-inf")
        """Until when work has been taken off what is left."""

    def __len__(self) -> int:
        """Jobs that have not been finished."""
        return len(self._jobs)

    def _present(self, now: float) -> list[Job]:
        return [job for job in self._jobs if job.end > now]

    def waiting(self, now: float) -> int:
        """Jobs beyond the slots at `now`."""
        return max(0, len(self._present(now)) - self._concurrency)

    def busy(self, now: float) -> int:
        """Slots that serve at `now`."""
        return min(self._concurrency, len(self._present(now)))

    def wait_s(self, now: float) -> float:
        """Nobody stands in line."""
        return 0.0

    def arrive(self, demand: float, now: float, expires: float = NEVER) -> tuple[Job, Sequence[Job]]:
        """Plan a job that arrives now; those that are there become slower where the slots are taken.

        Its turn comes at once: it is dropped only where it has expired on its way.

        Raises:
            QueueFullError: there are as many jobs as slots and places.
        """
        most = self._concurrency + self._queue_limit
        if len(self._jobs) >= most and len(self._present(now)) >= most:
            raise QueueFullError
        self._advance(now)
        if now >= expires:
            return Job(now, demand, now, now, 0.0, expires), UNCHANGED
        job = Job(now, demand, now, float("inf"), demand, expires)
        self._jobs[job] = None
        return job, [other for other in self._plan(now) if other is not job]

    def finish(self, job: Job) -> None:
        """The job has ended; forget it."""
        if job in self._jobs:
            self._advance(job.end)
            del self._jobs[job]

    def cancel(self, job: Job, now: float) -> Sequence[Job]:
        """Take a job out; the others become faster."""
        if job not in self._jobs:
            return UNCHANGED
        self._advance(now)
        del self._jobs[job]
        return self._plan(now)

    def set_speed(self, speed: float, now: float) -> Sequence[Job]:
        """From `now` on work goes at `speed`."""
        self._advance(now)
        self._speed = speed
        return self._plan(now)

    def stopped(self, since: float, now: float) -> Sequence[Job]:
        """The process did not run between `since` and `now`: no work was done."""
        self._advance(since)
        for job in self._present(since):
            job.end = float("inf")  # planned anew, also where that was before `now`
        self._at = max(self._at, now)
        return self._plan(now)

    def _rate(self, count: int) -> float:
        """Work a second that each of `count` jobs gets."""
        return self._speed * min(1.0, self._concurrency / count)

    def _advance(self, now: float) -> None:
        """Take off what was done until `now`, by the plan."""
        for end in sorted({job.end for job in self._jobs if self._at < job.end < now}):
            self._take_off(end)
        self._take_off(now)

    def _take_off(self, until: float) -> None:
        """Until then nobody ends."""
        present = self._present(self._at)
        if until > self._at and present:
            done = (until - self._at) * self._rate(len(present))
            for job in present:
                job.left = max(0.0, job.left - done)
        self._at = max(self._at, until)

    def _plan(self, now: float) -> list[Job]:
        """Plan every end as if nobody came any more; returns those that have changed."""
        changed, moment, done = [], now, 0.0
        jobs = sorted(self._present(now), key=lambda job: job.left)
        for index, job in enumerate(jobs):
            moment += (job.left - done) / self._rate(len(jobs) - index)
            done = job.left
            if job.end != moment:
                job.end = moment
                changed.append(job)
        return changed
