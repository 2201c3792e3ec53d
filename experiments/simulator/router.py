"""A router in virtual time: the live router's fleet, dispatcher and health checks, without its HTTP."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from experiments.plan.delays import Delay
from experiments.simulator.agenda import Agenda
from experiments.simulator.checking import VirtualChecks
from experiments.simulator.probing import Probing
from experiments.simulator.process import Process
from experiments.simulator.registering import Registration
from experiments.simulator.replica import VirtualReplica
from experiments.simulator.request import RESET, Records
from experiments.simulator.serving import Serving
from services.router.dispatch import Dispatcher
from services.router.fleet import Emit, Fleet, NotOwnerError
from services.router.latencies import Latencies
from services.router.policy import Policy
from services.router.replica import describe
from services.router.settings import TICK_S, RouterSettings

MakePolicy = Callable[[], Policy]


class VirtualRouter(Serving):
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
        super().__init__(seed, agenda, nodes, records, round_trip)
        self.settings = settings
        self.process = Process(agenda)
        self._make_policy = make_policy
        self._emit = emit
        self._begin()
        agenda.at(agenda.now, self._tick)

    def _begin(self) -> None:
        """What a new process knows."""
        self.process.begin()
        self._began_at = self._agenda.now
        self.arrived, self.latencies = 0, None
        self.fleet = Fleet(self.settings.health, self.settings.ejection, self._emit)
        rng = random.Random(self._seed)
        checks = VirtualChecks(self.settings.health, self.fleet, self._nodes, self.process, self._agenda, rng)
        self.fleet.watch = checks.watch
        policy = self._make_policy()
        self._dispatcher = Dispatcher(self.settings, self.fleet, policy, random.Random(self._seed + 1))
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
            if flight.beside is not None:
                self._hang_up(flight.beside, now)
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

    # -- membership

    def register(self, registration: Registration, now: float) -> int | None:
        """A replica registers, renews or says farewell; the status of the answer, None where there is none."""
        id_, fields = registration
        if not self.process.runs:
            if self.is_paused:  # the kernel keeps it, though nobody waits for the answer any more
                self.process.hold(self.register, registration)
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
        self._forget((id_, url), now)

    def _forget(self, deregistration: tuple[str, str], now: float) -> None:
        id_, url = deregistration
        if self.is_paused:  # as in `register`
            self.process.hold(self._forget, deregistration)
        elif self.process.runs:
            with suppress(NotOwnerError):
                self.fleet.remove(id_, now, url)

    def _tick(self, _: None, now: float) -> None:
        if self.process.runs:
            self.fleet.tick(now)
        self._agenda.at(now + TICK_S, self._tick)

    def stats(self, now: float) -> dict[str, Any] | None:
        """What the manager reads of `/stats`; None = no answer."""
        if not self.process.runs:
            return None
        if self.latencies is None:  # nobody has asked until now
            self.latencies = Latencies()
        return {
            "monotonic_s": now,
            "began_s": self._began_at,
            "work_seconds_total": round(self._dispatcher.work_seconds(now), 6),
            "requests_total": self.arrived,
            "latencies_ms": self.latencies.told(),
            "replicas": [describe(r, now) for r in self.fleet.replicas.values()],
        }

    def ready(self) -> int | None:
        """Replicas in rotation; None = no answer."""
        if not self.process.runs:
            return None
        return sum(replica.state == "ready" for replica in self.fleet.replicas.values())
