"""The data port: whom it lets in, how many, and until when."""

import asyncio
import socket
from typing import Protocol

from services.router.wire.client import Client
from services.router.wire.heartbeat import Heartbeat
from services.router.wire.messages import Request
from services.router.wire.outbox import Outbox
from services.startup import BACKLOG

RESERVED = 64
"""Descriptors that are nobody's connection: listeners, checks, the admin port, files."""
MOST_LINGERING = 16
"""So many who are turned away may read their answer at a time, on reserved descriptors; the others are cut off."""


def most_clients(descriptors: int) -> int:
    """How many clients may be connected: a proxied request needs two descriptors (as HAProxy counts its `maxconn`)."""
    return max(1, (descriptors - min(RESERVED, descriptors // 2)) // 2)


class Service(Protocol):
    """What is done with requests."""

    def begin(self, client: Client, request: Request, began: float) -> None:
        """Serve a request."""

    def refuse(self, reason: str, detail: str) -> bytes:
        """The answer to what could not be read as a request."""

    def turn_away(self) -> bytes:
        """What a client hears beyond those that may be connected; it has asked nothing yet."""


class DataServer:
    """Serves the data port."""

    def __init__(self, service: Service, heartbeat: Heartbeat, most: int, head_s: float, idle_s: float) -> None:
        """`most` clients may be connected; each one more gets the bytes of `turn_away`, and is closed.

        A head may take `head_s`; a client that reads nothing for `idle_s` is cut off. Needs a running loop.
        """
        self.outbox = Outbox(asyncio.get_running_loop().call_soon)
        self.begin = service.begin
        self.refusal = service.refuse
        self.arrived = heartbeat.arrived
        self.connected = heartbeat.connected
        self.head_s = head_s
        self.idle_s = idle_s
        self._turn_away = service.turn_away
        self._most = most
        self.clients: set[Client] = set()
        """Those that are connected."""
        self._server: asyncio.Server | None = None

    async def start(self, sock: socket.socket) -> None:
        """Accept clients on a socket that listens."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Client(self, loop), sock=sock, backlog=BACKLOG)

    def let_in(self, client: Client) -> bool:
        """Count a client; one beyond those that there are descriptors for is turned away, asked or not."""
        self.clients.add(client)
        count = len(self.clients)
        if count <= self._most:
            return True
        client.write(self._turn_away())
        client.linger()
        if count > self._most + min(MOST_LINGERING, self._most):
            client.close_idle()
        return False

    def left(self, client: Client) -> None:
        """It is gone."""
        self.clients.discard(client)

    def is_unread(self) -> bool:
        """Whether a client has not read yet what the router holds for it, answers that have ended included."""
        self.outbox.flush()
        return any(client.transport.get_write_buffer_size() > 0 for client in self.clients)

    async def stop(self) -> None:
        """Accept no more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def cleanup(self, cut_s: float = 0.0) -> None:
        """Close all connections; an answer that has been written may still be read for `cut_s` seconds."""
        await self.stop()
        for client in list(self.clients):
            client.close_idle()
        if self.clients:
            await asyncio.sleep(cut_s)
        for client in list(self.clients):
            client.cut()
        await asyncio.sleep(0)
