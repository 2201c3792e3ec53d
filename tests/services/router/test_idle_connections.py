"""What a replica sends on a connection on which nothing was asked reaches no client."""

import asyncio
import os
import signal
import socket
import struct

import psutil
import pytest

from tests.running import AT_MOST_S
from tests.services.live import client, eventually, json_of, router
from tests.services.router.raw import raw_client, raw_replica

STRAY = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"
SETTINGS = {"router": {"health": {"interval_s": 600}}}


@pytest.fixture(scope="module")
def started():
    with router(settings=SETTINGS) as process:
        yield process


def answer_to(head):
    body = head.split()[1]
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def ask(front, path, method="GET"):
    async with raw_client(front) as one:
        await one.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        status, _, body = await one.answer()
        return status, body.decode()


async def at_once(head, writer):
    writer.write(answer_to(head) + STRAY)


async def a_little_later(head, writer):
    writer.write(answer_to(head))
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.write(STRAY)


async def no_whole_answer(head, writer):
    writer.write(answer_to(head))
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.write(STRAY[:10])


def in_pieces(head, *pieces):
    """An answer of which each piece comes by itself, the last one with a second answer."""

    async def stray(_head, writer):
        for piece in (head, *pieces):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)

    return stray


LENGTH, CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TOGETHER = {
    "after the head": in_pieces(LENGTH, b"/mine" + STRAY),
    "in the body": in_pieces(LENGTH + b"/mi", b"ne" + STRAY),
    "at the last chunk": in_pieces(CHUNKED + b"5\r\n/mine\r\n", b"0\r\n\r\n" + STRAY),
}


@pytest.mark.parametrize("stray", [at_once, a_little_later, no_whole_answer, *TOGETHER.values()])
async def test_a_second_answer_goes_to_nobody_and_closes_its_connection(started, stray):
    first = True

    async def answer(head, writer):
        nonlocal first
        if first:
            first = False
            await stray(head, writer)
        else:
            writer.write(answer_to(head))

    async with client() as session, raw_replica(started, session, answer) as replica:
        async with raw_client(started) as one:
            await one.send(b"POST /mine HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            heard = await one.rest()
            assert heard.startswith(b"HTTP/1.1 200 ") and b"/mine" in heard and b"secret" not in heard

        async def closed():
            return replica.closed == 1

        await eventually(closed, "the connection was closed")
        for method in ("POST", "GET", "POST"):
            assert await ask(started, "/other", method) == (200, "/other")
        assert [head.split()[1] for head, _ in replica.seen] == [b"/mine", *[b"/other"] * 3]


async def test_a_second_answer_that_comes_in_the_same_moment_as_the_next_request_goes_to_nobody(started):
    async def answer(head, writer):
        writer.write(answer_to(head))

    async with client() as session, raw_replica(started, session, answer) as replica:
        assert await ask(started, "/mine") == (200, "/mine")
        process = psutil.Process(started.process.pid)
        process.suspend()
        try:
            async with raw_client(started) as other:
                await other.send(b"POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                replica.writers[-1].write(STRAY)
                await replica.writers[-1].drain()
                os.kill(process.pid, signal.SIGCONT)
                status, _, body = await other.answer()
        finally:
            process.resume()
        assert (status, body) == (200, b"/other")
        assert len(replica.seen) == 2


@pytest.mark.parametrize("seen", [9, 20])
async def test_half_a_second_answer_at_the_end_of_the_first_is_not_the_beginning_of_the_next(started, seen):
    asked = 0

    async def answer(head, writer):
        nonlocal asked
        asked += 1
        if asked == 1:
            writer.write(answer_to(head) + STRAY[:seen])
        else:
            writer.write(answer_to(head) if writer is not replica.writers[used] else STRAY[seen:])

    async with client() as session, raw_replica(started, session, answer) as replica:
        used = len(replica.writers)
        assert await ask(started, "/mine") == (200, "/mine")
        assert await ask(started, "/other", "POST") == (200, "/other")


async def test_a_connection_without_surprises_is_used_again(started):
    async def answer(head, writer):
        writer.write(answer_to(head))

    async with client() as session, raw_replica(started, session, answer) as replica:
        before = len(replica.writers)
        for _ in range(5):
            assert await ask(started, "/x") == (200, "/x")
        assert len(replica.writers) == before + 1


async def hear_it_break_off(started, part, passed_on):
    """Ask, say that the part of the answer has come, and hear the rest, which does not say that it is whole."""
    async with raw_client(started) as one:
        await one.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(one.reader.readuntil(part), AT_MOST_S)
        passed_on.set()
        try:
            heard = await one.rest()
        except ConnectionError:
            heard = b""
    assert not heard.endswith(b"0\r\n\r\n"), "the end of a chunked body says that it is whole"


async def test_an_answer_without_length_that_ends_in_a_reset_is_not_passed_on_as_whole(started):
    passed_on = asyncio.Event()

    async def cut(_head, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart")
        await writer.drain()
        await passed_on.wait()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with client() as session, raw_replica(started, session, cut):
        before = (await json_of(session, f"{started.admin}/stats"))["broken_total"]
        await hear_it_break_off(started, b"part", passed_on)
        assert (await json_of(session, f"{started.admin}/stats"))["broken_total"] == before + 1


async def test_a_chunked_answer_that_goes_wrong_in_its_middle_breaks_off_at_once(started):
    passed_on = asyncio.Event()

    async def wrong(_head, writer):
        writer.write(CHUNKED + b"2\r\nok\r\n")
        await writer.drain()
        await passed_on.wait()
        writer.write(b"zz\r\n")

    async with client() as session, raw_replica(started, session, wrong, "wrong"):
        before = (await json_of(session, f"{started.admin}/stats"))["broken_total"]
        await hear_it_break_off(started, b"2\r\nok\r\n", passed_on)
        stats = await json_of(session, f"{started.admin}/stats")
        assert stats["broken_total"] == before + 1 and stats["in_flight"] == 0
        assert [r["failures_total"] for r in stats["replicas"] if r["id"] == "wrong"] == [1]
