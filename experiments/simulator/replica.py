"""A replica in virtual time: the live replica's queue, draws and faults, and what happens to its process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from experiments.plan.delays import Delay
from experiments.simulator.agenda import Agenda, Do
from experiments.simulator.request import Flight
from services.backend import faults, work_queue
from services.backend.draws import attempt_demand_ms, uniform
from services.backend.registration import Renewal
from services.backend.settings import DRAIN_S, SETTLE_S, ReplicaSettings
from services.backend.work_queue import Job, QueueFullError

if TYPE_CHECKING:
    from experiments.simulator.router import VirtualRouter

POLL_S = 0.01
"""How often a replica that drains looks whether it may go, as the live one does."""
WORD_S = 1.0
"""How long a replica waits for the router's answer to its registration, as the live one does."""
Check = Callable[[bool, str, float], None]
"""Called with the result of a health check: passed, reason, now."""


class VirtualReplica:
    """One replica, its process and its connections."""

    def __init__(
        self,
        number: int,
        settings: ReplicaSettings,
        agenda: Agenda,
        routers: Sequence[VirtualRouter],
        hop: Delay,
        startup: Delay,
    ) -> None:
        """It is not running.

        Args:
            number: its place in the records.
            settings: as the live one is told.
            agenda: the simulation's.
            routers: those that it registers with.
            hop: to it and back.
            startup: from the start of the process until it serves.
        """
        self.number = number
        self.settings = settings
        self.id = settings.id
        self.url = f"http://{settings.id}"
        self.is_up = False
        self.is_starting = False
        self.is_draining = False
        self.in_flight = 0
        self._agenda = agenda
        self._routers = routers
        self._hop = hop
        self._startup = startup
        self._epoch = 0
        """Counts processes, so that what an ended one had planned does not happen."""
        self.queue = self._empty()
        self._jobs: dict[Job, Flight] = {}
        self._waiting: dict[Flight, None] = {}
        """Delayed, hanging, or not taken yet by a paused process."""
        self._faults: faults.FaultSet = {}
        self._faults_since = 0.0
        self._paused_at: float | None = None
        self._held: list[tuple[Do, Any]] = []
        """What happens as soon as a paused process goes on."""
        self._checks = 0
        self._then: Callable[[float], None] | None = None

    @property
    def epoch(self) -> int:
        """Tells one process from the next."""
        return self._epoch

    def _empty(self) -> work_queue.Queue:
        settings = self.settings
        return work_queue.create(settings.discipline, settings.concurrency, settings.queue_limit, settings.speed)

    # -- the process

    def begin(self, now: float, within_s: float) -> None:
        """Serve from a moment within the next `within_s` seconds on: it was started before."""
        u = uniform(self.settings.seed, self.id, self.id, "0", "begin")
        self._start(now + u * within_s, None)

    def start(self, now: float, then: Callable[[float], None] | None = None) -> None:
        """Start the process; `then` is called when it serves, or has ended before. One that lives is left alone."""
        if self.is_up or self.is_starting:
            self._then = _both(self._then, then) if self.is_starting else self._then
            if self.is_up and then is not None:
                then(now)
            return
        u = uniform(self.settings.seed, self.id, self.id, str(self._epoch), "startup")
        self._start(now + self._startup.at(u), then)

    def _start(self, up_at: float, then: Callable[[float], None] | None) -> None:
        self.is_starting = True
        self._epoch += 1
        self._then = then
        self._agenda.at(up_at, self._serve, self._epoch)

    def _serve(self, epoch: int, now: float) -> None:
        if epoch != self._epoch:
            return
        self.is_up, self.is_starting, self.is_draining = True, False, False
        self.queue = self._empty()
        self._faults = {}
        about = {"url": self.url, "weight": self.settings.weight, "concurrency": self.settings.concurrency}
        for router in self._routers:
            self._agenda.at(now, self._renew, (epoch, router, Renewal(about)))
        self._call(now)

    def _call(self, now: float) -> None:
        """Say to whom it matters that the process is up, or gone."""
        then, self._then = self._then, None
        if then is not None:
            then(now)

    def kill(self, now: float) -> None:
        """SIGKILL: connections are cut, new ones refused."""
        self._epoch += 1
        self.is_up = self.is_starting = self.is_draining = False
        self._paused_at = None
        self._held.clear()
        self.queue = self._empty()
        self._cut_all(now)
        self._call(now)

    def _cut_all(self, now: float) -> None:
        """Cut the connections of those who have no answer yet."""
        under_way = [flight for job, flight in self._jobs.items() if job.end > now]
        for flight in [*under_way, *self._waiting]:
            self.release(flight, now, served=False)
            self._reply(flight, now + flight.back_s, "reset")

    def pause(self, now: float) -> None:
        """SIGSTOP: connections stay, nothing happens."""
        self._paused_at = now
        for job, flight in self._jobs.items():
            if job.end > now:
                self._await_limit(flight, now)

    def resume(self, now: float) -> None:
        """SIGCONT."""
        if self._paused_at is None:
            return
        since, self._paused_at = self._paused_at, None
        self.queue.stopped(since, now)
        self._rearm([job for job in self._jobs if job.end > since], now)
        held, self._held = self._held, []
        for do, what in held:
            do(what, now)

    def drain(self, now: float, then: Callable[[float], None], *, wakes: bool = True) -> None:
        """SIGTERM: announce it, finish what is in flight, leave; `then` is called at the end.

        Who stops a process in order also sends SIGCONT (`wakes`); a replica whose parent has gone is woken by nobody.
        """
        if wakes:
            self.resume(now)
        if not self.is_up:
            self.kill(now)
            then(now)
            return
        self._then = _both(self._then, then)
        if self.is_draining:
            return
        self._epoch += 1
        self.is_draining = True
        for router in self._routers:
            about = Renewal({"url": self.url})
            self._agenda.at(now + self._hop.median_s / 2, router.hear, (self.id, about.farewell(DRAIN_S)))
        self._agenda.at(now + self._hop.median_s + POLL_S, self._leave, (self._epoch, now))

    def _leave(self, what: tuple[int, float], now: float) -> None:
        epoch, began = what
        if epoch != self._epoch:
            return
        if self._paused_at is not None:
            self._held.append((self._leave, what))
            return
        if now < began + (DRAIN_S if self.in_flight else SETTLE_S):
            self._agenda.at(now + POLL_S, self._leave, what)
            return
        for router in self._routers:
            router.forget(self.id, self.url, now)
        self.kill(now)

    def _renew(self, what: tuple[int, VirtualRouter, Renewal], now: float) -> None:
        epoch, router, renewal = what
        if epoch != self._epoch:
            return
        if self._paused_at is not None:
            self._held.append((self._renew, what))
            return
        if router.is_paused:
            took, status = WORD_S, None
        else:
            took, status = self._hop.median_s, router.hear((self.id, renewal.body()), now)
        self._agenda.at(now + took + renewal.pause_s(status), self._renew, what)

    # -- faults

    def set_faults(self, active: faults.FaultSet, now: float) -> None:
        """Make `active` the whole set, as `PUT /faults` does."""
        if "refuse" in active and "refuse" not in self._faults:
            self._cut_all(now)
        self._faults = active
        self._faults_since = now
        changed = self.queue.set_speed(faults.speed_under(active, self.settings.speed), now)
        if self._paused_at is None:
            self._rearm(changed, now)

    def _effects(self, request_id: str, attempt: str, now: float, *, check: bool) -> faults.Effects:
        settings = self.settings
        return faults.effects(
            self._faults,
            lambda purpose: uniform(settings.seed, request_id, settings.id, attempt, purpose),
            now - self._faults_since,
            check=check,
        )

    # -- work

    def arrive(self, flight: Flight, now: float) -> None:
        """An attempt reaches the replica."""
        if not self.is_up or "refuse" in self._faults:
            self._reply(flight, now + flight.back_s, "connect")
            return
        self.in_flight += 1
        if self._paused_at is not None:
            self._wait(flight, now)
            self._held.append((self._take, flight))
        elif self._faults:
            self._play(flight, now)
        else:
            self._work(flight, now)

    def _wait(self, flight: Flight, now: float) -> None:
        self._waiting[flight] = None
        self._await_limit(flight, now)

    def _take(self, flight: Flight, now: float) -> None:
        """The process goes on; its sender may have hung up meanwhile."""
        if flight in self._waiting:
            del self._waiting[flight]
            self._play(flight, now)

    def _play(self, flight: Flight, now: float) -> None:
        """Play the faults on it."""
        effects = self._effects(flight.id, _attempt(flight), now, check=False)
        if effects.added_s:
            self._wait(flight, now)
            self._agenda.at(now + effects.added_s, self._go_on, (self._epoch, flight, flight.began, effects))
        else:
            self._end(flight, effects, now)

    def _go_on(self, what: tuple[int, Flight, float, faults.Effects], now: float) -> None:
        epoch, flight, began, effects = what
        if epoch != self._epoch or flight not in self._waiting or flight.began != began:
            return
        if self._paused_at is not None:
            self._held.append((self._go_on, what))
            return
        del self._waiting[flight]
        self._end(flight, effects, now)

    def _end(self, flight: Flight, effects: faults.Effects, now: float) -> None:
        if effects.hang:
            self._wait(flight, now)
        elif effects.reset:
            self.in_flight -= 1
            self._reply(flight, now + flight.back_s, "reset")
        elif effects.status is not None:
            self.in_flight -= 1
            self._reply(flight, now + flight.back_s, effects.status)
        else:
            self._work(flight, now)

    def _work(self, flight: Flight, now: float) -> None:
        demand_s = flight.demand_s
        if self.settings.replica_noise > 0:
            demand_s = attempt_demand_ms(self.settings, demand_s * 1e3, flight.id, _attempt(flight)) / 1e3
        try:
            job, changed = self.queue.arrive(demand_s, now)
        except QueueFullError:
            self.in_flight -= 1
            self._reply(flight, now + flight.back_s, 503)
            return
        flight.job = job
        self._jobs[job] = flight
        at = job.end + flight.back_s
        if at > flight.limit_at:
            self._await_limit(flight, now)
        else:  # as `_reply` does, without a call: here every request comes by
            flight.reply, flight.is_late, flight.due = 200, False, at
            self._agenda.at(at, flight.owner.settle, flight)
        if changed:
            self._rearm(changed, now)

    def _reply(self, flight: Flight, at: float, reply: int | str) -> None:
        """The reply will be there at `at`, unless its sender waits no longer."""
        if at > flight.limit_at:
            self._await_limit(flight, self._agenda.now)
            return
        flight.reply, flight.is_late, flight.due = reply, False, at
        self._agenda.at(at, flight.owner.settle, flight)

    def _await_limit(self, flight: Flight, now: float) -> None:
        flight.is_late, flight.due = True, max(flight.limit_at, now)
        self._agenda.at(flight.due, flight.owner.settle, flight)

    def _rearm(self, jobs: Iterable[Job], now: float) -> None:
        """The ends of these have changed."""
        for job in jobs:
            flight = self._jobs.get(job)
            if flight is None:
                continue
            at = max(job.end + flight.back_s, now)
            if not (flight.is_late and at > flight.limit_at):  # else it waits for its limit as before
                self._reply(flight, at, 200)

    def release(self, flight: Flight, now: float, *, served: bool) -> None:
        """Its sender has the reply, or (not `served`) has hung up."""
        job = flight.job
        if job is None:
            if self._waiting.pop(flight, 0) is None:
                self.in_flight -= 1
            return
        flight.job = None
        if self._jobs.pop(job, None) is None:
            return
        self.in_flight -= 1
        if served:
            self.queue.finish(job)
        elif self._paused_at is not None:  # the process hears of it when it goes on
            self._held.append((self._hung_up, job))
        else:
            self._hung_up(job, now)

    def _hung_up(self, job: Job, now: float) -> None:
        if self.settings.on_hangup == "cancel":
            self._rearm(self.queue.cancel(job, now), now)
        else:
            self._agenda.at(max(job.end, now), self._for_nobody, job)

    def _for_nobody(self, job: Job, now: float) -> None:
        """Work went on after its client had hung up; it may have been planned anew."""
        if self._paused_at is not None:
            self._held.append((self._for_nobody, job))
        elif job.end > now:
            self._agenda.at(job.end, self._for_nobody, job)
        else:
            self.queue.finish(job)

    # -- health checks

    def check(self, timeout_s: float, now: float, result: Check) -> None:
        """Answer a health check: at once where nothing is wrong, else at its moment."""
        if self.is_up and not self._faults and self._paused_at is None:
            result(True, "status 200", now)
            return
        if not self.is_up or "refuse" in self._faults:
            result(False, "connection refused", now)
            return
        answered: list[bool] = []

        def once(outcome: tuple[bool, str], moment: float) -> None:
            if not answered:
                answered.append(True)
                result(*outcome, moment)

        self._agenda.at(now + timeout_s, once, (False, f"no answer within {timeout_s:g} s"))
        if self._paused_at is not None:
            self._held.append((once, (True, "status 200")))
            return
        self._checks += 1
        effects = self._effects(f"check-{self._checks}", "1", now, check=True)
        if not effects.hang:
            passed = not effects.reset and effects.status is None
            reason = "reset" if effects.reset else f"status {effects.status or 200}"
            self._agenda.at(now + effects.added_s, once, (passed, reason))


def _attempt(flight: Flight) -> str:
    return "1" if flight.attempts is None else str(flight.attempts.count)


def _both(one: Callable[[float], None] | None, other: Callable[[float], None] | None) -> Callable[[float], None] | None:
    """Calls each that there is."""
    if one is None or other is None:
        return one or other

    def call(now: float) -> None:
        one(now)
        other(now)

    return call
