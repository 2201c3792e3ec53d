"""A replica in virtual time: the live replica's queue, draws and faults, and what happens to its process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from experiments.plan.delays import Delay
from experiments.simulator.agenda import Action, Agenda
from experiments.simulator.checking import QueuedChecks
from experiments.simulator.playing import Playing
from experiments.simulator.process import Process
from experiments.simulator.registering import Registering, Registry
from experiments.simulator.request import Flight, Node
from services.backend import work_queue
from services.backend.draws import attempt_demand_ms
from services.backend.faults import Effects, FaultSet
from services.backend.load import Load
from services.backend.renewal import Leaving, may_leave
from services.backend.settings import ReplicaSettings
from services.backend.work_queue import Job, QueueFullError
from services.draws import uniform

POLL_S = 0.01
"""How often a replica that drains looks whether it may go, as the live one does."""


class VirtualReplica(Node):
    """One replica, its process and its connections."""

    def __init__(
        self,
        number: int,
        settings: ReplicaSettings,
        agenda: Agenda,
        routers: Sequence[Registry],
        round_trip: Delay,
        startup: Delay,
    ) -> None:
        """It is not running.

        Args:
            number: its place in the records.
            settings: as the live one is told.
            agenda: the simulation's.
            routers: those that it registers with.
            round_trip: to it and back.
            startup: from the start of the process until it serves.
        """
        self.number = number
        self.settings = settings
        self.id = settings.id
        self._is_noisy = settings.replica_noise > 0
        self.process = Process(agenda)
        self.is_starting = self.is_draining = False
        self.in_flight = 0
        self._agenda = agenda
        self._startup = startup
        self.registering = Registering(settings, self.process, agenda, routers, round_trip)
        self._playing = Playing(settings, self.process, agenda)
        self.queue = self._empty()
        self._jobs: dict[Job, Flight] = {}
        self._for_nobody: deque[Job] = deque()  # it goes on though its client has hung up, in the order of that
        self._checks = QueuedChecks(self, self.process, agenda)
        self.load: Load | None = None
        """What it knows of its own load, where a policy hears of it."""
        self._found: dict[Job, int] = {}  # how many others each met, likewise
        self._waiting: dict[Flight, None] = {}
        """Delayed, hanging, or not taken yet by a paused process."""
        self._waits_for_it: list[Callable[[float], None]] = []
        self.when_up: Callable[[str, float], None] | None = None
        """Called with its id when a process of it serves."""

    @property
    def is_up(self) -> bool:
        """Whether there is a process that serves."""
        return self.process.is_up

    @property
    def url(self) -> str:
        """What it registers."""
        return self.registering.url

    def _empty(self) -> work_queue.Queue:
        settings = self.settings
        return work_queue.create(settings.discipline, settings.concurrency, settings.queue_limit, settings.speed)

    # -- the process

    def begin(self, now: float, within_s: float) -> None:
        """Serve from a moment within the next `within_s` seconds on: it was started before."""
        self._start(now + uniform(self.settings.seed, self.id, self.id, "0", "begin") * within_s, None)

    def start(self, now: float, then: Callable[[float], None] | None = None) -> None:
        """Start the process; `then` is called when it serves, or has ended before. One that lives is left alone."""
        if self.process.is_up or self.is_starting:
            if then is not None and self.is_starting:
                self._waits_for_it.append(then)
            elif then is not None:
                then(now)
            return
        u = uniform(self.settings.seed, self.id, self.id, str(self.process.epoch), "startup")
        self._start(now + self._startup.at(u), then)

    def _start(self, up_at: float, then: Callable[[float], None] | None) -> None:
        self.is_starting = True
        self._waits_for_it = [] if then is None else [then]
        self.process.supersede()
        self.process.at(up_at, self._serve)

    def _serve(self, _: None, now: float) -> None:
        self.is_starting = self.is_draining = False
        self.process.begin()
        self.queue = self._empty()
        if self.load is not None:
            self.tell_load()
        self._playing.put({}, now)
        self.registering.begin(now)
        self._call(now)
        if self.when_up is not None:
            self.when_up(self.id, now)

    def _call(self, now: float) -> None:
        """Say to whom it matters that the process is up, or gone."""
        waits, self._waits_for_it = self._waits_for_it, []
        for then in waits:
            then(now)

    def kill(self, now: float) -> None:
        """SIGKILL: connections are cut, new ones refused."""
        self.process.end()
        self.is_starting = self.is_draining = False
        self.queue = self._empty()
        self._for_nobody.clear()
        self._checks.clear()
        self._cut_all(now)
        self._call(now)

    def _cut_all(self, now: float) -> None:
        """Cut the connections of those who have no answer yet."""
        for flight in [*(each for job, each in self._jobs.items() if job.end > now), *self._waiting]:
            self.release(flight, now, served=False)
            flight.reply_comes(now + flight.from_node_s, "reset", self._agenda)

    def pause(self, now: float) -> None:
        """SIGSTOP: connections stay, nothing happens."""
        self.process.pause(now)
        for job, flight in self._jobs.items():
            if job.end > now:
                flight.await_limit(now, self._agenda)

    def resume(self, now: float) -> None:
        """SIGCONT."""
        since = self.process.wake()
        if since is None:
            return
        self.queue.stopped(since, now)
        self.rearm([job for job in self._jobs if job.end > since], now)
        self.process.catch_up(now)

    def drain(self, now: float, then: Callable[[float], None], *, wakes: bool = True) -> None:
        """SIGTERM: announce it, finish what is in flight, leave; `then` is called at the end.

        Who stops a process in order also sends SIGCONT (`wakes`); a replica whose parent has gone is woken by nobody.
        """
        if wakes:
            self.resume(now)
        if not self.process.is_up:
            self.kill(now)
            then(now)
            return
        self._waits_for_it.append(then)
        if self.is_draining:
            return
        self.process.supersede()
        self.is_draining = True
        self.process.at(self.registering.announce_drain(now) + POLL_S, self._leave, (now, Leaving()))

    def _leave(self, since: tuple[float, Leaving], now: float) -> None:
        began, leaving = since
        elapsed_s, here = now - began, self.in_flight
        if not (leaving.looks(elapsed_s, here) and may_leave(elapsed_s, here, self.registering.coming())):
            self.process.at(now + POLL_S, self._leave, since)
            return
        self.registering.leave(now)
        self.kill(now)

    # -- faults and health checks

    def set_faults(self, active: FaultSet, now: float) -> None:
        """Make `active` the whole set, as `PUT /faults` does."""
        if "refuse" in active and not self._playing.refuses:
            self._cut_all(now)
        changed = self.queue.set_speed(self._playing.put(active, now), now)
        if self.process.paused_at is None:
            self.rearm(changed, now)

    def check(self, timeout_s: float, now: float, result: Action) -> None:
        """A health check, which may take `timeout_s`: `result((passed, reason), moment)` is called once."""
        queue = self._checks.stand if self.settings.checks == "queue" else None
        self._playing.answer_check(timeout_s, now, result, queue)

    # -- load

    def tell_load(self) -> None:
        """Keep account of its load from now on, as a live replica always does."""
        self.load = Load(self.settings.concurrency)
        self._found.clear()

    def probe(self, now: float) -> tuple[float, int, float | None] | None:
        """`/probe`: seconds until it answers, what it has in flight, and the latency to expect; None = no answer."""
        if not self.process.runs or self._playing.refuses or self.load is None:
            return None
        added_s = self._playing.answers_after_s(now)
        return None if added_s is None else (added_s, self.in_flight, self.load.latency_s(self.in_flight, now))

    # -- work

    def arrive(self, flight: Flight, now: float) -> None:
        """An attempt is here."""
        if self.process.runs and not self._playing.active:
            self.in_flight += 1
            self._work(flight, now)
        elif not self.process.is_up or self._playing.refuses:
            flight.reply_comes(now + flight.from_node_s, "connect", self._agenda)
        elif self.process.runs:
            self.in_flight += 1
            self._play(flight, now)
        else:
            self.in_flight += 1
            self._wait(flight, now)
            self.process.hold(self._take, flight)

    def _wait(self, flight: Flight, now: float) -> None:
        self._waiting[flight] = None
        flight.await_limit(now, self._agenda)

    def _take(self, flight: Flight, now: float) -> None:
        """The process goes on; its sender may have hung up meanwhile."""
        if flight in self._waiting:
            del self._waiting[flight]
            self._play(flight, now)

    def _play(self, flight: Flight, now: float) -> None:
        """Play the faults on it."""
        effects = self._playing.effects(flight.id, flight.attempt, now)
        if effects.added_s:
            self._wait(flight, now)
            self.process.at(now + effects.added_s, self._go_on, (flight, flight.began, effects))
        else:
            self._end(flight, effects, now)

    def _go_on(self, delayed: tuple[Flight, float, Effects], now: float) -> None:
        flight, began, effects = delayed
        if flight in self._waiting and flight.began == began:
            del self._waiting[flight]
            self._end(flight, effects, now)

    def _end(self, flight: Flight, effects: Effects, now: float) -> None:
        if effects.hang:
            self._wait(flight, now)
        elif effects.reset or effects.status is not None:
            self.in_flight -= 1
            if self.load is not None and not effects.reset:
                self.load.failed(now)
            status = None if effects.reset else effects.status
            flight.reply_comes(now + flight.from_node_s, "reset" if status is None else status, self._agenda)
        else:
            self._work(flight, now)

    def _work(self, flight: Flight, now: float) -> None:
        while self._for_nobody and self._for_nobody[0].end <= now:  # as the queue knows by itself
            self.queue.finish(self._for_nobody.popleft())
        demand_s = flight.demand_s
        if self._is_noisy:
            demand_s = attempt_demand_ms(self.settings, demand_s * 1e3, flight.id, flight.attempt) / 1e3
        try:
            job, changed = self.queue.arrive(demand_s, now, flight.turn_by)
        except QueueFullError:
            self.in_flight -= 1
            if self.load is not None:
                self.load.failed(now)
            flight.reply_comes(now + flight.from_node_s, 503, self._agenda)
            return
        flight.job = job
        self._jobs[job] = flight
        if self.load is not None:
            self._found[job] = self.in_flight - 1
        self._take_up(flight, job, now)
        if changed:
            self.rearm(changed, now)

    def _take_up(self, flight: Flight, job: Job, now: float) -> None:
        at = job.end + flight.from_node_s
        if at > flight.limit_at:
            flight.await_limit(now, self._agenda)
        else:  # as `reply_comes` does, without a call: here every request comes by
            flight.reply, flight.is_late, flight.due = 504 if job.is_dropped else 200, False, at
            self._agenda.at(at, flight.owner.settle, flight)

    def rearm(self, jobs: Iterable[Job], now: float) -> None:
        """The ends of these have changed."""
        for job in jobs:
            if (flight := self._jobs.get(job)) is None:
                self._checks.again(job, now)
                continue
            at = max(job.end + flight.from_node_s, now)
            if not (flight.is_late and at > flight.limit_at):  # else it waits for its limit as before
                flight.reply_comes(at, 504 if job.is_dropped else 200, self._agenda)

    def go_on(self, flight: Flight, now: float) -> None:
        """Its sender waits longer than it had said."""
        if (job := flight.job) is not None and self.process.paused_at is None:
            flight.reply_comes(max(job.end + flight.from_node_s, now), 504 if job.is_dropped else 200, self._agenda)
        else:
            flight.await_limit(now, self._agenda)

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
        if self.load is not None:
            found = self._found.pop(job, 0)
            if served and job.is_dropped:
                self.load.failed(now)
            elif served:
                self.load.served(found, job.end - flight.began - flight.to_node_s, job.end - job.start, now)
        if served:
            self.queue.finish(job)
        elif self.process.paused_at is not None:  # the process hears of it when it goes on
            self.process.hold(self._hung_up, job)
        else:
            self._hung_up(job, now)

    def _hung_up(self, job: Job, now: float) -> None:
        if self.settings.on_hangup == "cancel":
            self.rearm(self.queue.cancel(job, now), now)
        else:
            self._go_on_for_nobody(job, now)

    def _go_on_for_nobody(self, job: Job, now: float) -> None:
        self._for_nobody.append(job)
