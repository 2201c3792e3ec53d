"""What a replica says to its routers in virtual time, at the moments at which a live one says it."""

from collections.abc import Sequence
from typing import Any, Protocol

from experiments.plan.delays import Delay
from experiments.simulator.agenda import Agenda
from experiments.simulator.process import Process
from services.backend.renewal import Renewal
from services.backend.settings import DRAIN_S, ReplicaSettings

ANSWER_TIMEOUT_S = 1.0
"""How long a replica waits for the router's answer to its registration, as the live one does."""
Registration = tuple[str, dict[str, Any]]
"""The replica's id, and the body of `PUT /replicas/{id}`."""


class Registry(Protocol):
    """Where a replica registers: a router."""

    @property
    def is_paused(self) -> bool:
        """Whether it neither takes nor answers anything for now."""

    def register(self, registration: Registration, now: float) -> int | None:
        """A replica registers, renews or says farewell; the status of the answer, None where there is none."""

    def coming(self, id_: str) -> int | None:
        """Requests that it counts as under way at a replica; None = no answer."""

    def forget(self, id_: str, url: str, now: float) -> None:
        """A replica deregisters."""


class Registering:
    """Keeps one replica registered with every router."""

    def __init__(
        self,
        settings: ReplicaSettings,
        process: Process,
        agenda: Agenda,
        routers: Sequence[Registry],
        round_trip: Delay,
    ) -> None:
        """Nothing is said before `begin`.

        Args:
            settings: the replica's.
            process: the replica's.
            agenda: the simulation's.
            routers: those that it registers with.
            round_trip: from the replica to one of them and back.
        """
        self.url = f"http://{settings.id}"
        self._settings = settings
        self._process = process
        self._agenda = agenda
        self._routers = routers
        self._round_trip = round_trip

    def begin(self, now: float) -> None:
        """Register now, and renew from then on."""
        about = {"url": self.url, "weight": self._settings.weight, "concurrency": self._settings.concurrency}
        for router in self._routers:
            self._process.at(now, self._renew, (router, Renewal(about)))

    def _renew(self, renewing: tuple[Registry, Renewal], now: float) -> None:
        router, renewal = renewing
        if router.is_paused:
            took_s, status = ANSWER_TIMEOUT_S, None
        else:
            took_s, status = self._round_trip.median_s, router.register((self._settings.id, renewal.body()), now)
        self._process.at(now + took_s + renewal.pause_s(status), self._renew, renewing)

    def announce_drain(self, now: float) -> float:
        """Ask every router to send nothing more; returns when the answers are there."""
        for router in self._routers:
            farewell = Renewal({"url": self.url}).farewell(DRAIN_S)
            self._agenda.at(now + self._round_trip.median_s / 2, router.register, (self._settings.id, farewell))
        return now + self._round_trip.median_s

    def coming(self) -> int | None:
        """Requests that the routers count as under way here; None where none of them answers."""
        told = [count for router in self._routers if (count := router.coming(self._settings.id)) is not None]
        return sum(told) if told else None

    def leave(self, now: float) -> None:
        """Deregister."""
        for router in self._routers:
            router.forget(self._settings.id, self.url, now)
