"""A replica that puts every byte on the wire itself: what is strange reaches no client, and the next request its own answer."""

import asyncio

import pytest

from tests.services.live import client, json_of, router
from tests.services.router.raw import raw_client, raw_replica

SETTINGS = {
    "router": {
        "health": {"interval_s": 600},
        "timeouts": {"attempt_s": 3, "overall_s": 30, "idle_s": 30},
        "ejection": {"enabled": False},
        "retry": {"max_attempts": 1},
    }
}
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def started():
    with router("--log-level", "error", settings=SETTINGS) as process:
        yield process
        assert process.said() == "", "nothing went wrong inside"


def fixed(answer):
    async def write(_head, writer):
        writer.write(answer)

    return write


WRONG = {
    "both lengths": OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length twice": OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "a length that is none": OK + b"Content-Length: -1\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a folded line": OK + b"X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "a control character": OK + b"X-A: \x02\r\nContent-Length: 0\r\n\r\n",
    "another coding": OK + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a status that is none": b"HTTP/1.1 042 OK\r\nContent-Length: 0\r\n\r\n",
    "a switch of the protocol": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "a long header": OK + b"X-A: " + b"x" * 70_000 + b"\r\n\r\n",
    "many headers": OK + b"X-A: b\r\n" * 200 + b"\r\n",
    "interim answers without end": b"HTTP/1.1 102 P\r\n\r\n" * 40,
    "a chunk size that is none, in a small answer": CHUNKED + b"x\r\n",
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
async def test_an_answer_that_is_none_is_502_counts_against_the_replica_and_ends_its_connection(started, answer):
    async with client() as session, raw_replica(started, session, fixed(answer)) as replica, raw_client(started) as one:
        await one.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        status, _, body = await one.answer()
        assert status == 502 and b'"reason": "bad_answer"' in body
        replica.answer = fixed(OK + b"Content-Length: 4\r\n\r\nfine")
        await one.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await one.answer())[::2] == (200, b"fine")
        stats = await json_of(session, f"{started.admin}/replicas/raw")
        assert (stats["failures_total"], stats["in_flight"]) == (1, 0)


BODILESS = {
    "a HEAD's with a length": (b"HEAD", OK + b"Content-Length: 9\r\n\r\n", b"9"),
    "a HEAD's in chunks": (b"HEAD", CHUNKED, None),
    "a HEAD's without length": (b"HEAD", OK + b"\r\n", None),
    "304 with a length": (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"9"),
    "204": (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
    "after interim answers": (
        b"HEAD",
        b"HTTP/1.1 103 E\r\nLink: x\r\n\r\n" * 3 + OK + b"Content-Length: 9\r\n\r\n",
        b"9",
    ),
}


@pytest.mark.parametrize(("method", "answer", "length"), BODILESS.values(), ids=BODILESS)
async def test_an_answer_without_a_body_ends_with_its_head_and_the_connection_goes_on(started, method, answer, length):
    async with client() as session, raw_replica(started, session, fixed(answer)) as replica, raw_client(started) as one:
        before = len(replica.writers)
        for _ in range(3):
            await one.send(b"%b /x HTTP/1.1\r\nHost: x\r\n\r\n" % method)
            head = await asyncio.wait_for(one.reader.readuntil(b"\r\n\r\n"), 30)
            assert (b"\r\nContent-Length: %b\r\n" % length in head) if length else b"Content-Length" not in head
        assert len(replica.writers) == before + 1


@pytest.mark.parametrize("answer", [OK + b"Content-Length: 9\r\n\r\nabcdefghi", CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"])
async def test_a_body_in_answer_to_a_head_goes_to_nobody(started, answer):
    async with client() as session, raw_replica(started, session, fixed(answer)) as replica, raw_client(started) as one:
        await one.send(b"HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(one.reader.readuntil(b"\r\n\r\n"), 30)
        replica.answer = fixed(OK + b"Content-Length: 4\r\n\r\nfine")
        await one.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await one.answer())[::2] == (200, b"fine")


async def test_an_answer_that_ends_with_its_connection_is_whole_for_a_new_and_an_old_client(started):
    async def until_close(_head, writer):
        writer.write(OK + b"\r\nall of")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b" it")
        writer.close()

    async with client() as session, raw_replica(started, session, until_close):
        async with session.get(f"{started.url}/x") as response:
            assert (response.status, await response.text()) == (200, "all of it")
        async with raw_client(started) as one:
            await one.send(b"GET /x HTTP/1.0\r\n\r\n")
            heard = await one.rest()
            assert heard.endswith(b"\r\n\r\nall of it") and b"chunked" not in heard


async def test_an_answer_without_end_passes_in_bounded_time_for_each_piece_and_ends_with_its_client(started):
    ended = asyncio.Event()

    async def endless(_head, writer):
        writer.write(CHUNKED)
        try:
            while True:
                writer.write(b"4\r\nmore\r\n")
                await writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            ended.set()

    async with client() as session, raw_replica(started, session, endless):
        async with raw_client(started) as one:
            await one.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
            assert len(await asyncio.wait_for(one.reader.readexactly(1 << 20), 30)) == 1 << 20
            one.writer.transport.abort()
        await asyncio.wait_for(ended.wait(), 30)


async def test_a_head_without_end_is_no_answer_in_time(started):
    async def endless(_head, writer):
        writer.write(OK)
        try:
            while True:
                writer.write(b"X")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            pass

    async with client() as session, raw_replica(started, session, endless):
        async with session.get(f"{started.url}/x") as response:
            assert response.status == 504 and (await response.json())["reason"] == "timeout"
