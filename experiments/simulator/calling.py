"""A replica in virtual time that calls a second tier: its own work, then its calls, then the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from experiments.plan.delays import Delay
from experiments.simulator.agenda import Agenda
from experiments.simulator.registering import Registry
from experiments.simulator.replica import VirtualReplica
from experiments.simulator.request import HTTP_ERROR, TIMEOUT, Flight, Place, Records
from experiments.simulator.serving import Serving
from services.backend import work_queue
from services.backend.calls import ENOUGH, FAILED, LATE, Gathering, Wanted, wanted
from services.backend.holding import HoldingQueue
from services.backend.settings import ReplicaSettings
from services.backend.work_queue import Job
from services.draws import uniform

PENDING = 0
"""Of a request: it is not known yet what it is answered."""


class Asked:
    """A request at a replica, from its arrival until it is answered or nobody works on it any more."""

    def __init__(self, flight: Flight, job: Job) -> None:
        self.job = job
        self.number = flight.number
        self.id = flight.id
        self.key = flight.key
        self.attempt = flight.attempt
        self.expires = flight.turn_by
        self.status = PENDING
        self.is_at_work = True
        self.gathering: Gathering | None = None
        self.calls: dict[Call, None] = {}
        """Under way."""


class Call(Flight):
    """A request to the second tier."""

    def __init__(
        self,
        asked: Asked,
        call: Wanted,
        ended: Callable[[Call, float], None],
        client_limit_at: float,
        to_client_s: float,
        to_node_s: float,
        from_node_s: float,
        owner: Serving,
    ) -> None:
        """`ended` is called with it when its answer is there."""
        super().__init__(
            asked.number, call.key, call.demand_ms / 1e3, client_limit_at, to_client_s, to_node_s, from_node_s, owner
        )
        self.id = call.id
        self.asked = asked
        self.ended = ended
        self.status = PENDING
        self.place: Place | None = None

    def stands(self, place: Place) -> None:
        """Who hangs up leaves the line."""
        self.place = place


class CallRecords(Records):
    """What becomes of the calls of a run: counts, and a word to who has made them."""

    def __init__(self, agenda: Agenda) -> None:
        """None has been made."""
        super().__init__(0)
        self._agenda = agenda
        self.made = self.attempted = self.hedged = self.failed = 0

    def end(
        self, flight: Flight, at: float, outcome: int, status: int = 0, replica: int = -1, *, is_hedge: bool = False
    ) -> None:
        """The replica hears of it at `at`."""
        if flight.is_over:
            return
        flight.is_over = True
        self.count(flight)
        assert isinstance(flight, Call)
        flight.status = status or (LATE if outcome == TIMEOUT else FAILED)
        if outcome == HTTP_ERROR:
            self.failed += 1
        self._agenda.at(max(at, self._agenda.now), flight.ended, flight)

    def count(self, flight: Flight) -> None:
        """No attempt of it follows."""
        if flight.attempts is not None:
            self.attempted += flight.attempts.count
            self.hedged += flight.attempts.hedges

    def served(self, number: int, queue_s: float, service_s: float) -> None:
        """Nobody keeps it."""


@dataclass
class Downstream:
    """The second tier, as those before it see it."""

    router: Serving
    records: CallRecords
    network: Delay
    """To its router, from there to a replica, and back."""
    own: Delay
    """Its router's own time."""


class CallingReplica(VirtualReplica):
    """Holds its slot while the calls are under way, or lets it go, as its settings say."""

    def __init__(
        self,
        number: int,
        settings: ReplicaSettings,
        agenda: Agenda,
        routers: Sequence[Registry],
        round_trip: Delay,
        startup: Delay,
        downstream: Downstream,
    ) -> None:
        """As for `VirtualReplica`; `downstream` is whom it calls."""
        self._downstream = downstream
        self._asked: dict[Job, Asked] = {}
        super().__init__(number, settings, agenda, routers, round_trip, startup)

    def _empty(self) -> work_queue.Queue:
        settings = self.settings
        if settings.slot == "held":
            return HoldingQueue(settings.concurrency, settings.queue_limit, settings.speed)
        return super()._empty()

    # -- its own work

    def _take_up(self, flight: Flight, job: Job, now: float) -> None:
        self._asked[job] = Asked(flight, job)
        flight.await_limit(now, self._agenda)
        self._plan(job, now)

    def _plan(self, job: Job, now: float) -> None:
        if job.end < work_queue.NEVER:
            self._agenda.at(max(job.end, now), self._worked, job)

    def rearm(self, jobs: Iterable[Job], now: float) -> None:
        """The ends of these have changed."""
        for job in jobs:
            if job in self._asked:
                self._plan(job, now)
            else:
                self._checks.again(job, now)

    def _worked(self, job: Job, now: float) -> None:
        """Its own work is done, unless it was planned anew: then this is called again."""
        asked = self._asked.get(job)
        if asked is None or not asked.is_at_work or job.end > now:
            return
        if self.process.paused_at is not None:
            self.process.hold(self._worked, job)
            return
        asked.is_at_work = False
        if job.is_dropped:
            self._answer(asked, LATE, now)
            return
        calls, needed = wanted(self.settings, asked.id, asked.attempt, asked.key, self._playing.active)
        if not calls:
            self._answer(asked, ENOUGH, now)
            return
        if self.settings.slot == "free":
            self.queue.finish(job)
        asked.gathering = Gathering(needed, len(calls))
        for call in calls:
            self._call_out(asked, call, now)

    # -- its calls

    def _call_out(self, asked: Asked, call: Wanted, now: float) -> None:
        downstream = self._downstream
        u = uniform(self.settings.seed, call.id, "", "1", "hop")
        there_s, own_s = downstream.network.there_s, downstream.own.back_at(u)
        flight = Call(
            asked,
            call,
            self._called,
            now + self.settings.call_timeout_s,
            downstream.network.back_at(u) + own_s,
            there_s,
            downstream.network.back_at(uniform(self.settings.seed, call.id, "", "1", "back")),
            downstream.router,
        )
        at = now + there_s + downstream.own.there_s
        if asked.expires < work_queue.NEVER:
            flight.expires = asked.expires + at - now
        asked.calls[flight] = None
        downstream.records.made += 1
        self._agenda.at(at, downstream.router.arrive, flight)

    def _called(self, call: Call, now: float) -> None:
        """The answer to a call is here."""
        if self.process.paused_at is not None:
            self.process.hold(self._called, call)
            return
        asked = call.asked
        gathering = asked.gathering
        if asked.calls.pop(call, 0) is not None or gathering is None or asked.status != PENDING:
            return
        if gathering.answered(call.status):
            assert gathering.status is not None
            self._hang_up_all(asked, now)
            self._answer(asked, gathering.status, now)

    def _hang_up_all(self, asked: Asked, now: float) -> None:
        """No call of it is waited for any more."""
        calls, asked.calls = asked.calls, {}
        for call in calls:
            if not call.is_over:
                self._downstream.records.count(call)
                if call.place is not None:
                    call.place.leave(now)
                self._downstream.router.abandon(call, now)

    # -- its answer

    def _answer(self, asked: Asked, status: int, now: float) -> None:
        job, asked.status = asked.job, status
        if not job.is_dropped:
            job.end = max(job.end, now)
        queue = self.queue
        if isinstance(queue, HoldingQueue):
            self.rearm(queue.let_go(job, job.end), now)
        flight = self._jobs.get(job)
        if flight is None:  # nobody waits for it
            del self._asked[job]
            queue.finish(job)
        else:
            flight.reply_comes(max(now, job.end) + flight.from_node_s, status, self._agenda)

    def go_on(self, flight: Flight, now: float) -> None:
        """Its sender waits longer than it had said."""
        asked = None if flight.job is None else self._asked.get(flight.job)
        if asked is not None and asked.status != PENDING:
            flight.reply_comes(now + flight.from_node_s, asked.status, self._agenda)
        else:
            flight.await_limit(now, self._agenda)

    # -- nobody waits for it

    def release(self, flight: Flight, now: float, *, served: bool) -> None:
        """Its sender has the reply, or (not `served`) has hung up."""
        job = flight.job
        super().release(flight, now, served=served)
        if served and job is not None:
            self._asked.pop(job, None)

    def _hung_up(self, job: Job, now: float) -> None:
        asked = self._asked.get(job)
        if asked is None:
            return
        if self.settings.on_hangup == "finish" and asked.status == PENDING:
            return  # it works on for nobody, and lets go in the end
        del self._asked[job]
        self._hang_up_all(asked, now)
        self.rearm(self.queue.cancel(job, now), now)

    def _cut_all(self, now: float) -> None:
        for job, asked in list(self._asked.items()):
            flight = self._jobs.get(job)
            if flight is not None and asked.status == PENDING:
                self.release(flight, now, served=False)
                flight.reply_comes(now + flight.from_node_s, "reset", self._agenda)
        super()._cut_all(now)

    def kill(self, now: float) -> None:
        """SIGKILL: its calls are cut as well."""
        super().kill(now)
        for asked in self._asked.values():
            self._hang_up_all(asked, now)
        self._asked.clear()
