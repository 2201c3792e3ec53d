"""The connections of a router to one replica, byte for byte: what the path's weather lets through, and when.

A relay ends TCP on both of its sides, so it plays what its peers would see rather than what a wire would do:

- What a partition holds back goes on when it is healed, as TCP's retransmissions would; if its sender has given up the
  connection meanwhile it is gone with it. (TCP tries again after up to twice the time that it has waited already.)
- A new connection gets no answer to its SYN: the listening socket's queue is kept full, and Linux drops what comes
  (tcp(7), `listen(2)`); its kernel tries again after 1, 3, 7 s and so on.
- Bytes that vanish are acknowledged by the relay: TCP_USER_TIMEOUT and tcp_retries2 are never tried.
- A delay is that of bytes; the handshake takes none.
"""

import asyncio
import contextlib
import random
import select
import socket
import struct
from collections import deque
from typing import cast

from experiments.relay.faults import FAIR, Weather
from services.startup import BACKLOG

MOST_BYTES = 1 << 20
"""What one way holds; then its sender is read no further."""
CONNECT_S = 5.0
"""Longest wait for the replica, seconds; the router's own time for a connection has passed before."""
FARAWAY_S = 0.01
"""A connection over loopback that is not made by then is not made, seconds."""
FILLERS = 64
"""More connections than a queue of length 0 takes."""
_RESET = struct.pack("ii", 1, 0)


class _End(asyncio.Protocol):
    """One end of a connection."""

    def __init__(self, link: "_Link") -> None:
        self.link = link
        self.transport: asyncio.Transport | None = None
        self.out: _Way
        """What goes out at this end."""
        self.into: _Way
        """What comes in here."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is made."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes."""
        self.into.put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone, in order or not."""
        self.transport = None
        self.out.drop()
        if self.link.path.loses(self.into):
            self.into.drop()  # nobody sends it again
        self.into.put(b"" if exc is None else None)
        self.link.path.tidy(self.link)

    def pause_writing(self) -> None:
        """Its peer does not read."""
        self.out.is_full = True
        self.out.hold_back()

    def resume_writing(self) -> None:
        """It does."""
        self.out.is_full = False
        self.out.hold_back()


class _Way:
    """One direction: bytes in their order, each at its moment; then a farewell, b"" in order, None = a reset."""

    def __init__(self, path: "Path", link: "_Link", source: _End, sink: _End, *, is_request: bool) -> None:
        self.is_request = is_request
        self.is_full = False
        self._path = path
        self._link = link
        self._source = source
        self._sink = sink
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._bytes = 0
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        source.into = sink.out = self

    def put(self, data: bytes | None) -> None:
        """It has come."""
        link, now = self._link, self._path.now()
        if self._path.weather.forgets(now - link.moved_at):
            link.forget()
        link.moved_at = now
        if link.is_forgotten:
            return
        self._last = max(self._last, now + self._path.added_s())  # a connection's bytes do not overtake each other
        self._queue.append((self._last, data))
        self._bytes += len(data or b"")
        self.move()
        self.hold_back()

    def move(self) -> None:
        """Pass on what is due."""
        if self._path.loses(self) or self._sink.transport is None:
            return
        while self._queue:
            due, data = self._queue[0]
            if due > self._path.now():
                if self._timer is None:
                    self._timer = self._path.loop.call_at(due, self._due)
                break
            self._queue.popleft()
            self._bytes -= len(data or b"")
            if data:
                self._sink.transport.write(data)
            else:
                self._link.part(self._sink, in_order=data is not None)
                break
        self.hold_back()

    def _due(self) -> None:
        self._timer = None
        self.move()

    def hold_back(self) -> None:
        """Read no more than can be kept."""
        transport = self._source.transport
        if transport is None or transport.is_closing():
            return
        if self.is_full or self._bytes > MOST_BYTES:
            transport.pause_reading()
        elif not transport.is_reading():
            transport.resume_reading()

    def drop(self) -> None:
        """What is on its way is gone."""
        self._queue.clear()
        self._bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Link:
    """A connection of the router, and the one to the replica that it stands for."""

    def __init__(self, path: "Path") -> None:
        self.path = path
        self.is_forgotten = False
        self.moved_at = path.now()
        """When something last moved on it."""
        self.near, self.far = _End(self), _End(self)
        self.ways = (
            _Way(path, self, self.near, self.far, is_request=True),
            _Way(path, self, self.far, self.near, is_request=False),
        )

    def forget(self) -> None:
        """Nothing that is said on it arrives any more, and neither end hears of that."""
        self.is_forgotten = True
        for way in self.ways:
            way.drop()

    def part(self, end: _End, *, in_order: bool) -> None:
        """Close one end."""
        transport = end.transport
        if transport is None or transport.is_closing():
            return
        if in_order:
            transport.close()
            return
        with contextlib.suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()

    @property
    def is_over(self) -> bool:
        """Whether nobody is left at either end."""
        return self.near.transport is None and self.far.transport is None

    def close(self) -> None:
        """Leave nothing behind."""
        self.forget()
        for end in (self.near, self.far):
            if end.transport is not None:
                end.transport.abort()


class Path:
    """Between the router and a replica: the relay's own listening socket, and all that comes in there."""

    def __init__(self, host: str, port: int, rng: random.Random) -> None:
        """To the replica at `host:port`. Needs a running loop.

        `rng` draws delays.
        """
        self.loop = asyncio.get_running_loop()
        self.weather = FAIR
        self._to = (host, port)
        self._rng = rng
        self._links: set[_Link] = set()
        self._making: set[asyncio.Task[None]] = set()
        self._fillers: list[socket.socket] = []
        self._listener = _bound(0)
        self._listener.listen(BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self.is_open = True
        """Whether somebody listens."""
        self.loop.add_reader(self._listener, self._accept)

    def now(self) -> float:
        """Of the loop's clock, seconds."""
        return self.loop.time()

    def added_s(self) -> float:
        """How much longer bytes take that come now, seconds."""
        return self.weather.added_s(lambda: self._rng.random() or 0.5)

    def loses(self, way: _Way) -> bool:
        """Whether nothing gets through that way for now."""
        return self.weather.loses_requests if way.is_request else self.weather.loses_answers

    # -- what is done to it

    def change(self, weather: Weather) -> None:
        """From now on."""
        before, self.weather = self.weather, weather
        if weather.forgets_all_after(before):
            for link in self._links:
                link.forget()
        if self.is_open and before.connects and not weather.connects:
            self._stop_answering()
        elif self.is_open and weather.connects and not before.connects:
            self._answer_again()
        for link in self._links:
            for way in link.ways:
                way.move()

    def _stop_answering(self) -> None:
        """Fill the queue of those who want to connect: the kernel then drops who comes."""
        self.loop.remove_reader(self._listener)
        self._listener.listen(0)
        for _ in range(FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self._listener.getsockname())
            poll = select.poll()
            poll.register(filler, select.POLLOUT)
            self._fillers.append(filler)
            if not poll.poll(FARAWAY_S * 1e3):
                return

    def _answer_again(self) -> None:
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        self._listener.listen(BACKLOG)
        self.loop.add_reader(self._listener, self._accept)

    def refuse(self) -> None:
        """Nobody listens at the replica's own port: nor does here, so that the next one is refused as well."""
        if self.is_open:
            self._stop_listening()
            self._listener = _bound(self.port)  # so that nobody else takes the port

    def _stop_listening(self) -> None:
        self.is_open = False
        self.loop.remove_reader(self._listener)
        self._listener.close()
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()

    def serve(self) -> None:
        """There may be somebody again."""
        if not self.is_open:
            self._listener.listen(BACKLOG)
            self.is_open = True
            self.loop.add_reader(self._listener, self._accept)
            if not self.weather.connects:
                self._stop_answering()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.is_open:
            self._stop_listening()
        self._listener.close()
        for task in self._making:
            task.cancel()
        for link in list(self._links):
            link.close()

    # -- connections

    def tidy(self, link: _Link) -> None:
        """One of its ends is gone."""
        if link.is_over:
            self._links.discard(link)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                task = self.loop.create_task(self._make(sock))
                self._making.add(task)
                task.add_done_callback(self._making.discard)

    async def _make(self, sock: socket.socket) -> None:
        """Connect to the replica, as whoever has connected here."""
        link = _Link(self)
        await self.loop.connect_accepted_socket(lambda: link.near, sock)
        try:
            async with asyncio.timeout(CONNECT_S):
                await self.loop.create_connection(lambda: link.far, *self._to)
        except OSError as error:
            link.part(link.near, in_order=False)
            if isinstance(error, ConnectionRefusedError):
                self.refuse()
            return
        self._links.add(link)
        for way in link.ways:
            way.move()


def _bound(port: int) -> socket.socket:
    """A socket of loopback that does not listen: who connects is refused. 0 picks a free port.

    It names its protocol, without which asyncio leaves TCP_NODELAY off in all that it accepts: the second piece of an
    answer then waits for the peer's delayed acknowledgement, up to 40 ms (RFC 896; RFC 1122, 4.2.3.2).
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.setblocking(False)
    return sock
