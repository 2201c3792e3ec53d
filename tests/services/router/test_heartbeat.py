"""A loop that is late in every turn knows in every turn since when what it reads has been there."""

import asyncio
import functools
import socket
import time

import uvloop

from services.router.wire.heartbeat import BEAT_S, SLACK_S, Heartbeat

BUSY_S = 0.05
TURNS = 12
CLOCK_S = 0.005
"""uvloop's timers count whole milliseconds from the turn's beginning."""


def spin(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


class Busy(asyncio.Protocol):
    """Keeps the loop from its sockets in every turn; what it does first is seen by others only after that."""

    def __init__(self, does, other):
        self.does = does
        self.other = other

    def data_received(self, _data):
        if self.does():
            spin(BUSY_S)
            self.other.send(b"x")


async def kept_busy(does):
    """Call `does` at the beginning of each of `TURNS` late turns."""
    loop = asyncio.get_running_loop()
    (one, to_one), (two, to_two) = socket.socketpair(), socket.socketpair()
    turns = iter(range(TURNS))
    over = asyncio.Event()

    def begins():
        if next(turns, None) is None:
            over.set()
            return False
        does()
        return True

    transports = []
    for sock, other in ((one, to_two), (two, to_one)):
        sock.setblocking(False)
        transport, _ = await loop.create_connection(functools.partial(Busy, begins, other), sock=sock)
        transports.append(transport)
    to_one.send(b"x")
    await asyncio.wait_for(over.wait(), 60)
    await asyncio.sleep(BUSY_S)
    for transport in transports:
        transport.close()
    to_one.close()
    to_two.close()


def test_bytes_are_dated_back_in_every_late_turn_and_not_only_in_the_first():
    found = []

    async def main():
        heartbeat = Heartbeat()
        mark, to_mark = socket.socketpair()
        mark.setblocking(False)
        written = []

        class Mark(asyncio.Protocol):
            def data_received(self, data):
                now = time.monotonic()
                found.append((now - written[-len(data)], now - heartbeat.arrived(now)))

        transport, _ = await asyncio.get_running_loop().create_connection(Mark, sock=mark)

        def does():
            written.append(time.monotonic())
            to_mark.send(b"m")

        await kept_busy(does)
        transport.close()
        to_mark.close()
        heartbeat.stop()

    uvloop.run(main())
    assert len(found) >= TURNS / 2
    assert all(dated >= waited - BEAT_S - SLACK_S - CLOCK_S for waited, dated in found), found


def test_clients_that_connect_are_dated_back_in_every_late_turn():
    found = []

    async def main():
        heartbeat = Heartbeat()
        began, clients, transports = [], [], []

        class Let(asyncio.Protocol):
            def connection_made(self, transport):
                now = time.monotonic()
                transports.append(transport)
                found.append((now - began[len(found)], now - heartbeat.connected(now)))

        server = await asyncio.get_running_loop().create_server(Let, "127.0.0.1", 0)

        def does():
            began.append(time.monotonic())
            clients.append(socket.create_connection(server.sockets[0].getsockname()))

        await kept_busy(does)
        for each in (*transports, *clients, server):
            each.close()
        heartbeat.stop()

    uvloop.run(main())
    assert len(found) >= TURNS / 2
    assert all(dated >= waited - BEAT_S - SLACK_S - CLOCK_S for waited, dated in found), found
