"""Replicas and clients of a test's own that put every byte on the wire themselves."""

import asyncio
import contextlib

import aiohttp
import psutil

from tests.running import AT_MOST_S
from tests.services.live import until


def port_of(url):
    return int(url.rsplit(":", 1)[1])


class RawReplica:
    """Reads requests, and lets `answer(request, writer)` write what it likes; healthy to the checks as long as `is_ready`."""

    def __init__(self, answer):
        self.answer = answer
        self.is_ready = True
        """To the checks."""
        self.seen = []
        self.closed = 0
        self.writers = []
        self.server = None

    async def serve(self, reader, writer):
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET /readyz "):
                    status = b"200 OK" if self.is_ready else b"503 Service Unavailable"
                    writer.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
                    break
                body = b""
                if b"chunked" in head.lower():
                    while not body.endswith(b"0\r\n\r\n"):
                        body += await reader.readuntil(b"\r\n")
                elif (at := head.lower().find(b"content-length:")) >= 0:
                    body = await reader.readexactly(int(head[at:].split(b"\r\n")[0].split(b":")[1]))
                self.seen.append((head, body))
                await self.answer(head, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed += 1
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def raw_replica(front, session, answer, id_="raw"):
    """One that is in rotation at the router, and gone afterwards."""
    replica = RawReplica(answer)
    server = await asyncio.start_server(replica.serve, "127.0.0.1", 0, limit=1 << 20)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with session.put(f"{front.admin}/replicas/{id_}", json={"url": url}) as response:
            assert response.status == 201
        await until(session, front.admin, id_, "ready")
        yield replica
    finally:
        with contextlib.suppress(aiohttp.ClientConnectionError):  # the router may have ended
            await session.delete(f"{front.admin}/replicas/{id_}")
        for writer in replica.writers:
            writer.close()
        server.close()


class RawClient:
    """One connection to a router's data port."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, timeout_s=AT_MOST_S):
        """Status, headers (lower case; bytes) and body of the next answer, whose length must be told."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), timeout_s)
        first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        headers = {name.lower().decode(): value for name, _, value in (line.partition(b": ") for line in lines)}
        body = await asyncio.wait_for(self.reader.readexactly(int(headers["content-length"])), timeout_s)
        return int(first.split()[1]), headers, body

    async def rest(self, timeout_s=AT_MOST_S):
        """Everything until the router closes."""
        return await asyncio.wait_for(self.reader.read(), timeout_s)


@contextlib.asynccontextmanager
async def raw_client(front):
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(front.url))
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()


async def together(started, *requests):
    """The answers to requests, each on a connection of its own, that are all there before the process looks at one."""
    async with contextlib.AsyncExitStack() as stack:
        process = psutil.Process(started.process.pid)
        process.suspend()
        try:
            clients = [await stack.enter_async_context(raw_client(started)) for _ in requests]  # the kernel accepts them
            for one, request in zip(clients, requests, strict=True):
                await one.send(request)
        finally:
            process.resume()
        return [await one.answer() for one in clients]


def working(demand_ms):
    """A request for so much work."""
    return b"GET /work HTTP/1.1\r\nHost: x\r\nX-Aegis-Demand-Ms: %d\r\n\r\n" % demand_ms
