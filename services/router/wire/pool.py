"""Connections to replicas, kept open between requests."""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from services.descriptors import NO_DESCRIPTOR, own_fault
from services.router.idle_limit import IdleLimit
from services.router.settings import KEEPALIVE_S
from services.router.wire.outbox import Outbox
from services.router.wire.replica import Connection

TURN_S = 0.01
"""What has come by the end of a connection's time is dealt with in the loop's next turns, seconds."""


class Pool:
    """The idle ones by address, the last one used on top: the others may grow old, and are closed."""

    def __init__(self, connect_s: float, most: int) -> None:
        """`connect_s` for a connection; beyond `most` of all kinds idle ones give way. Needs a running loop."""
        self._loop = asyncio.get_running_loop()
        self.outbox = Outbox(self._loop.call_soon)
        self._connect_s = connect_s
        self._most = most
        self._idle: dict[str, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._limit: IdleLimit | None = None
        """What has been learnt of connections that were dead; None = none was."""
        self._sweeping: asyncio.TimerHandle | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self.missed_s: Callable[[float], float] = lambda _: 0.0
        """How long the loop has stood still until a moment, all in all, seconds; a connection's time goes on after."""
        self.late: Callable[[], object] = lambda: None
        """Called for every connection that was made only because of that."""

    def idle(self, url: str) -> Connection | None:
        """A connection to that address on which nothing is asked, and on which nothing has come; it is in use then."""
        stack = self._idle.get(url)
        while stack:
            connection = stack.pop()
            if not connection.has_news() and (self._limit is None or self._trusts(connection, self._limit)):
                return connection
            connection.close()
        return None

    def _trusts(self, connection: Connection, limit: IdleLimit) -> bool:
        now = time.monotonic()
        return limit.trusts(now - connection.idle_at, now)

    def silent(self, connection: Connection, asked_at: float) -> bool:
        """There was no answer on it in time to what was asked at `asked_at`.

        Returns whether it had been used before: then not the replica, but the connection may be dead, and those that
        have been idle since then or longer with it. They are closed.
        """
        if not connection.idle_at:
            return False
        if self._limit is None:
            self._limit = IdleLimit()
        self._limit.silent(asked_at - connection.idle_at, time.monotonic())
        stack = self._idle.get(connection.url, [])
        for idle in [each for each in stack if each.idle_at < asked_at]:
            stack.remove(idle)
            idle.close()
        return True

    def connect(self, url: str, then: Callable[[Connection | BaseException], None]) -> asyncio.Task[None]:
        """Make a new connection; `then` gets it, or why there is none. Cancelled, it calls nobody."""
        task = self._loop.create_task(self._connect(url, then))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return task

    async def _connect(self, url: str, then: Callable[[Connection | BaseException], None]) -> None:
        if len(self._open) >= self._most:
            self._close_oldest()
        made: Connection | BaseException
        try:
            made = await self.create(url)
        except OSError as error:
            made = error
            if own_fault(error) in NO_DESCRIPTOR:
                # Give up the idle ones for it (HAProxy: `tune.pool-high-fd-ratio`).
                self.close_idle()
                await asyncio.sleep(0)  # the loop closes them, and those that another request has just given up
                try:
                    made = await self.create(url)
                except OSError as another:
                    made = another
        then(made)

    async def create(self, url: str) -> Connection:
        """A new connection.

        Raises:
            OSError: there is none; TimeoutError, which is one: not in time, without what the router itself was late by.
        """
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
        authority = parts.netloc.encode()
        async with asyncio.timeout(None) as limit:
            due = self._loop.call_later(self._connect_s, self._due, limit, self.missed_s(time.monotonic()))
            try:
                _, connection = await self._loop.create_connection(lambda: Connection(self, url, authority), host, port)
            finally:
                due.cancel()
        self._open.add(connection)
        if limit.when() is not None:
            self.late()
        return connection

    def _due(self, limit: asyncio.Timeout, missed_s: float) -> None:
        """A connection's time is up, but for what the loop has missed of it, and for what it has not looked at."""
        limit.reschedule(self._loop.time() + TURN_S + self.missed_s(time.monotonic()) - missed_s)

    def release(self, connection: Connection) -> None:
        """Whoever asked on it has what was wanted; it is kept if it can be."""
        if not connection.leave() or len(self._open) > self._most:
            connection.close()
            self._open.discard(connection)  # the next one that is released in this turn may stay
            return
        connection.idle_at = time.monotonic()
        self._idle.setdefault(connection.url, []).append(connection)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(KEEPALIVE_S / 3, self._sweep)

    def gone(self, connection: Connection) -> None:
        """It is closed."""
        self._open.discard(connection)
        stack = self._idle.get(connection.url)
        if stack is not None and connection in stack:
            stack.remove(connection)

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        self._sweeping = None
        before = time.monotonic() - KEEPALIVE_S
        for url, stack in list(self._idle.items()):
            kept = [connection for connection in stack if connection.idle_at > before]
            for connection in stack:
                if connection.idle_at <= before:
                    connection.close()
            if kept:
                self._idle[url] = kept
            else:
                del self._idle[url]
        if self._idle:
            self._sweeping = self._loop.call_later(KEEPALIVE_S / 3, self._sweep)

    def _close_oldest(self) -> None:
        """Close the one that has been idle for longest."""
        stacks = [stack for stack in self._idle.values() if stack]
        if stacks:
            stack = min(stacks, key=lambda stack: stack[0].idle_at)
            stack.pop(0).close()

    def close_idle(self) -> None:
        """Close all that are idle."""
        for stack in self._idle.values():
            for connection in stack:
                connection.close()
        self._idle.clear()

    async def close(self) -> None:
        """Close all, and leave nothing behind."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for task in list(self._connecting):
            task.cancel()
        for connection in list(self._open):
            connection.close()
        self._idle.clear()
        await asyncio.gather(*self._connecting, return_exceptions=True)
