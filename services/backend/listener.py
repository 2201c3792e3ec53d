"""uvicorn with what a fault needs: the connection under a request, and a listening socket that can go away."""

import asyncio
import contextlib
import functools
import socket
import struct
from collections.abc import Iterator
from typing import Any

import uvicorn

from services.door.head_limit import HeadLimited
from services.startup import listen

KEEPALIVE_S = 75
"""Longer than the router's, so that the router closes idle connections first (caddy #6452)."""


class Protocol(HeadLimited):
    """Leaves the transport in the request's scope."""

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["aegis.transport"] = self.transport  # type: ignore[typeddict-unknown-key]


class Listener(uvicorn.Server):
    """One listening socket of the application."""

    def __init__(self, app: Any, sock: socket.socket) -> None:  # noqa: ANN401
        """Serves `app` on `sock` when `serve` runs."""
        super().__init__(
            uvicorn.Config(
                app,
                http=Protocol,
                loop="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                timeout_keep_alive=KEEPALIVE_S,
                timeout_graceful_shutdown=1,
                ws="none",
                server_header=False,
            )
        )
        self.address: tuple[str, int] = sock.getsockname()[:2]
        self._sock = sock
        self.refusing = False

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the replica's own business."""
        yield

    async def run_until_stopped(self) -> None:
        """Serve until `should_exit` is set."""
        await self.serve(sockets=[self._sock])

    async def until_started(self) -> None:
        """Return when connections are accepted."""
        while not self.started:  # noqa: ASYNC110 - uvicorn offers a flag only
            await asyncio.sleep(0.005)

    def refuse(self) -> None:
        """Close the listening socket and cut the connections."""
        self.refusing = True
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                cut(connection.transport)

    async def accept_again(self) -> None:
        """Listen again on the same port.

        Raises:
            ValueError: something else has taken it.
        """
        try:
            sock = listen(*self.address)
        except SystemExit as error:
            raise ValueError(f"refuse: cannot be healed now: {error}") from error
        factory = functools.partial(
            Protocol,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        server = await asyncio.get_running_loop().create_server(factory, sock=sock)
        self.servers = [server]
        self.refusing = False


def cut(transport: Any) -> None:  # noqa: ANN401
    """Reset a connection: RST instead of FIN, since nothing is to be flushed (SO_LINGER 0)."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
