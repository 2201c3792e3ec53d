"""A router in virtual time: the live router's fleet, dispatcher and health checks, without its HTTP."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from experiments.plan.delays import Delay
from experiments.simulator.agenda import Agenda
from experiments.simulator.checking import VirtualChecks
from experiments.simulator.probing import Probing, report_of
from experiments.simulator.process import Process
from experiments.simulator.registering import Registration
from experiments.simulator.replica import VirtualReplica
from experiments.simulator.request import HTTP_ERROR, NEVER, OK, REFUSED, RESET, TIMEOUT, Flight, Owner, Records
from experiments.simulator.standing import Standing
from services.backend import work_queue
from services.backend.draws import uniform
from services.router.dispatch import FAILURE_STATUS, Bound, Dispatcher, outcome_of
from services.router.fleet import NOBODY_LISTENS, Emit, Fleet, NotOwnerError
from services.router.policy import Outcome, Policy
from services.router.replica import Replica, describe
from services.router.settings import TICK_S, RouterSettings
from services.router.waiting import UNBOUND_STATUS, UnboundError

MakePolicy = Callable[[], Policy]


class VirtualRouter(Owner):
    """Takes requests as the live one does; several of them know nothing of each other."""

    def __init__(
        self,
        settings: RouterSettings,
        make_policy: MakePolicy,
        seed: int,
        agenda: Agenda,
        nodes: Mapping[str, VirtualReplica],
        records: Records,
        round_trip: Delay,
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
            round_trip: to a replica and back, for attempts after the first.
            emit: hears of every change of membership or rotation.
        """
        self.settings = settings
        self.process = Process(agenda)
        self._make_policy = make_policy
        self._seed = seed
        self._agenda = agenda
        self._nodes = nodes
        self._records = records
        self._round_trip = round_trip
        self._emit = emit
        self._open: dict[Flight, None] = {}
        self._begin()
        agenda.at(agenda.now, self._tick)

    def _begin(self) -> None:
        """What a new process knows."""
        self.process.begin()
        self._began_at = self._agenda.now
        self.fleet = Fleet(self.settings.health, self.settings.ejection, self._emit)
        rng = random.Random(self._seed)
        checks = VirtualChecks(self.settings.health, self.fleet, self._nodes, self.process, self._agenda, rng)
        self.fleet.watch = checks.watch
        policy = self._make_policy()
        self._dispatcher = Dispatcher(self.settings, self.fleet, policy)
        self._probing = Probing(self._dispatcher, self.process, self._nodes, self._round_trip)
        if hasattr(policy, "probes"):
            self._dispatcher.probe = self._probing.ask
        if hasattr(policy, "probes") or self._dispatcher.reads_reports:
            for node in self._nodes.values():
                if node.load is None:
                    node.tell_load()

    @property
    def is_up(self) -> bool:
        """Whether there is a process."""
        return self.process.is_up

    @property
    def is_paused(self) -> bool:
        """Whether it neither takes nor answers anything for now."""
        return self.process.paused_at is not None

    @property
    def in_flight(self) -> int:
        """Requests that have come and are not answered."""
        return len(self._open)

    # -- the process

    def kill(self, now: float) -> None:
        """SIGKILL: connections are cut, new ones refused, everything is forgotten."""
        self.process.end()
        for flight in list(self._open):
            self._hang_up(flight, now)
            self._records.end(flight, now + flight.to_client_s, RESET)
        self._open.clear()

    def stop(self, now: float) -> None:
        """SIGTERM: new connections are refused, what is in flight goes on."""
        self.process.refuse()

    def start(self, now: float) -> None:
        """A new process serves; the replicas will come again."""
        self.kill(now)
        self._begin()

    def pause(self, now: float) -> None:
        """SIGSTOP."""
        self.process.pause(now)
        for flight in self._open:
            self._await_client(flight, now)

    def resume(self, now: float) -> None:
        """SIGCONT."""
        self.process.wake()
        self.process.catch_up(now)

    def _await_client(self, flight: Flight, now: float) -> None:
        """Nobody answers for now; the client waits as long as it wants to."""
        self._agenda.at(max(flight.client_limit_at, now), self._client_gives_up, flight)

    def _client_gives_up(self, flight: Flight, now: float) -> None:
        self._records.end(flight, flight.client_limit_at, TIMEOUT)

    # -- membership

    def register(self, registration: Registration, now: float) -> int | None:
        """A replica registers, renews or says farewell; the status of the answer, None where there is none."""
        id_, fields = registration
        if not self.process.runs:
            return None
        try:
            return 201 if self.fleet.put(id_, now, **fields) else 200
        except NotOwnerError:
            return 409

    def coming(self, id_: str) -> int | None:
        """Requests that it counts as under way at a replica; None = no answer."""
        replica = self.fleet.replicas.get(id_)
        return replica.in_flight if replica is not None and self.process.runs else None

    def forget(self, id_: str, url: str, now: float) -> None:
        """A replica deregisters."""
        if self.process.runs and id_ in self.fleet.replicas:
            self.fleet.remove(id_, now, url)

    def _tick(self, _: None, now: float) -> None:
        if self.process.runs:
            self.fleet.tick(now)
        self._agenda.at(now + TICK_S, self._tick)

    def stats(self, now: float) -> dict[str, Any] | None:
        """What the manager reads of `/stats`; None = no answer."""
        if not self.process.runs:
            return None
        return {
            "monotonic_s": now,
            "began_s": self._began_at,
            "work_seconds_total": round(self.fleet.work_seconds(now), 6),
            "replicas": [describe(r, now) for r in self.fleet.replicas.values()],
        }

    def ready(self) -> int | None:
        """Replicas in rotation; None = no answer."""
        if not self.process.runs:
            return None
        return sum(replica.state == "ready" for replica in self.fleet.replicas.values())

    # -- requests

    def arrive(self, flight: Flight, now: float) -> None:
        """A request is here."""
        if not self.process.runs:
            self._arrive_in_vain(flight, now)
            return
        self._open[flight] = None
        flight.attempts = self._dispatcher.open(now, idempotent=True, expires=flight.expires)
        if flight.is_over:  # its client has gone while the process was paused
            del self._open[flight]
        else:
            self._try(flight, now)

    def _arrive_in_vain(self, flight: Flight, now: float) -> None:
        if not self.process.is_up:
            self._records.end(flight, now + flight.to_client_s, REFUSED)
            return
        self._open[flight] = None
        self._await_client(flight, now)
        self.process.hold(self.arrive, flight)

    def _try(self, flight: Flight, now: float) -> None:
        attempts = flight.attempts
        assert attempts is not None
        try:
            if self._dispatcher.line is None:
                bound: Bound | None = self._dispatcher.choose(attempts, flight.id, flight.key, now)
            else:
                bound = Standing(self, self._dispatcher, flight, self._agenda).ask(now)
        except UnboundError as error:
            self.refuse(flight, error, now)
            return
        if bound is not None:
            self.send(flight, bound[0], bound[1], now)

    def refuse(self, flight: Flight, error: UnboundError, now: float) -> None:
        """A request gets no attempt."""
        self._answer(flight, now, UNBOUND_STATUS[error.reason])

    def may_look(self, flight: Flight, standing: Standing) -> bool:
        """Whether one in line may leave it now."""
        if flight not in self._open:
            return False
        if self.process.paused_at is not None:
            self.process.hold(standing.look)
            return False
        return True

    def send(self, flight: Flight, replica: Replica, limit_s: float, now: float) -> None:
        """An attempt has begun."""
        attempts = flight.attempts
        assert attempts is not None
        flight.target = replica
        flight.began = now
        limit_at = now + limit_s
        flight.limit_at = limit_at if limit_at < flight.client_limit_at else flight.client_limit_at
        is_told = flight.expires is not None or self.settings.timeouts.told
        flight.turn_by = limit_at + flight.to_node_s if is_told else work_queue.NEVER
        flight.node = node = self._nodes[replica.id]
        if attempts.count > 1:
            u = uniform(self._seed, flight.id, replica.id, str(attempts.count), "hop")
            flight.from_node_s = self._round_trip.back_at(u)
        self._agenda.at(now + flight.to_node_s, node.arrive, flight)

    def settle(self, flight: Flight, now: float) -> None:
        """The attempt's reply is here, or its limit."""
        if flight.due != now:
            return
        if self.process.paused_at is not None:
            self.process.hold(self._settle_later, (flight, now))
            return
        flight.due = NEVER
        attempts, replica, node, reply = flight.attempts, flight.target, flight.node, flight.reply
        assert attempts is not None and node is not None
        job = flight.job
        node.release(flight, now, served=not flight.is_late)
        if self._dispatcher.reads_reports and not (flight.is_late or isinstance(reply, str)):
            self._dispatcher.reported(replica, report_of(self._nodes[replica.id], job, now), now)
        if flight not in self._open:  # a process that is gone had sent it
            return
        if flight.is_late:
            if now >= flight.client_limit_at:
                self._finish(replica, "cancelled", flight, now, "")
                self._records.end(flight, flight.client_limit_at, TIMEOUT)
                del self._open[flight]
                return
            if now >= attempts.expires:  # no replica is blamed for what a client has no time for
                self._finish(replica, "cancelled", flight, now, "")
                self._answer(flight, now, UNBOUND_STATUS["deadline"])
                return
            reply = "timeout"
        if isinstance(reply, str):
            self._failed(flight, replica, reply, now)
            return
        outcome = outcome_of(reply)
        if outcome == "ok":
            self._dispatcher.finish(replica, outcome, now - flight.began, now)
            if job is not None and now + flight.to_client_s <= flight.client_limit_at and not flight.is_over:
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
        self._finish(replica, "error", flight, now, reason if sent else NOBODY_LISTENS)
        if again:
            self._try(flight, now)
        else:
            self._answer(flight, now, FAILURE_STATUS[reason])

    def _finish(self, replica: Replica, outcome: Outcome, flight: Flight, now: float, reason: str) -> None:
        self._dispatcher.finish(replica, outcome, now - flight.began, now, reason)

    def _answer(self, flight: Flight, now: float, status: int, node: int = -1) -> None:
        at = now + flight.to_client_s
        if at > flight.client_limit_at:
            self._records.end(flight, flight.client_limit_at, TIMEOUT)
        else:
            self._records.end(flight, at, OK if status < 400 else HTTP_ERROR, status, node)
        del self._open[flight]

    def _hang_up(self, flight: Flight, now: float) -> None:
        """Whatever replica works on it hears that nobody waits."""
        if flight.node is not None:
            flight.due = NEVER
            flight.node.release(flight, now, served=False)
