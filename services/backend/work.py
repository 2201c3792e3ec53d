"""How demand is spent in a live replica: `sleep` by the planned queue, `cpu` by burning it in threads."""

import asyncio
import hashlib
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from services.backend import work_queue
from services.backend.holding import HoldingQueue
from services.backend.ledger import Entry
from services.backend.work_queue import NEVER, Job, QueueFullError

BEAT_S = 0.05
STOPPED_S = 0.25
"""A heartbeat so late means that the process did not run (SIGSTOP, or starved of CPU)."""
BLOCK = bytes(262_144)
"""Hashed again and again to burn CPU; hashing releases the GIL, so that slots burn in parallel."""
FAR_S = 1e6
"""No timer is set for later than so many seconds from now: the end of a job may not be known yet."""
Then = Callable[[], Awaitable[None]]
"""What a request waits for once its own work is done."""


@dataclass(slots=True)
class Served:
    """A job's times, planned ones for `sleep`; seconds."""

    queue_s: float
    service_s: float
    late_s: float
    """What the event loop's timer added."""
    is_dropped: bool = False
    """Its turn came too late: nothing was done."""


class Work(Protocol):
    """A way to spend demand."""

    def waiting(self) -> int:
        """Requests in line."""

    def busy(self) -> int:
        """Slots that are serving."""

    def wait_s(self) -> float:
        """Estimated time in line of a request that comes now, seconds."""

    def set_speed(self, speed: float) -> None:
        """Change the speed from now on."""

    async def serve(
        self, demand_s: float, within_s: float = NEVER, entry: Entry | None = None, then: Then | None = None
    ) -> Served:
        """Spend `demand_s` at speed 1, if its turn comes `within_s`, and await `then`; cancelling it frees the slot.

        `entry` of the ledger is told when the work is taken, and how it ends.

        Raises:
            QueueFullError: at once.
        """


class SleepWork:
    """Waits until the planned end."""

    def __init__(self, concurrency: int, queue_limit: int, speed: float, discipline: str = "fifo") -> None:
        """Needs a running event loop."""
        self._queue = work_queue.create(discipline, concurrency, queue_limit, speed)
        self._loop = asyncio.get_running_loop()
        self._timers: dict[Job, tuple[asyncio.TimerHandle, asyncio.Future[None]]] = {}
        self._unbegun: dict[Job, Entry] = {}  # those in line, where there is a ledger
        self._beat_at = self._loop.time()
        self._beat()

    def _beat(self) -> None:
        self._notice_stop()
        self._loop.call_later(BEAT_S, self._beat)

    def _notice_stop(self) -> None:
        now = self._loop.time()
        if now - self._beat_at > STOPPED_S:
            self._rearm(self._queue.stopped(self._beat_at, now))
        self._beat_at = now

    def _rearm(self, changed: Sequence[Job]) -> None:
        for job in changed:
            if job in self._timers:
                handle, future = self._timers[job]
                handle.cancel()
                self._timers[job] = (self._timer(job), future)
        if self._unbegun:
            self._write_begun(self._loop.time())

    def _write_begun(self, now: float) -> None:
        """Tell the ledger whose service has begun; in line they begin in the order in which they came.

        Not when it is planned: plans change, and one who is killed cannot take back what it wrote.
        """
        while self._unbegun:
            job = next(iter(self._unbegun))
            if job.start > now:
                return
            entry = self._unbegun.pop(job)
            if not job.is_dropped:
                entry.taken(job.start)

    def _timer(self, job: Job) -> asyncio.TimerHandle:
        return self._loop.call_at(min(job.end, self._loop.time() + FAR_S), self._end, job)

    def _end(self, job: Job) -> None:
        if self._loop.time() - self._beat_at > STOPPED_S:
            self._notice_stop()
            if job.end > self._loop.time():
                return  # planned anew
        _, future = self._timers.pop(job)
        self._queue.finish(job)
        if self._unbegun:
            self._write_begun(max(job.end, self._loop.time()))  # a timer may be early by the clock's resolution
        if not future.done():
            future.set_result(None)

    def waiting(self) -> int:
        """Requests in line."""
        return self._queue.waiting(self._loop.time())

    def busy(self) -> int:
        """Slots that are serving."""
        return self._queue.busy(self._loop.time())

    def wait_s(self) -> float:
        """Time in line of a request that came now, as planned."""
        return self._queue.wait_s(self._loop.time())

    def set_speed(self, speed: float) -> None:
        """Plan everything anew at `speed`."""
        self._notice_stop()
        self._rearm(self._queue.set_speed(speed, self._loop.time()))

    async def serve(
        self, demand_s: float, within_s: float = NEVER, entry: Entry | None = None, then: Then | None = None
    ) -> Served:
        """Wait until the planned end, and then without a slot."""
        job, late_s = await self._spend(demand_s, within_s, entry)
        if then is not None and not job.is_dropped:
            await then()
            job.end = self._loop.time()
        return Served(job.start - job.arrival, job.end - job.start, late_s, job.is_dropped)

    async def _spend(self, demand_s: float, within_s: float, entry: Entry | None) -> tuple[Job, float]:
        """Wait until the planned end; returns the job, and what the timer added to it, seconds."""
        self._notice_stop()
        now = self._loop.time()
        job, changed = self._queue.arrive(demand_s, now, now + within_s)
        self._rearm(changed)
        if entry is not None:
            entry.taken(job.start if job.start <= now else NEVER)
            if job.start > now:
                self._unbegun[job] = entry
        future = self._loop.create_future()
        self._timers[job] = (self._timer(job), future)
        try:
            await future
        except asyncio.CancelledError:
            self._notice_stop()
            if job in self._timers:
                self._timers.pop(job)[0].cancel()
            self._unbegun.pop(job, None)
            self._rearm(self._queue.cancel(job, self._loop.time()))
            if entry is not None:
                entry.ended("cancelled", job.start)
            raise
        if entry is not None:
            entry.ended("dropped" if job.is_dropped else "answered", job.start, job.end)
        return job, max(0.0, self._loop.time() - job.end)


class HeldWork(SleepWork):
    """As `SleepWork`, but the slot is held until `then` is over."""

    def __init__(self, concurrency: int, queue_limit: int, speed: float) -> None:
        """Needs a running event loop."""
        super().__init__(concurrency, queue_limit, speed)
        self._queue = self._holding = HoldingQueue(concurrency, queue_limit, speed)

    async def serve(
        self, demand_s: float, within_s: float = NEVER, entry: Entry | None = None, then: Then | None = None
    ) -> Served:
        """Wait until the planned end, and for what follows it."""
        job, late_s = await self._spend(demand_s, within_s, entry)
        has_called = False
        try:
            if then is not None and not job.is_dropped:
                has_called = True
                await then()
        finally:
            self._notice_stop()
            self._rearm(self._holding.let_go(job, self._loop.time() if has_called else job.end))
        return Served(job.start - job.arrival, job.end - job.start, late_s, job.is_dropped)


class CpuWork:
    """Burns CPU time in as many threads as there are slots; needs cores to burn on."""

    def __init__(self, concurrency: int, queue_limit: int, speed: float) -> None:
        """`speed` divides the CPU time burnt."""
        self._pool = ThreadPoolExecutor(concurrency)
        self._concurrency = concurrency
        self._queue_limit = queue_limit
        self._speed = speed
        self._inside = 0
        self._mean_s = 0.0

    def waiting(self) -> int:
        """Requests in line."""
        return max(0, self._inside - self._concurrency)

    def busy(self) -> int:
        """Slots that are serving."""
        return min(self._inside, self._concurrency)

    def wait_s(self) -> float:
        """Requests ahead times the mean service time, over the slots."""
        return max(0, self._inside - self._concurrency + 1) * self._mean_s / self._concurrency

    def set_speed(self, speed: float) -> None:
        """Requests that begin from now on go at `speed`."""
        self._speed = speed

    async def serve(
        self, demand_s: float, within_s: float = NEVER, entry: Entry | None = None, then: Then | None = None
    ) -> Served:
        """Burn `demand_s` / speed of CPU time, and then wait without a slot."""
        if self._inside >= self._concurrency + self._queue_limit:
            raise QueueFullError
        self._inside += 1
        arrival = time.monotonic()
        begun: list[float] = []

        def begins(start: float) -> None:
            begun.append(start)
            if entry is not None:
                entry.taken(start)

        if entry is not None:
            entry.taken(NEVER)
        give_up = threading.Event()
        cpu_s, expires = demand_s / self._speed, arrival + within_s
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, burn, cpu_s, give_up.is_set, expires, begins)
        try:
            start, end = await future
        except asyncio.CancelledError:
            give_up.set()
            if entry is not None:
                entry.ended("cancelled", *begun)
            raise
        finally:
            self._inside -= 1
        if entry is not None:
            entry.ended("answered" if start < expires else "dropped", start, end)
        if start < expires and demand_s > 0:  # a health check is no work
            self._mean_s += 0.1 * (end - start - self._mean_s)
        late_s = max(0.0, time.monotonic() - end)
        if then is not None and start < expires:
            await then()
            end = time.monotonic()
        return Served(start - arrival, end - start, late_s, start >= expires)


def burn(
    cpu_s: float, give_up: Callable[[], bool], expires: float, begins: Callable[[float], object]
) -> tuple[float, float]:
    """Use `cpu_s` seconds of this thread's CPU time, unless it begins too late; return start and end (monotonic)."""
    start = time.monotonic()
    if start >= expires:
        return start, start
    begins(start)
    end_cpu = time.thread_time() + cpu_s
    while time.thread_time() < end_cpu and not give_up():
        hashlib.blake2b(BLOCK).digest()
    return start, time.monotonic()
