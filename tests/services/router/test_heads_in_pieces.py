"""A head that comes in pieces, or behind something else: what it is charged, how large it may be, and how long it may take."""

import asyncio

import pytest

from services.router.wire.messages import MAX_HEAD_BYTES
from tests.services.live import client, lag_ms, router
from tests.services.router.raw import raw_client, raw_replica

HEAD_S = 2.0
SETTINGS = {
    "router": {
        "health": {"interval_s": 600},
        "timeouts": {"attempt_s": 60, "overall_s": 60, "head_s": HEAD_S},
        "retry": {"max_attempts": 1},
    }
}
PAUSE_S = 0.7
ASK = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def started():
    with router("--log-level", "error", settings=SETTINGS) as process:
        yield process
        assert process.said() == "", "nothing went wrong inside"


async def fine(_head, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")


@pytest.mark.parametrize("first", [b"G", ASK[:20], b"\r\n"], ids=["a byte", "half a head", "a line end"])
async def test_the_time_that_a_client_takes_for_its_head_is_not_the_routers(started, first):
    async with client() as session, raw_replica(started, session, fine), raw_client(started) as one:
        for _ in range(2):
            before_ms = await lag_ms(session, started)
            await one.send(first)
            await asyncio.sleep(PAUSE_S)
            await one.send(ASK.removeprefix(first))
            status, headers, _ = await one.answer()
            stood_ms = await lag_ms(session, started) - before_ms  # which is the router's own
            assert status == 200 and float(headers["x-aegis-router-ms"]) < PAUSE_S * 1e3 / 2 + stood_ms


async def test_line_ends_between_requests_begin_none_and_are_answered_by_nothing(started):
    async with client() as session, raw_replica(started, session, fine), raw_client(started) as one:
        await one.send(ASK)
        assert (await one.answer())[0] == 200
        await one.send(b"\r\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.reader.read(1), 2 * HEAD_S)
        await one.send(ASK)
        assert (await one.answer())[0] == 200


async def test_half_a_head_behind_a_request_has_a_heads_time(started):
    async with client() as session, raw_replica(started, session, fine), raw_client(started) as one:
        await one.send(ASK + ASK[:20])
        assert (await one.answer())[0] == 200
        assert (await one.answer())[0] == 408


LARGE = b"GET /large HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * MAX_HEAD_BYTES


@pytest.mark.parametrize("rest", [b"\r\n\r\n", b"", b"\r\nX-B: " + b"b" * MAX_HEAD_BYTES], ids=["all", "half", "more"])
async def test_a_head_behind_a_request_is_no_larger_than_another(started, rest):
    async with client() as session, raw_replica(started, session, fine) as replica, raw_client(started) as one:
        await one.send(ASK + LARGE[: MAX_HEAD_BYTES // 2])
        assert (await one.answer())[0] == 200
        await one.send(LARGE[MAX_HEAD_BYTES // 2 :] + rest)
        assert (await one.answer())[0] == 431 and len(replica.seen) == 1


async def test_a_head_as_large_as_allowed_arrives_behind_a_request(started):
    large = b"GET /large HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * (MAX_HEAD_BYTES - 100) + b"\r\n\r\n"
    async with client() as session, raw_replica(started, session, fine) as replica, raw_client(started) as one:
        await one.send(ASK + large[:1000])
        assert (await one.answer())[0] == 200
        await one.send(large[1000:])
        assert (await one.answer())[0] == 200 and len(replica.seen[1][0]) > MAX_HEAD_BYTES - 200


async def test_the_target_of_a_request_in_absolute_form_goes_before_its_host(started):
    async with client() as session, raw_replica(started, session, fine) as replica, raw_client(started) as one:
        await one.send(b"GET http://me@there:8080/x?y HTTP/1.1\r\nHost: elsewhere\r\n\r\n")
        assert (await one.answer())[0] == 200
        head = replica.seen[0][0]
        assert head.startswith(b"GET /x?y HTTP/1.1\r\n")
        assert b"\r\nHost: there:8080\r\n" in head and b"elsewhere" not in head


async def test_a_client_whose_request_is_refused_is_not_told_to_send_its_body(started):
    async with raw_client(started) as one:
        await one.send(b"POST / HTTP/1.1\r\nHost: x\r\nHost: y\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert (await one.rest()).startswith(b"HTTP/1.1 400 ")
