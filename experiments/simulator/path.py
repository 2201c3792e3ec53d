"""A replica behind a path that can be hurt: what the live runs' relay does to bytes, done to attempts in virtual time.

Which connection an attempt goes by matters here alone, so here alone the router's pool is played: the last one used is
used first, one that has been idle for too long is closed, and an attempt that was not answered closes its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Final, cast

from experiments.plan.delays import Delay
from experiments.relay.faults import FAIR, Weather
from experiments.simulator.agenda import Action, Agenda
from experiments.simulator.ledger import LedgeredReplica, Row
from experiments.simulator.registering import Registry
from experiments.simulator.request import UNREACHABLE, Flight
from experiments.simulator.serving import Serving
from services.backend.faults import Effects, FaultSet
from services.backend.settings import ReplicaSettings
from services.backend.work_queue import Job
from services.router.idle_limit import IdleLimit
from services.router.settings import KEEPALIVE_S

GONE: Final = 0
HELD: Final = 1
COMING: Final = 2
HERE: Final = 3
CUT: Final = 4
"""Where an attempt is: it never arrives, is held back, is on its way, has come to the replica, or was cut off there."""
NEVER_S: Final = float("inf")
NEVER_IDLE: Final = float("-inf")
"""Of a connection that is new."""


RouterProcess = tuple[Serving, int]
"""A router, and the epoch of its process."""
Limited = dict[RouterProcess, IdleLimit]


class Connection:
    """One connection between a router and the replica."""

    __slots__ = ("idle_at", "is_forgotten")

    def __init__(self) -> None:
        """It is made."""
        self.idle_at = NEVER_IDLE
        """Since when nothing is asked on it."""
        self.is_forgotten = False


class Trip:
    """An attempt that this replica is to have."""

    __slots__ = ("back_s", "connection", "cut_s", "flight", "way_back_s", "where")

    def __init__(self, flight: Flight, connection: Connection) -> None:
        """It is on its way."""
        self.flight = flight
        self.connection = connection
        self.where = GONE
        self.back_s = flight.from_node_s
        """The way back when nothing hurts it, seconds."""
        self.way_back_s = self.back_s
        """As things are; infinite = nothing gets back."""
        self.cut_s = NEVER_S
        """When its connection was reset at the replica."""

    def ended(self, now: float) -> bool:
        """Whether its answer had left by now."""
        job = self.flight.job
        return job is not None and job.end <= now


class RemoteReplica(LedgeredReplica):
    """As any, but for the way to it. Its ledger dates attempts as if nothing had delayed them."""

    def __init__(
        self,
        number: int,
        settings: ReplicaSettings,
        agenda: Agenda,
        routers: Sequence[Registry],
        round_trip: Delay,
        startup: Delay,
        rows: list[Row],
        connect_s: float,
        limits: Limited,
    ) -> None:
        """As `LedgeredReplica`.

        Args:
            number, settings, agenda, routers, round_trip, startup, rows: likewise.
            connect_s: how long a router waits for a connection.
            limits: what each router has learnt of idle ones; all replicas share it.
        """
        super().__init__(number, settings, agenda, routers, round_trip, startup, rows=rows)
        self._connect_s = connect_s
        self._weather = FAIR
        self._rng = random.Random(f"{settings.seed}-{settings.id}")
        self._idle: dict[RouterProcess, list[Connection]] = {}
        self._limits = limits
        self._trips: dict[Flight, Trip] = {}

    def _added_s(self) -> float:
        return self._weather.added_s(lambda: self._rng.random() or 0.5)

    # -- the path

    def set_path(self, weather: Weather, now: float) -> None:
        """From now on."""
        for trip in self._trips.values():
            if trip.where == HERE and trip.ended(now) and trip.flight.from_node_s > trip.way_back_s:
                trip.connection.is_forgotten = True  # for good: it had been silent for too long as its answer came
        before, self._weather = self._weather, weather
        if weather.forgets_all_after(before):
            for idle in self._idle.values():
                for connection in idle:
                    connection.is_forgotten = True
            for trip in self._trips.values():
                trip.connection.is_forgotten = True
                if trip.where != HERE:
                    trip.where = GONE
        self.registering.set_late(weather.late_s, now)
        for trip in list(self._trips.values()):
            if trip.where == HELD and not weather.loses_requests:
                self._comes((trip, trip.flight.began), now)
            elif trip.where == HERE:
                self._turn_back(trip, now)
            elif trip.where == CUT:
                self._tell_cut(trip, now)

    def _turn_back(self, trip: Trip, now: float) -> None:
        """The way back has changed under an answer that is yet to come."""
        flight, is_paused = trip.flight, self.process.paused_at is not None
        self._set_way_back(trip)
        if flight.job is not None and not (is_paused and flight.job.end > now):
            self.rearm([flight.job], now)

    def _set_way_back(self, trip: Trip) -> None:
        lost = self._weather.loses_answers or trip.connection.is_forgotten
        trip.flight.from_node_s = trip.way_back_s = NEVER_S if lost else trip.back_s + self._added_s()

    def _leaves(self, flight: Flight, at: float) -> None:
        """Something is to go back at `at`: lost where nothing has moved on its connection for too long by then."""
        if (trip := self._trips.get(flight)) is not None:
            flight.from_node_s = NEVER_S if self._weather.forgets(at - flight.began) else trip.way_back_s

    # -- connections

    def _connection_for(self, flight: Flight, now: float) -> Connection | None:
        """The router's connection for an attempt; None = it cannot make one."""
        key, attempts = self._key(flight), flight.attempts
        idle, limit = self._idle.get(key), self._limits.setdefault(key, IdleLimit())
        while idle and not (attempts is not None and attempts.is_wary):
            connection = idle.pop()
            if connection.idle_at > now - KEEPALIVE_S and limit.trusts(now - connection.idle_at, now):
                if self._weather.forgets(now - connection.idle_at):
                    connection.is_forgotten = True
                return connection
        return Connection() if self._weather.connects else None

    def _key(self, flight: Flight) -> RouterProcess:
        router = cast(Serving, flight.owner)
        return router, router.process.epoch

    # -- work

    def arrive(self, flight: Flight, now: float) -> None:
        """An attempt leaves its router."""
        connection = self._connection_for(flight, now)
        if connection is None:
            flight.reply_comes(max(now, flight.began + self._connect_s), UNREACHABLE, self._agenda)
            return
        trip = self._trips[flight] = Trip(flight, connection)
        if connection.is_forgotten:
            flight.await_limit(now, self._agenda)
        elif self._weather.loses_requests:
            trip.where = HELD
            flight.await_limit(now, self._agenda)
        elif (added_s := self._added_s()) > 0:
            trip.where = COMING
            flight.await_limit(now, self._agenda)
            flight.turn_by += added_s  # what it is told of its time counts from when it arrives
            self._agenda.at(now + added_s, self._comes, (trip, flight.began))
        else:
            self._comes((trip, flight.began), now)

    def _comes(self, coming: tuple[Trip, float], now: float) -> None:
        """It is here, if its sender still waits."""
        trip, began = coming
        flight = trip.flight
        is_lost = trip.where == CUT or trip.connection.is_forgotten
        if is_lost or self._trips.get(flight) is not trip or flight.began != began:
            return
        if trip.where == COMING and self._weather.loses_requests:
            trip.where = HELD
            return
        trip.where = HERE
        self._set_way_back(trip)
        super().arrive(flight, now)

    def _end(self, flight: Flight, effects: Effects, now: float) -> None:
        self._leaves(flight, now)
        super()._end(flight, effects, now)

    def _take_up(self, flight: Flight, job: Job, now: float) -> None:
        self._leaves(flight, job.end)
        super()._take_up(flight, job, now)

    def rearm(self, jobs: Iterable[Job], now: float) -> None:
        """The ends of these have changed."""
        changed = list(jobs)
        for job in changed:
            if (flight := self._jobs.get(job)) is not None and job.end > now:
                self._leaves(flight, job.end)
        super().rearm(changed, now)

    def go_on(self, flight: Flight, now: float) -> None:
        """Its sender waits longer than it had said."""
        trip = self._trips.get(flight)
        if trip is None or trip.where == HERE:
            super().go_on(flight, now)
        elif trip.where == CUT:
            self._tell_cut(trip, now)
        else:
            flight.await_limit(now, self._agenda)

    def release(self, flight: Flight, now: float, *, served: bool) -> None:
        """Its sender has the reply, or has hung up, and closes the connection."""
        trip = self._trips.pop(flight, None)
        if trip is not None and not served and flight.is_late and now >= flight.limit_at:
            self._silent(flight, trip.connection, now)
        if trip is None or trip.where == HERE:
            super().release(flight, now, served=served)
        if trip is not None and served and not isinstance(flight.reply, str):
            trip.connection.idle_at = now
            self._idle.setdefault(self._key(flight), []).append(trip.connection)

    def _silent(self, flight: Flight, connection: Connection, now: float) -> None:
        """There was no answer in time, as the live router's pool takes it."""
        if connection.idle_at == NEVER_IDLE:
            return
        key = self._key(flight)
        self._limits.setdefault(key, IdleLimit()).silent(flight.began - connection.idle_at, now)
        self._idle[key] = [each for each in self._idle.get(key, ()) if each.idle_at >= flight.began]
        if flight.attempts is not None:
            flight.attempts.is_wary = True

    def kill(self, now: float) -> None:
        """SIGKILL: the idle connections are closed, too."""
        super().kill(now)
        self._idle.clear()

    def _cut_all(self, now: float) -> None:
        """Connections are reset, also those on which an attempt is still on its way, or is held back."""
        cut = [trip for trip in self._trips.values() if trip.where in (COMING, HELD) or self._owes(trip, now)]
        super()._cut_all(now)
        for trip in cut:
            if trip.ended(now):  # nobody sends again the answer that was held back
                super().release(trip.flight, now, served=False)
            if self._weather.forgets(now - trip.flight.began):
                trip.connection.is_forgotten = True
            trip.where, trip.cut_s = CUT, now
            self._trips[trip.flight] = trip  # until its sender hears of it
            self._tell_cut(trip, now)

    def _owes(self, trip: Trip, now: float) -> bool:
        """Whether it is at the replica, and its answer has not got away."""
        if trip.where != HERE or trip.flight.job is None:
            return trip.flight in self._waiting
        return self._weather.loses_answers or not trip.ended(now)

    def _tell_cut(self, trip: Trip, now: float) -> None:
        """Its sender hears of the reset as soon as anything gets back."""
        self._set_way_back(trip)
        trip.flight.reply_comes(max(now, trip.cut_s + trip.flight.from_node_s), "reset", self._agenda)

    def set_faults(self, active: FaultSet, now: float) -> None:
        """Make `active` the whole set; one that refuses has cut its connections."""
        super().set_faults(active, now)
        if self._playing.refuses:
            self._idle.clear()

    # -- questions of the router's own, each on a new connection

    def check(self, timeout_s: float, now: float, result: Action) -> None:
        """A health check."""
        there_s, back_s = self._added_s(), self._added_s()
        left_s = timeout_s - there_s - back_s
        if not self._weather.connects or left_s <= 0:
            self._agenda.at(now + timeout_s, result, (False, f"no answer within {timeout_s:g} s"))
        elif there_s == back_s == 0:
            super().check(timeout_s, now, result)
        else:
            self._agenda.at(now + there_s, self._check_comes, (left_s, back_s, result))

    def _check_comes(self, check: tuple[float, float, Action], now: float) -> None:
        left_s, back_s, result = check
        super().check(left_s, now, lambda answer, moment: self._agenda.at(moment + back_s, result, answer))

    def probe(self, now: float) -> tuple[float, int, float | None] | None:
        """`/probe`."""
        found = super().probe(now) if self._weather.connects else None
        if found is None:
            return None
        return found[0] + self._added_s() + self._added_s(), found[1], found[2]
