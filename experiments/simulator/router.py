"""A router in virtual time: the live router's fleet, dispatcher and health checks, without its HTTP."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from experiments.plan.delays import Delay
from experiments.simulator.agenda import Agenda, Do
from experiments.simulator.replica import VirtualReplica
from experiments.simulator.request import HTTP_ERROR, NEVER, OK, REFUSED, RESET, TIMEOUT, Flight, Records
from services.backend.draws import uniform
from services.router.dispatch import FAILURE_STATUS, Dispatcher, NoReplicaError, PolicyError, outcome_of
from services.router.fleet import Emit, Fleet, NotOwnerError, Replica, describe
from services.router.health import pause_s
from services.router.policies import Outcome, Policy
from services.router.settings import TICK_S, RouterSettings

MakePolicy = Callable[[], Policy]


class VirtualRouter:
    """Takes requests as the live one does; several of them know nothing of each other."""

    def __init__(
        self,
        settings: RouterSettings,
        make_policy: MakePolicy,
        seed: int,
        agenda: Agenda,
        nodes: Mapping[str, VirtualReplica],
        records: Records,
        hop: Delay,
        emit: Emit,
    ) -> None:
        """It is up, and nobody has registered.

        Args:
            settings: as the live one is told.
            make_policy: a new policy, for every start of the process.
            seed: of the checks' jitter.
            agenda: the simulation's.
            nodes: the replicas by id.
            records: what becomes of the requests.
            hop: to a replica and back, for attempts after the first.
            emit: hears of every change of membership or rotation.
        """
        self.settings = settings
        self.is_up = True
        self.is_paused = False
        self._make_policy = make_policy
        self._seed = seed
        self._agenda = agenda
        self._nodes = nodes
        self._records = records
        self._hop = hop
        self._emit = emit
        self._open: dict[Flight, None] = {}
        self._held: list[tuple[Do, Any]] = []
        self._begin()
        agenda.at(agenda.now, self._tick)

    def _begin(self) -> None:
        """What a new process knows."""
        self.fleet = Fleet(self.settings.health, self.settings.ejection, self._emit)
        self.fleet.watch = self._watch
        self._dispatcher = Dispatcher(self.settings, self.fleet, self._make_policy())
        self._rng = random.Random(self._seed)
        self._loops: dict[str, int] = {}

    @property
    def in_flight(self) -> int:
        """Requests that have come and are not answered."""
        return len(self._open)

    # -- the process

    def kill(self, now: float) -> None:
        """SIGKILL: connections are cut, new ones refused, everything is forgotten."""
        self.is_up = self.is_paused = False
        for flight in list(self._open):
            self._hang_up(flight, now)
            self._records.end(flight, now + flight.way_s, RESET)
        self._open.clear()
        self._held.clear()

    def stop(self, now: float) -> None:
        """SIGTERM: new connections are refused, what is in flight goes on."""
        self.is_up = False

    def start(self, now: float) -> None:
        """A new process serves; the replicas will come again."""
        self.kill(now)
        self.is_up = True
        self._begin()

    def pause(self, now: float) -> None:
        """SIGSTOP."""
        self.is_paused = True
        for flight in self._open:
            self._agenda.at(max(flight.gives_up, now), self._client_gives_up, flight)

    def resume(self, now: float) -> None:
        """SIGCONT."""
        self.is_paused = False
        held, self._held = self._held, []
        for do, what in held:
            do(what, now)

    def _client_gives_up(self, flight: Flight, now: float) -> None:
        self._records.end(flight, flight.gives_up, TIMEOUT)

    # -- membership

    def hear(self, word: tuple[str, dict[str, Any]], now: float) -> int | None:
        """A replica's word on the admin port; the status of the answer, None where there is none."""
        id_, fields = word
        if not self.is_up or self.is_paused:
            return None
        try:
            return 201 if self.fleet.put(id_, now, **fields) else 200
        except NotOwnerError:
            return 409

    def forget(self, id_: str, url: str, now: float) -> None:
        """A replica deregisters."""
        if self.is_up and not self.is_paused and id_ in self.fleet.replicas:
            self.fleet.remove(id_, now, url)

    def _tick(self, _: None, now: float) -> None:
        if self.is_up and not self.is_paused:
            self.fleet.tick(now)
        self._agenda.at(now + TICK_S, self._tick)

    def stats(self, now: float) -> dict[str, Any] | None:
        """What the manager reads of `/stats`; None = no answer."""
        if not self.is_up or self.is_paused:
            return None
        return {"monotonic_s": now, "replicas": [describe(r, now) for r in self.fleet.replicas.values()]}

    def ready(self) -> int | None:
        """Replicas in rotation; None = no answer."""
        if not self.is_up or self.is_paused:
            return None
        return sum(replica.state == "ready" for replica in self.fleet.replicas.values())

    # -- health checks

    def _watch(self, id_: str) -> None:
        self._loops[id_] = self._loops.get(id_, 0) + 1
        self._agenda.at(self._agenda.now, self._check, (id_, self._loops[id_], self.fleet))

    def _check(self, what: tuple[str, int, Fleet], now: float) -> None:
        id_, loop, fleet = what
        replica = fleet.replicas.get(id_)
        if replica is None or self._loops.get(id_) != loop or fleet is not self.fleet or not self.is_up:
            return
        if self.is_paused:
            self._held.append((self._check, what))
            return

        def result(passed: bool, reason: str, moment: float) -> None:
            if fleet is not self.fleet or not self.is_up:
                return
            if self.is_paused:
                self._held.append((lambda _, later: result(passed, reason, later), None))
                return
            if fleet.replicas.get(id_) is replica and not replica.draining:
                fleet.on_check(id_, passed, moment, reason)
            self._agenda.at(moment + pause_s(self.settings.health, replica.healthy, self._rng), self._check, what)

        self._nodes[id_].check(self.settings.health.timeout_s, now, result)

    # -- requests

    def arrive(self, flight: Flight, now: float) -> None:
        """A request is here."""
        if self.is_paused or not self.is_up:
            self._arrive_in_vain(flight, now)
            return
        self._open[flight] = None
        flight.attempts = self._dispatcher.open(now, idempotent=True)
        if flight.is_over:  # its client has gone while the process was paused
            del self._open[flight]
        else:
            self._try(flight, now)

    def _arrive_in_vain(self, flight: Flight, now: float) -> None:
        if not self.is_up:
            self._records.end(flight, now + flight.way_s, REFUSED)
            return
        self._open[flight] = None
        self._agenda.at(max(flight.gives_up, now), self._client_gives_up, flight)
        self._held.append((self.arrive, flight))

    def _try(self, flight: Flight, now: float) -> None:
        attempts = flight.attempts
        assert attempts is not None
        try:
            replica, limit_s = self._dispatcher.choose(attempts, flight.id, flight.key, now)
        except NoReplicaError:
            self._answer(flight, now, 503)
            return
        except PolicyError:
            self._answer(flight, now, 500)
            return
        flight.target = replica
        flight.began = now
        limit_at = now + min(limit_s, self.settings.timeouts.idle_s)  # the live one's client reads no longer either
        flight.limit_at = limit_at if limit_at < flight.gives_up else flight.gives_up
        flight.node = self._nodes[replica.id]
        if attempts.count > 1:
            u = uniform(self._seed, flight.id, replica.id, str(attempts.count), "hop")
            flight.back_s = self._hop.back_at(u)
        self._agenda.at(now + flight.out_s, flight.node.arrive, flight)

    def settle(self, flight: Flight, now: float) -> None:
        """The attempt's reply is here, or its limit."""
        if flight.due != now:
            return
        if self.is_paused:
            self._held.append((self._settle_later, (flight, now)))
            return
        flight.due = NEVER
        attempts, replica, node, reply = flight.attempts, flight.target, flight.node, flight.reply
        assert attempts is not None and node is not None
        job = flight.job
        node.release(flight, now, served=not flight.is_late)
        if flight not in self._open:  # a process that is gone had sent it
            return
        if flight.is_late:
            if now >= flight.gives_up:
                self._finish(replica, "cancelled", flight, now, "")
                self._records.end(flight, flight.gives_up, TIMEOUT)
                del self._open[flight]
                return
            reply = "timeout"
        if isinstance(reply, str):
            self._failed(flight, replica, reply, now)
            return
        outcome = outcome_of(reply)
        if outcome == "ok":
            self._dispatcher.finish(replica, outcome, now - flight.began, now)
            if job is not None and now + flight.way_s <= flight.gives_up and not flight.is_over:
                self._records.served(flight.number, job.start - job.arrival, job.end - job.start)
            self._answer(flight, now, reply, node.number)
            return
        again = self._dispatcher.follows(attempts, outcome, now, sent=True, replayable=True)
        self._finish(replica, outcome, flight, now, f"status {reply}")
        if again:
            self._try(flight, now)
        else:
            self._answer(flight, now, reply, node.number)

    def _settle_later(self, what: tuple[Flight, float], now: float) -> None:
        flight, due = what
        if flight.due == due:
            flight.due = now
            self.settle(flight, now)

    def _failed(self, flight: Flight, replica: Replica, reason: str, now: float) -> None:
        attempts = flight.attempts
        assert attempts is not None
        sent = reason != "connect"
        again = self._dispatcher.follows(attempts, "error", now, sent=sent, replayable=True)
        self._finish(replica, "error", flight, now, reason)
        if again:
            self._try(flight, now)
        else:
            self._answer(flight, now, FAILURE_STATUS[reason])

    def _finish(self, replica: Replica, outcome: Outcome, flight: Flight, now: float, reason: str) -> None:
        self._dispatcher.finish(replica, outcome, now - flight.began, now, reason)

    def _answer(self, flight: Flight, now: float, status: int, node: int = -1) -> None:
        at = now + flight.way_s
        if at > flight.gives_up:
            self._records.end(flight, flight.gives_up, TIMEOUT)
        else:
            self._records.end(flight, at, OK if status < 400 else HTTP_ERROR, status, node)
        del self._open[flight]

    def _hang_up(self, flight: Flight, now: float) -> None:
        """Whatever replica works on it hears that nobody waits."""
        if flight.node is not None:
            flight.due = NEVER
            flight.node.release(flight, now, served=False)
