"""The data plane: takes a request, and has it answered."""

import random
from collections.abc import Iterable

from services.router.access_log import log_refusal, log_request
from services.router.accounts import Accounts
from services.router.attempting import Means
from services.router.dispatch import Dispatcher
from services.router.exchange import Exchange
from services.router.fleet import Fleet
from services.router.policies import Policy
from services.router.probing import Prober
from services.router.rejections import REJECTIONS, own_answer
from services.router.settings import RouterSettings
from services.router.telemetry import Telemetry
from services.router.wire.client import Client
from services.router.wire.heartbeat import Heartbeat
from services.router.wire.messages import Request
from services.router.wire.pool import Pool
from services.tracing import Tracing

CLOSE = b"Connection: close\r\n"


class Proxy(Accounts):
    """Serves the data port."""

    def __init__(
        self,
        settings: RouterSettings,
        fleet: Fleet,
        policy: Policy,
        telemetry: Telemetry,
        pool: Pool,
        heartbeat: Heartbeat,
        tracing: Tracing | None = None,
        *,
        rng: random.Random | None = None,
        access_log: bool = False,
    ) -> None:
        """`pool` holds the connections to replicas, `rng` draws the pauses before retries (`Dispatcher`).

        `tracing` makes spans, where they are asked for; `access_log`: say a line of every request.
        """
        super().__init__(telemetry)
        self._dispatcher = dispatcher = Dispatcher(settings, fleet, policy, rng)
        self._access_log = access_log
        self._fleet = fleet
        log = log_request if access_log else None
        pool.missed_s, pool.late = heartbeat.missed_s, self.late
        self.prober: Prober | None = None
        """Where the policy wants probes."""
        if hasattr(policy, "probes"):
            self.prober = Prober(pool, dispatcher)
            dispatcher.probe = self.prober.ask
        self._means = Means(settings, dispatcher, self, pool, heartbeat, log, tracing, dispatcher.is_patient)

    @property
    def waiting(self) -> int:
        """Requests that stand in line for a slot."""
        line = self._dispatcher.line
        return 0 if line is None else len(line)

    def work_seconds(self, now: float) -> float:
        """Request-seconds spent until `now`, at replicas and in line."""
        return self._dispatcher.work_seconds(now)

    @property
    def limit(self) -> int | None:
        """The most attempts that may be under way for now; None = there is no limit."""
        limit = self._dispatcher.limit
        return None if limit is None else int(limit.value)

    def begin(self, client: Client, request: Request, began: float) -> None:
        """Serve a request whose bytes were there at `began`."""
        Exchange(self._means, client, request, began).begin()

    def leave(self, id_: str, clients: Iterable[Client]) -> int:
        """A replica has left the rotation: who waits for it, and has heard nothing of an answer, is tried elsewhere.

        Where the request may be sent again, and the retry budget allows it; the others go on waiting. A replica that
        drains keeps what it has. Returns how many were moved.
        """
        moved = 0
        self._fleet.candidates()  # who is one now
        for exchange in [client.exchange for client in clients]:
            if not isinstance(exchange, Exchange):
                continue
            for attempt in (exchange.attempt, exchange.other):
                if attempt is None or (replica := attempt.replica).id != id_ or replica.draining:
                    continue
                if not self._fleet.is_candidate(replica):
                    moved += exchange.move(attempt)
        return moved

    def refuse(self, reason: str, detail: str) -> bytes:
        """The answer to what could not be read as a request; `detail` says why."""
        self.rejected(reason)
        status = REJECTIONS[reason]
        self.refused(status)
        if self._access_log:
            log_refusal(status, detail)
        return own_answer(reason, detail, b"", CLOSE)

    def turn_away(self) -> bytes:
        """What a client hears beyond those that the router has descriptors for; it has asked nothing yet."""
        self.turned_away()
        return own_answer("exhausted", "more clients are connected than the router has descriptors for", b"", CLOSE)
