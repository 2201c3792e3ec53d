"""What a replica says to its routers in virtual time, at the moments at which a live one says it."""

from collections.abc import Sequence
from typing import Any, Protocol

from experiments.plan.delays import Delay
from experiments.relay.propagation import Propagation, Word
from experiments.simulator.agenda import Agenda
from experiments.simulator.process import Process
from services.backend.renewal import Renewal
from services.backend.settings import DRAIN_S, ReplicaSettings

ANSWER_TIMEOUT_S = 1.0
"""How long a replica waits for the router's answer to its registration, as the live one does."""
TAKEN = 200
"""The answer to what the router has not heard yet."""
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
        self.renews = True
        """Whether its lease runs out unless it is renewed; where nothing can keep it from renewing, it need not."""
        self._late_s = 0.0
        self._news: dict[Registry, Propagation] = {}
        """What is on its way to each, once something was late."""

    def set_late(self, late_s: float, now: float) -> None:
        """The routers hear of changes so many seconds later; 0 = at once, also of what is on its way."""
        self._late_s = late_s
        if late_s == 0:
            for router, news in self._news.items():
                self._tell(router, news.hurry(), now)

    def _say(self, router: Registry, word: Word, now: float) -> int | None:
        """The status of the answer; None where there is none."""
        if self._late_s == 0 and router not in self._news:
            return self._tell(router, [word], now)
        news = self._news.setdefault(router, Propagation())
        heard = news.say(word, self._late_s, now)
        status = self._tell(router, heard, now)
        if heard == [word]:
            return status
        self._agenda.at(now + self._late_s, self._arrives, router)
        return TAKEN

    def _arrives(self, router: Registry, now: float) -> None:
        self._tell(router, self._news[router].arrived(now), now)

    def _tell(self, router: Registry, words: Sequence[Word], now: float) -> int | None:
        status: int | None = None
        for word in words:
            if word.body is None:
                router.forget(self._settings.id, word.url, now)
            else:
                status = router.register((self._settings.id, word.body), now)
        return status

    def begin(self, now: float) -> None:
        """Register now, and renew from then on."""
        about = {"url": self.url, "weight": self._settings.weight, "concurrency": self._settings.concurrency}
        for router in self._routers:
            self._process.at(now, self._renew, (router, Renewal(about)))

    def _renew(self, renewing: tuple[Registry, Renewal], now: float) -> None:
        router, renewal = renewing
        took_s = ANSWER_TIMEOUT_S if router.is_paused else self._round_trip.median_s
        body = renewal.body()
        if not self.renews:
            del body["lease_s"]
        status = self._say(router, Word(self.url, body), now)
        pause_s = renewal.pause_s(status)
        if self.renews or not renewal.is_known:
            self._process.at(now + took_s + pause_s, self._renew, renewing)

    def announce_drain(self, now: float) -> float:
        """Ask every router to send nothing more; returns when the answers are there."""
        for router in self._routers:
            self._agenda.at(now + self._round_trip.median_s / 2, self._say_farewell, router)
        return now + self._round_trip.median_s

    def _say_farewell(self, router: Registry, now: float) -> None:
        self._say(router, Word(self.url, Renewal({"url": self.url}).farewell(DRAIN_S)), now)

    def coming(self) -> int | None:
        """Requests that the routers count as under way here; None where none of them answers."""
        told = [count for router in self._routers if (count := router.coming(self._settings.id)) is not None]
        return sum(told) if told else None

    def leave(self, now: float) -> None:
        """Deregister."""
        for router in self._routers:
            self._say(router, Word(self.url, None), now)
