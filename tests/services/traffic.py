"""GETs and POSTs with bodies of several sizes at a steady rate, each on a connection of its own, and what came of them."""

import asyncio
import itertools

from tests.services.router.raw import raw_client

KINDS = [(0, 0.0), (10, 0.0), (10, 0.3), (200_000, 0.0), (200_000, 1.6)]
"""Bytes of the body (0 = a GET), and seconds for which the client rests in the middle of sending it."""


def post(size, path="/work", more=""):
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n{more}\r\n".encode()


class Traffic:
    """Sends from its beginning until `end`."""

    def __init__(self, front, *, every_s=0.02, demand_ms=5, kinds=KINDS):
        self.front = front
        self.answers = []
        """Status (or what broke), size of the body, attempts, of each request."""
        self.stop = asyncio.Event()
        self.every_s = every_s
        self.more = f"X-Aegis-Demand-Ms: {demand_ms}\r\n"
        self.kinds = kinds
        self.sending = asyncio.create_task(self.send())

    async def send(self):
        kinds = itertools.cycle(self.kinds)
        async with asyncio.TaskGroup() as group:
            for number in itertools.count(1):
                group.create_task(self.one(str(number), *next(kinds)))
                try:
                    await asyncio.wait_for(self.stop.wait(), self.every_s)
                except TimeoutError:
                    continue
                return

    async def one(self, id_, size, pause_s):
        try:
            async with raw_client(self.front) as connection:
                more = f"X-Request-Id: {id_}\r\n{self.more}"
                if size == 0:
                    await connection.send(f"GET /work HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
                else:
                    await connection.send(post(size, more=more) + b"a" * (size // 2))
                    await asyncio.sleep(pause_s)
                    await connection.send(b"b" * (size - size // 2))
                status, headers, _ = await connection.answer()
                self.answers.append((status, size, headers.get("x-aegis-attempts")))
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.answers.append((repr(error), size, None))

    @property
    def lost(self):
        """Those that were not answered 200."""
        return [answer for answer in self.answers if answer[0] != 200]

    async def end(self):
        """Ask nothing more, and wait for all that was asked."""
        self.stop.set()
        await self.sending
