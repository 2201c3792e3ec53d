"""Asks replicas' `/probe` beside the requests, on the connections of the pool, where the policy wants it."""

import asyncio
import time
from urllib.parse import urlsplit

from services.router.dispatch import Dispatcher
from services.router.replica import Replica
from services.router.reports import probed
from services.router.wire.heads import VIA
from services.router.wire.pool import Pool
from services.router.wire.replica import Connection

PROBE_S = 1.0
"""How long an answer is waited for, seconds: an older one says nothing (Prequal's limit of age)."""


class Prober:
    """One probe of a replica at a time: one that is silent costs a connection, not one a request."""

    def __init__(self, pool: Pool, dispatcher: Dispatcher) -> None:
        """`dispatcher` is told of the answers."""
        self._pool = pool
        self._dispatcher = dispatcher
        self._under_way: dict[str, _Probe] = {}
        self.sent = 0
        """Probes that were begun."""
        self.unanswered = 0
        """Of those, how many had no answer that says anything."""

    def ask(self, replica: Replica) -> None:
        """Ask it, unless it is being asked."""
        if replica.url in self._under_way:
            return
        self.sent += 1
        self._under_way[replica.url] = probe = _Probe(self, self._pool, replica)
        probe.begin()

    def ended(self, probe: "_Probe", found: tuple[int, float | None] | None) -> None:
        """It has its answer, or none."""
        del self._under_way[probe.replica.url]
        if found is None:
            self.unanswered += 1
        else:
            self._dispatcher.probed(probe.replica.id, *found, time.monotonic())

    def stop(self) -> None:
        """Give up what is under way."""
        for probe in list(self._under_way.values()):
            probe.give_up()


class _Probe:
    """One question on one connection."""

    def __init__(self, prober: Prober, pool: Pool, replica: Replica) -> None:
        """Nothing is asked yet."""
        self.replica = replica
        self._prober = prober
        self._pool = pool
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._limit = asyncio.get_running_loop().call_later(PROBE_S, self.give_up)

    def begin(self) -> None:
        """Take a connection, or make one."""
        connection = self._pool.idle(self.replica.url)
        if connection is None:
            self._connecting = self._pool.connect(self.replica.url, self._connected)
        else:
            self._ask(connection)

    def _connected(self, made: Connection | BaseException) -> None:
        self._connecting = None
        if isinstance(made, Connection):
            self._ask(made)
        else:
            self._end(None)

    def _ask(self, connection: Connection) -> None:
        self._connection = connection
        connection.ask(self, False)
        authority = urlsplit(self.replica.url).netloc
        connection.write(f"GET /probe HTTP/1.1\r\nHost: {authority}\r\nVia: {VIA}\r\n\r\n".encode())

    def heard(self) -> None:
        """More of the answer is here, or the connection is gone."""
        connection = self._connection
        assert connection is not None
        answer = connection.answer
        if connection.wrong is not None or (answer is not None and answer.kept_bytes > 4096):
            self.give_up()
        elif answer is not None and answer.complete:
            self._end(probed(answer.take()) if answer.status == 200 else None)
        elif connection.lost is not None:
            self._end(None)

    def sendable(self) -> None:
        """A head is never longer than what fits."""

    def give_up(self) -> None:
        """Its time is up, or the answer none."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.close()
        self._end(None)

    def _end(self, found: tuple[int, float | None] | None) -> None:
        self._limit.cancel()
        if (connection := self._connection) is not None:
            self._connection = None
            self._pool.release(connection)
        self._prober.ended(self, found)
