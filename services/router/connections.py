"""The clients' connections to the data port: what aiohttp's server does otherwise than a proxy must."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler, _ErrInfo

KEEPALIVE_S = 75.0
"""An idle connection of a client is closed after so long (nginx's default)."""
RESERVED = 64
"""Descriptors that are nobody's connection: listeners, checks, the admin port, files."""
LINGER_S = 0.5
"""A client that is turned away may read the answer for so long; closed at once, what it sends would reset it."""
MOST_LINGERING = 16
"""So many do at a time, on reserved descriptors; the others are cut off."""


def most_clients(descriptors: int) -> int:
    """How many clients may be connected: a proxied request needs two descriptors (as HAProxy counts its `maxconn`)."""
    return max(1, (descriptors - min(RESERVED, descriptors // 2)) // 2)


class Connection(RequestHandler):
    """One client's connection."""

    __slots__ = ("is_surplus",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected; one beyond those that there are descriptors for is turned away, asked or not."""
        super().connection_made(transport)
        manager, self.is_surplus = self._manager, False
        if self.transport is None or not isinstance(manager, DataServer) or manager.open <= manager.most:
            return
        self.is_surplus = True
        self.transport.write(manager.turn_away())
        if manager.open > manager.most + min(MOST_LINGERING, manager.most):
            self.force_close()
        else:  # RFC 9112, section 9.6
            self.transport.write_eof()
            self._loop.call_later(LINGER_S, self.force_close)

    def data_received(self, data: bytes) -> None:
        """Tell the reader of a body that has gone wrong: aiohttp would let it wait for the rest."""
        if self.is_surplus:
            return
        super().data_received(data)
        if not self._messages or not isinstance(self._messages[-1][0], _ErrInfo):
            return
        if len(self._messages) > 1:
            body = self._messages[-2][1]
        elif self._current_request is not None:
            body = self._current_request.content
        else:
            return
        if not body.is_eof() and body.exception() is None:
            body.set_exception(web.RequestPayloadError(first_line(self._messages[-1][0].message)))
            body.feed_eof()  # nobody is to wait for more

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no request in the router's own words; nothing of the router's failed, so nothing is logged."""
        if isinstance(exc, HttpProcessingError) and isinstance(self._manager, DataServer):
            return self._manager.refuse(first_line(message or exc.message))
        return super().handle_error(request, status, exc, message)


class DataServer(web.Server):
    """Serves the data port."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        refuse: Callable[[str], web.StreamResponse],
        turn_away: Callable[[], bytes],
        most: int,
    ) -> None:
        """`refuse` makes the answer to what is no request, given the reason.

        `most` clients may be connected; each one more gets the bytes of `turn_away`, and is closed.
        """
        super().__init__(handler, handler_cancellation=True)
        self.refuse = refuse
        self.turn_away = turn_away
        self.most = most
        self.open = 0
        """Clients that are connected."""
        self._options: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": KEEPALIVE_S,
            "auto_decompress": False,
        }

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count it."""
        self.open += 1
        super().connection_made(handler, transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """It is gone."""
        self.open -= 1
        super().connection_lost(handler, exc)

    def __call__(self) -> RequestHandler:
        """The handler of a new connection."""
        return Connection(self, loop=self._loop, **self._options)


class Malformed(logging.Filter):
    """Leaves the malformed requests out of a server's log: whoever sends them hears 400, and could fill a disk."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is to be logged."""
        return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


def first_line(message: str) -> str:
    """The first line of what aiohttp's parser says; the next ones show the bytes."""
    return message.strip().split("\n", 1)[0].rstrip(" :")
