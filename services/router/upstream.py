"""The router's connections to replicas: kept open between requests, and only as long as nothing unasked comes in.

What a replica sends between two answers belongs to no request. Read as the next answer, it would go to another client;
so a connection on which it comes is closed (RFC 9112, section 9.2: the response to the last request is the end of what
is expected; HAProxy closes such idle connections, too).
"""

import asyncio
import functools
import select
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from services.descriptors import NO_DESCRIPTOR, own_fault
from services.router.settings import RouterSettings

KEEPALIVE_S = 15.0
"""Idle connections to replicas are closed by the router first: the replicas wait for 75 s (caddy #6452)."""
CHUNK_BYTES = 65_536
"""So much of a body is read at once."""


class Upstream(ResponseHandler):
    """One connection to a replica."""

    is_asked = False
    """Whether a request is under way on it."""

    def set_response_params(self, **params: Any) -> None:  # noqa: ANN401 - aiohttp's own
        """A request is about to be sent."""
        self.is_asked = True
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Pass on what belongs to an answer, and nothing, with which aiohttp wakes its own parser.

        The end of an answer gives the connection back from within that; what follows in the same piece came unasked.
        """
        if self.is_asked or not data:
            super().data_received(data)
            if self.is_asked or not self.should_close:
                return
        self.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The replica is gone; an answer that ends with its connection is whole only where that was closed in order.

        Where its coding went wrong, aiohttp has closed the connection and told the reader of heads only.
        """
        broken = exc or self._exception
        if broken is not None and self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(aiohttp.ClientPayloadError(f"the connection broke off: {broken}"))
        super().connection_lost(exc)

    def has_news(self) -> bool:
        """Whether the peer has said something since its answer: unasked bytes, or its farewell.

        They lie in the queue, as half a head in the parser (the next request has a new one), or still in the kernel.
        """
        if self.should_close or self._has_half_a_head():
            return True
        sock = None if self.transport is None else self.transport.get_extra_info("socket")
        if sock is None:
            return True
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _has_half_a_head(self) -> bool:
        try:
            return self._parser is not None and self._parser.feed_eof() is not None
        except Exception:  # whatever the parser makes of it
            return True


class Connector(aiohttp.TCPConnector):
    """Makes such connections, and gives out an idle one only where it is as it was left."""

    def __init__(self) -> None:
        """Needs a running event loop."""
        super().__init__(limit=0, keepalive_timeout=KEEPALIVE_S)
        self._factory: functools.partial[Any] = functools.partial(Upstream, loop=self._loop)

    async def _get(self, key: Any, traces: Any) -> Any:  # noqa: ANN401 - aiohttp's own
        while (connection := await super()._get(key, traces)) is not None:
            if not cast(Upstream, connection.protocol).has_news():
                return connection
            connection.close()
        return None

    async def _create_connection(self, *what: Any) -> ResponseHandler:  # noqa: ANN401 - aiohttp's own
        """Where no descriptor is left, give up the idle connections for it (HAProxy: `tune.pool-high-fd-ratio`)."""
        try:
            return await super()._create_connection(*what)
        except OSError as error:
            if own_fault(error) not in NO_DESCRIPTOR:
                raise
        for protocols in self._conns.values():
            for protocol, _ in protocols:
                protocol.close()
        self._conns.clear()
        await asyncio.sleep(0)  # the loop closes them, and those that another request has just given up
        return await super()._create_connection(*what)

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:  # noqa: ANN401
        super()._release(key, protocol, should_close=should_close)
        cast(Upstream, protocol).is_asked = False


def client_session(settings: RouterSettings) -> aiohttp.ClientSession:
    """The client towards replicas: no cookies, no redirects, no pool limit, no silent retries."""
    session = aiohttp.ClientSession(
        connector=Connector(),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        # No `sock_read`: it would cap `attempt_s`, and `idle_s` is held where bodies are read.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.timeouts.connect_s),
        read_bufsize=CHUNK_BYTES,
    )
    # The client would resend idempotent requests by itself, past the retry budget (client.py, _retry_connection).
    session._retry_connection = False
    return session


def exact_url(base: str, target: str) -> URL:
    """The URL that is asked for as `target` (path and query), to the byte: yarl forgets the mark of an empty query.

    A fragment, which no request has (RFC 9112, section 3.2.1), is left out, as by Envoy.
    """
    asked = target.partition("#")[0]
    url = URL(f"{base}{asked}", encoded=True)
    if asked.endswith("?"):
        url._cache["raw_path_qs"] = asked  # what aiohttp sends; equal URLs share it, and mean the same
    return url
