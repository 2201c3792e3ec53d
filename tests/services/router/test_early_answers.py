"""An answer that begins before its request is whole: it is passed on, blames nobody, and leaves nothing behind."""

import asyncio
import contextlib

import pytest

from tests.services.live import client, eventually, json_of, router, until
from tests.services.router.raw import raw_client

IDLE_S = 2.0
SETTINGS = {
    "router": {
        "health": {"interval_s": 600},
        "timeouts": {"attempt_s": 3, "overall_s": 30, "idle_s": IDLE_S},
        "ejection": {"enabled": False},
        "retry": {"max_attempts": 1},
    }
}
BEGINS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
UPLOAD = b"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"


@pytest.fixture(scope="module")
def started():
    with router("--log-level", "error", settings=SETTINGS) as process:
        yield process
        assert process.said() == "", "nothing went wrong inside"


@contextlib.asynccontextmanager
async def early(front, session, answer):
    """A replica of which `answer(head, reader, writer)` reads the body, if it likes; in rotation, and gone afterwards."""
    writers = []

    async def serve(reader, writer):
        writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET /readyz "):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    break
                await answer(head, reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with session.put(f"{front.admin}/replicas/early", json={"url": url}) as response:
            assert response.status == 201
        await until(session, front.admin, "early", "ready")
        yield
    finally:
        await session.delete(f"{front.admin}/replicas/early")
        for writer in writers:
            writer.close()
        server.close()


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n", b"x" * 100_000),
        (b"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n", b""),
        (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n", b"x" * 69_600),
        (b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n"),
    ],
    ids=["long", "none of it", "nearly all", "chunked"],
)
async def test_the_upload_ends_and_the_next_request_is_not_the_rest_of_its_body(started, head, part):
    rest = []

    async def refuses(head, reader, writer):
        if head.startswith(b"GET /next"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")
            return
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        while piece := await reader.read(65_536):
            rest.append(piece)

    async with client() as session, early(started, session, refuses):
        async with raw_client(started) as one:
            await one.send(head + part)
            status, headers, body = await one.answer()
            assert (status, headers["connection"], body) == (413, b"close", b"big")
        async with raw_client(started) as other:
            await other.send(b"GET /next HTTP/1.1\r\nHost: x\r\nCookie: secret\r\n\r\n")
            status, _, body = await other.answer()
            assert (status, body) == (200, b"fine")
    assert b"secret" not in b"".join(rest)


async def echoes_its_beginning(_head, reader, writer):
    writer.write(BEGINS)
    await reader.readuntil(b"0\r\n\r\n")
    writer.write(b"0\r\n\r\n")


async def test_an_upload_that_goes_on_keeps_its_answer_from_being_idle(started):
    async with client() as session, early(started, session, echoes_its_beginning), raw_client(started) as one:
        await one.send(UPLOAD)
        await asyncio.wait_for(one.reader.readuntil(b"2\r\nab\r\n"), 30)
        for _ in range(4):  # together longer than a pause may be
            await asyncio.sleep(IDLE_S * 3 / 8)
            await one.send(b"2\r\nab\r\n")
        await one.send(b"0\r\n\r\n")
        assert await asyncio.wait_for(one.reader.readuntil(b"0\r\n\r\n"), 30) == b"0\r\n\r\n"
        replica = await json_of(session, f"{started.admin}/replicas/early")
        assert (replica["failures_total"], replica["in_flight"]) == (0, 0)


async def test_a_client_that_stops_in_its_upload_while_the_answer_comes_is_cancelled_and_nobody_blamed(started):
    async with client() as session, early(started, session, echoes_its_beginning), raw_client(started) as one:
        before = await json_of(session, f"{started.admin}/stats")
        await one.send(UPLOAD)
        with contextlib.suppress(ConnectionError):
            await one.rest()
        after = await json_of(session, f"{started.admin}/stats")
        ended = {name: after[f"{name}_total"] - before[f"{name}_total"] for name in ("cancelled", "broken")}
        assert ended == {"cancelled": 1, "broken": 0}
        replica = await json_of(session, f"{started.admin}/replicas/early")
        assert (replica["failures_total"], replica["in_flight"]) == (0, 0)


async def test_an_answer_that_began_before_its_request_was_whole_is_no_answer_in_no_time(started):
    took_s = 0.2

    async def ends_later(_head, reader, writer):
        writer.write(BEGINS)
        await reader.readuntil(b"0\r\n\r\n")
        await asyncio.sleep(took_s)
        writer.write(b"0\r\n\r\n")

    async with client() as session, early(started, session, ends_later), raw_client(started) as one:
        await one.send(UPLOAD)
        await asyncio.wait_for(one.reader.readuntil(b"2\r\nab\r\n"), 30)
        await one.send(b"0\r\n\r\n")
        await asyncio.wait_for(one.reader.readuntil(b"0\r\n\r\n"), 30)

        async def measured():
            return (await json_of(session, f"{started.admin}/replicas/early"))["latency_ewma_ms"]

        assert await eventually(measured, "the answer counts") >= took_s * 1e3 * 0.9
