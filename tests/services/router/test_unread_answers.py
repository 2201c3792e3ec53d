"""A client that does not read what it asked for costs little, and not for ever; one that is slow gets all of it."""

import asyncio
import contextlib
import select
import signal
import socket
import time
from unittest import mock

import pytest

from services.router.settings import DRAIN_S
from services.router.wire.closing import LINGER_S
from services.router.wire.heartbeat import Heartbeat
from services.router.wire.server import DataServer
from services.startup import listen, url_of
from tests.running import AT_MOST_S
from tests.services.live import client, eventually, json_of, router
from tests.services.router.raw import port_of, raw_client, raw_replica

SETTINGS = {
    "router": {
        "health": {"interval_s": 600},
        "timeouts": {"attempt_s": 60, "overall_s": 60, "idle_s": 3.0},
        "retry": {"max_attempts": 1},
    }
}
ANSWER_BYTES = 60_000
"""Passed on in one piece."""
KERNEL_BYTES = 12 << 20
"""More than the kernel keeps of what nobody reads."""
LONG_BYTES = 16 << 20
ASK = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def started():
    with router("--log-level", "error", settings=SETTINGS) as process:
        yield process
        assert process.said() == "", "nothing went wrong inside"


async def short(_head, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ANSWER_BYTES + b"x" * ANSWER_BYTES)


async def long_without_length(_head, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % LONG_BYTES)
    for _ in range(LONG_BYTES >> 16):
        writer.write(b"x" * (1 << 16))
        await writer.drain()
    writer.write(b"\r\n0\r\n\r\n")


class Reader:
    """A client whose kernel takes little that it does not read."""

    def __init__(self, sock):
        self.sock = sock

    async def send(self, data):
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(self.sock, data), 30)

    async def read(self, size=1 << 16):
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.sock, size), 30)

    def hurry(self):
        """Let the kernel take much from now on."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    async def is_reset(self):
        """Whether the connection has been cut off; what lies unread is left there."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


@contextlib.asynccontextmanager
async def reader(front):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port_of(front.url)))
        yield Reader(sock)


async def settled(replica):
    """Until the replica is asked nothing more for a while; how often it was."""
    seen, since = -1, 0.0

    async def quiet():
        nonlocal seen, since
        if len(replica.seen) != seen:
            seen, since = len(replica.seen), time.monotonic()
        return seen > 0 and time.monotonic() - since > 0.5

    await eventually(quiet, "the replica is asked nothing more")
    return seen


async def test_of_requests_sent_ahead_no_more_are_served_than_their_client_reads_and_all_when_it_does(started):
    asked = 400
    async with client() as session, raw_replica(started, session, short) as replica, reader(started) as one:
        await one.send(ASK * asked)
        assert await settled(replica) * ANSWER_BYTES < KERNEL_BYTES
        heard = 0
        while heard < asked * ANSWER_BYTES or len(replica.seen) < asked:
            piece = await one.read(1 << 20)
            assert piece, "the connection stays"
            heard += len(piece)


LAST = b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("asked", [ASK * 400, ASK * 400 + LAST], ids=["the connection stays", "it is to close"])
async def test_a_client_that_never_reads_what_it_asked_for_is_cut_off(started, asked):
    async with client() as session, raw_replica(started, session, short) as replica, reader(started) as one:
        await one.send(asked)
        await eventually(one.is_reset, "it is cut off")
        assert len(replica.seen) * ANSWER_BYTES < KERNEL_BYTES


async def read_until_served(session, front, one):
    """Read as little as makes the router have the whole answer; how much that was."""
    heard = 0

    async def served():
        nonlocal heard
        for _ in range(50):  # more than a few bytes between two looks
            heard += len(await one.read())
        return (await json_of(session, f"{front.admin}/stats"))["in_flight"] == 0

    await eventually(served, "the router has the whole answer")
    return heard


async def read_all(one, heard):
    while piece := await one.read(1 << 20):
        heard += len(piece)
    return heard


class Writes:
    """A service that has its whole answer at once, and more than any kernel keeps."""

    def begin(self, one, request, _began):
        one.transport.write(b"x" * LONG_BYTES)
        one.done(request, keep=request.keep_alive and request.complete)

    def refuse(self, reason, detail):
        raise AssertionError(f"{reason}: {detail}")

    def turn_away(self):
        raise AssertionError("nobody is")


@contextlib.asynccontextmanager
async def server(idle_s):
    """A data port, and a client of it."""
    heartbeat = Heartbeat()
    served = DataServer(Writes(), heartbeat, most=10, head_s=60, idle_s=idle_s)
    sock = listen("127.0.0.1", 0)
    await served.start(sock)
    try:
        async with reader(mock.Mock(url=url_of(sock))) as one:
            yield served, one
    finally:
        await served.cleanup()
        heartbeat.stop()


HALF = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nbody"
ENDS = {"it stays": ASK, "it closes": LAST, "it closes before the body is here": HALF}


@pytest.mark.parametrize("asked", ENDS.values(), ids=ENDS)
async def test_a_connection_with_an_unread_answer_does_not_live_for_ever(asked):
    async with server(idle_s=0.5) as (served, one):
        await one.send(asked)
        await eventually(one.is_reset, "it is cut off")

        async def left():
            return not served.clients

        await eventually(left, "nothing of it is kept")


@pytest.mark.parametrize("asked", ENDS.values(), ids=ENDS)
async def test_a_slow_client_gets_all_of_its_answer_however_its_connection_ends(asked):
    async with server(idle_s=20) as (served, one):
        await one.send(asked)
        heard = len(await one.read())
        await asyncio.sleep(3 * LINGER_S)  # it takes its time
        assert served.is_unread()
        while heard < LONG_BYTES:
            piece = await one.read()
            assert piece, heard
            heard += len(piece)
        if asked is not ASK:
            assert await one.read() == b""
        assert not served.is_unread()


async def test_a_slow_client_gets_all_of_its_answer_from_a_router_that_ends():
    with router(settings=SETTINGS) as front:
        async with client() as session, raw_replica(front, session, long_without_length), reader(front) as one:
            await one.send(b"GET /x HTTP/1.0\r\n\r\n")
            heard = await read_until_served(session, front, one)
            front.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(DRAIN_S / 5)  # longer than a router waits that nobody asks anything
            one.hurry()  # the rest is to come within what is left of the router's time
            assert await read_all(one, heard) > LONG_BYTES
        assert await asyncio.to_thread(front.process.wait, AT_MOST_S) == 0


async def test_a_part_of_an_answer_that_ends_with_its_connection_is_not_taken_for_the_whole(started):
    passed_on = asyncio.Event()

    async def breaks_off(_head, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        await passed_on.wait()
        writer.transport.abort()

    async with client() as session, raw_replica(started, session, breaks_off), raw_client(started) as one:
        await one.send(b"GET /x HTTP/1.0\r\n\r\n")
        await asyncio.wait_for(one.reader.readuntil(b"hello"), AT_MOST_S)
        passed_on.set()
        with pytest.raises(ConnectionError):
            await one.rest()
