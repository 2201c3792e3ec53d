"""One question of the router's own to a replica, on a connection of its own: whether it accepts one is part of it."""

import asyncio
from urllib.parse import urlsplit

from services.router.wire.heads import VIA
from services.router.wire.outbox import Outbox
from services.router.wire.replica import Connection


class NoAnswerError(OSError):
    """The replica sent no answer, or what is none; the text says which."""


class _Question:
    """Waits for the head of an answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.status = loop.create_future()
        self.outbox = Outbox(loop.call_soon)
        self.connection: Connection | None = None

    def gone(self, connection: Connection) -> None:
        """The connection is closed."""

    def heard(self) -> None:
        """More of the answer is here, or the connection is gone."""
        connection = self.connection
        if connection is None or self.status.done():
            return
        if connection.wrong is not None:
            self.status.set_exception(NoAnswerError(connection.wrong))
        elif connection.answer is not None:
            self.status.set_result(connection.answer.status)
        elif connection.lost is not None:
            self.status.set_exception(NoAnswerError(str(connection.lost)))

    def sendable(self) -> None:
        """A head is never longer than what fits."""


async def status_of(url: str) -> int:
    """GET it: the status that is answered. Nothing is followed or asked twice.

    Raises:
        OSError: there is no connection; NoAnswerError, which is one: there is no answer.
    """
    loop = asyncio.get_running_loop()
    question, parts = _Question(loop), urlsplit(url)
    _, connection = await loop.create_connection(
        lambda: Connection(question, url, parts.netloc.encode()), parts.hostname or "", parts.port or 80
    )
    try:
        question.connection = connection
        connection.ask(question, False)
        lines = (f"GET {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}", f"Via: {VIA}", "Connection: close")
        connection.write("\r\n".join((*lines, "", "")).encode())
        return int(await question.status)
    finally:
        connection.close()
