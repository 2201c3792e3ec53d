"""What a parser that has stopped leaves behind: a body after an upgrade that is not made, and bytes in the socket."""

import asyncio
import select
from collections.abc import Callable
from typing import Final

HUNG_UP: Final = select.POLLHUP | select.POLLERR | int(getattr(select, "POLLRDHUP", 0))
"""A reset, or (where the system tells it, as Linux does) a farewell behind bytes that are not read yet."""


class Body:
    """What a parser calls of which only the body is wanted."""

    def __init__(self, on_body: Callable[[bytes], None], on_message_complete: Callable[[], None]) -> None:
        """Its head is nobody's business."""
        self.on_body = on_body
        self.on_message_complete = on_message_complete


def is_readable(transport: asyncio.Transport) -> bool:
    """Whether bytes or a farewell lie in the socket of a transport, unread."""
    sock = transport.get_extra_info("socket")
    if sock is None or transport.is_closing():
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def has_hung_up(transport: asyncio.Transport) -> bool:
    """Whether the peer of a transport has, whatever lies unread before its farewell."""
    sock = transport.get_extra_info("socket")
    if sock is None or transport.is_closing():
        return True
    poll = select.poll()
    poll.register(sock.fileno(), HUNG_UP)
    return bool(poll.poll(0))
