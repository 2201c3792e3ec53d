"""The end of a client's connection: it may read what has been written, as long as it does read.

What has been written waits in the router's buffer and in the kernel's. A client that takes from them is waited for,
one that takes nothing is cut off, and learns of it by a reset: a farewell in order would make the part that it has look
like the whole where an answer ends with its connection (RFC 9112, section 6.3).
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
import time

from services.router.wire.deadline import Deadline

LINGER_S = 0.5
"""A client that may send no more, and has been sent all, is listened to for so long: a reset, which closing a socket
with unread bytes causes, would take the answer from it (RFC 9112, section 9.6)."""
MAX_LINGER_BYTES = 1 << 20
"""So much of what it still sends is thrown away; then it is read no further, and cut off once it has been sent all."""
_RESET = struct.pack("ii", 1, 0)


def unsent_bytes(transport: asyncio.Transport) -> int:
    """What the peer has not acknowledged yet, the kernel's share included where the system tells it (Linux does)."""
    size = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            size += struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
    return size


def reset(transport: asyncio.Transport) -> None:
    """Cut a connection off so that the peer sees a reset (SO_LINGER with no time; uvloop's abort says farewell)."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def cut(transport: asyncio.Transport) -> None:
    """Close at once: in order where all is in the kernel's hands, by a reset where a part is thrown away."""
    if transport.get_write_buffer_size() > 0:
        reset(transport)
    else:
        transport.abort()


class Unread:
    """Whether a peer reads what has been written to it."""

    __slots__ = ("_at", "_transport", "bytes")

    def __init__(self, transport: asyncio.Transport, now: float) -> None:
        """It is looked at from `now` on."""
        self._transport = transport
        self._at = now
        self.bytes = unsent_bytes(transport)
        """What it had not read at the last look."""

    def unmoved_s(self, now: float) -> float:
        """Look; how long it has been seen to read nothing, seconds."""
        left = unsent_bytes(self._transport)
        if left < self.bytes:
            self.bytes, self._at = left, now
        return now - self._at


class Farewell:
    """Closes one connection in order."""

    __slots__ = ("_deadline", "_patience_s", "_thrown", "_transport", "_unread")

    def __init__(self, transport: asyncio.Transport, deadline: Deadline, patience_s: float) -> None:
        """A peer that reads nothing for `patience_s` is cut off; `deadline` calls `expired`."""
        self._transport = transport
        self._deadline = deadline
        self._patience_s = patience_s
        self._thrown = 0
        self._unread = Unread(transport, time.monotonic())

    def close(self) -> None:
        """Close when all has been written."""
        if self._transport.get_write_buffer_size() > 0:
            self._look_later()
        else:
            self._deadline.clear()
        self._transport.close()

    def linger(self) -> None:
        """Say that what has been written was the last word, and let the peer read it, whatever it still sends."""
        self._transport.resume_reading()
        self._transport.write_eof()
        self._look_later()

    def received(self, count: int) -> None:
        """So many bytes more have come, and are thrown away."""
        self._thrown += count
        if self._thrown > MAX_LINGER_BYTES and not self._transport.is_closing():
            if unsent_bytes(self._transport) > 0:
                self._transport.pause_reading()
            else:
                self._transport.abort()

    def expired(self) -> None:
        """Look whether it reads."""
        unread, now = self._unread, time.monotonic()
        left = unread.bytes
        unmoved_s = unread.unmoved_s(now)
        if not left or unmoved_s >= self._patience_s:
            cut(self._transport)
            return
        if not unread.bytes and not self._transport.is_closing():
            self._thrown = 0
            self._transport.resume_reading()
        self._look_later()

    def _look_later(self) -> None:
        self._deadline.set(time.monotonic() + min(LINGER_S, self._patience_s))
