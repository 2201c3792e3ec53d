"""Connections to replicas that are kept: how many, and what becomes of those that the replica gives up."""

import asyncio

from services.router.wire.pool import Pool
from tests.services.live import eventually

MOST = 3


class Asker:
    """Hears that there is more; looks at the connection itself."""

    def __init__(self):
        self.more = asyncio.Event()

    def heard(self):
        self.more.set()

    def sendable(self):
        pass


async def answers(reader, writer):
    while await reader.readline():
        if await reader.readline() == b"\r\n":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def served(pool, url):
    """A connection on which a request has been answered."""
    connection, asker = await pool.create(url), Asker()
    connection.ask(asker, False)
    connection.write(b"GET / HTTP/1.1\r\n\r\n")
    while connection.answer is None or not connection.answer.complete:
        await asyncio.wait_for(asker.more.wait(), 30)
        asker.more.clear()
    return connection


async def test_a_burst_leaves_no_more_idle_connections_than_the_router_may_have_and_none_that_was_given_up():
    servers = [await asyncio.start_server(answers, "127.0.0.1", 0) for _ in range(2)]
    urls = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers]
    pool = Pool(30.0, MOST)
    try:
        used = [await served(pool, url) for url in urls * MOST]
        for connection in used:
            pool.release(connection)

        async def closed():
            return len(pool._open) == MOST

        await eventually(closed)
        assert sum(len(stack) for stack in pool._idle.values()) == MOST
        gone = pool.idle(urls[0])
        assert gone is not None and gone not in pool._idle[urls[0]]
        kept = next(stack[0] for stack in pool._idle.values() if stack)
        kept.connection_lost(None)  # the replica has said farewell
        assert kept not in pool._open and all(kept not in stack for stack in pool._idle.values())
    finally:
        await pool.close()
        for server in servers:
            server.close()
