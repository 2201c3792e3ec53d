"""A line before slots that are held until they are let go, however long after the work. Pure: it is told the time.

A replica that holds its slot while it waits for others cannot say when the slot is free again, so nothing is planned
for those in line: they start when a slot is let go, and until then their start and end are infinite.
"""

from collections.abc import Sequence

from services.backend.work_queue import NEVER, UNCHANGED, Job, Queue, QueueFullError

SMOOTHING = 0.1
"""Weight of the latest slot in the mean time that slots are held, from which a wait is estimated."""


class HoldingQueue(Queue):
    """First in, first out, on `concurrency` slots. A job's end is the end of its own work until it lets go."""

    def __init__(self, concurrency: int, queue_limit: int, speed: float = 1.0) -> None:
        """All slots free."""
        self._concurrency = concurrency
        self._queue_limit = queue_limit
        self._speed = speed
        self._line: dict[Job, None] = {}
        self._held: dict[Job, None] = {}
        self._mean_s = 0.0

    def __len__(self) -> int:
        """Jobs that have not let go."""
        return len(self._line) + len(self._held)

    def waiting(self, now: float) -> int:
        """Jobs in line."""
        return len(self._line)

    def busy(self, now: float) -> int:
        """Slots that are held."""
        return len(self._held)

    def wait_s(self, now: float) -> float:
        """An estimate: those ahead times the mean time that a slot is held, over the slots."""
        if len(self._held) < self._concurrency:
            return 0.0
        return (len(self._line) + 1) * self._mean_s / self._concurrency

    def arrive(self, demand: float, now: float, expires: float = NEVER) -> tuple[Job, Sequence[Job]]:
        """Take a slot, or stand in line; it is dropped if its turn comes at `expires` or later.

        Raises:
            QueueFullError: every slot is taken and the line is full.
        """
        job = Job(now, demand, NEVER, NEVER, 0.0, expires)
        if len(self._held) < self._concurrency:
            self._begin(job, now)
        elif len(self._line) < self._queue_limit:
            self._line[job] = None
        else:
            raise QueueFullError
        return job, UNCHANGED

    def _begin(self, job: Job, at: float) -> None:
        job.start = job.end = at
        if at < job.expires:
            job.end = at + job.demand / self._speed
            self._held[job] = None

    def finish(self, job: Job) -> None:
        """It has been answered; its slot is free since it let go."""

    def let_go(self, job: Job, at: float) -> Sequence[Job]:
        """The job ends, and its slot is free from `at` on; returns those whose turn has come."""
        if job in self._held:
            del self._held[job]
            job.end = at
            self._mean_s += SMOOTHING * (at - job.start - self._mean_s)
        begun = []
        while self._line and len(self._held) < self._concurrency:
            following = next(iter(self._line))
            del self._line[following]
            self._begin(following, at if at > following.arrival else following.arrival)
            begun.append(following)
        return begun

    def cancel(self, job: Job, now: float) -> Sequence[Job]:
        """Take a job out; returns those whose turn has come."""
        if self._line.pop(job, 0) is None:
            return UNCHANGED
        return self.let_go(job, now) if job in self._held else UNCHANGED

    def set_speed(self, speed: float, now: float) -> Sequence[Job]:
        """From `now` on work goes at `speed`; returns those at work."""
        factor, self._speed = self._speed / speed, speed
        working = [job for job in self._held if job.end > now]
        for job in working:
            job.end = now + (job.end - now) * factor
        return working

    def stopped(self, since: float, now: float) -> Sequence[Job]:
        """The process did not run between `since` and `now`: no work was done; returns those that were at work."""
        working = [job for job in self._held if job.end > since]
        for job in working:
            job.end += now - since
        return working
