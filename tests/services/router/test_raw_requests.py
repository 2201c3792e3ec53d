"""A client that puts every byte on the wire itself: what is strange is refused in a word, what is right arrives to the byte."""

import asyncio
import contextlib
import functools
import itertools

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.router.wire.messages import MAX_HEAD_BYTES, MAX_HEADERS
from tests.services.live import client, eventually, json_of, lag_ms, router
from tests.services.router.raw import raw_client, raw_replica

SETTINGS = {
    "router": {
        "health": {"interval_s": 600},
        "timeouts": {"attempt_s": 60, "overall_s": 60, "head_s": 2.0},
        "retry": {"max_attempts": 1},
    }
}
MUCH_BYTES = 64 << 20
"""More than sockets buffer."""


@pytest.fixture(scope="module")
def started():
    with router("--log-level", "error", settings=SETTINGS) as process:
        yield process
        assert process.said() == "", "nothing went wrong inside"


async def echo(head, writer):
    body = head.split()[1]
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


HEAD = b"POST /x HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
REFUSED = {
    "both lengths": (HEAD + b"Content-Length: 3\r\n" + CHUNKED + b"0\r\n\r\n", 400),
    "a length twice": (HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "a chunk size that is none": (HEAD + CHUNKED + b"x\r\n", 400),
    "a chunk without its end": (HEAD + CHUNKED + b"1\r\nab", 400),
    "bare line feeds": (b"GET /x HTTP/1.1\nHost: x\n\n", 400),
    "a bare line feed after a chunk size": (HEAD + CHUNKED + b"1\na\r\n0\r\n\r\n", 400),
    "a folded line": (b"GET /x HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n", 400),
    "a control character": (b"GET /x HTTP/1.1\r\nHost: x\r\nX-A: b\x01\r\n\r\n", 400),
    "a control character in the target": (b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "no host": (b"GET /x HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /x HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "another coding": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks in HTTP/1.0": (b"POST /x HTTP/1.0\r\nHost: x\r\n" + CHUNKED + b"0\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "RTSP": (b"GET / RTSP/1.0\r\n\r\n", 400),
    "RTSP by its method": (b"DESCRIBE / RTSP/1.0\r\n\r\n", 400),
    "ICE": (b"SOURCE / ICE/1.0\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /x\r\n\r\n", 400),
    "a long line": (b"GET /" + b"x" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    "a long header": (b"GET /x HTTP/1.1\r\nHost: x\r\nX-A: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
    "many headers": (b"GET /x HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * MAX_HEADERS + b"\r\n", 431),
    "many trailers": (HEAD + CHUNKED + b"0\r\n" + b"X-A: b\r\n" * (MAX_HEADERS + 2), 431),
    "a long trailer": (HEAD + CHUNKED + b"0\r\nX-A: " + b"x" * (10 * MAX_HEAD_BYTES), 431),
    "a long chunk extension": (HEAD + CHUNKED + b"1;" + b"x" * (10 * MAX_HEAD_BYTES), 431),
}


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED)
async def test_what_is_no_proper_request_is_answered_once_in_a_word_and_no_replica_has_a_whole_one(
    started, sent, status
):
    async with client() as session, raw_replica(started, session, echo) as replica:
        async with raw_client(started) as one:
            await one.send(sent)
            heard = await one.rest()
        assert heard.startswith(b"HTTP/1.1 %d " % status) and heard.count(b"HTTP/1.1 ") == 1, heard
        assert b"\r\nConnection: close\r\n" in heard and replica.seen == []
        assert (await json_of(session, f"{started.admin}/stats"))["in_flight"] == 0


@pytest.mark.parametrize("before", [b"GET /x HTTP/1.1\r\nHost: x\r\nX-Long: ", HEAD + CHUNKED + b"0\r\nX-Long: "])
async def test_a_head_without_end_is_cut_off(started, before):
    _, writer = await asyncio.open_connection("127.0.0.1", int(started.url.rsplit(":", 1)[1]))
    writer.write(before)
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < MUCH_BYTES:
            writer.write(b"a" * 16_000)
            await writer.drain()
            sent += 16_000
    writer.close()
    assert sent < MUCH_BYTES


async def test_a_head_as_large_as_allowed_arrives(started):
    async with client() as session, raw_replica(started, session, echo) as replica, raw_client(started) as one:
        start = b"GET /x HTTP/1.1\r\nHost: x\r\nX-Long: "
        await one.send(start + b"a" * (MAX_HEAD_BYTES - len(start) - 100) + b"\r\n\r\n")
        assert (await one.answer())[0] == 200 and len(replica.seen[0][0]) > MAX_HEAD_BYTES - 200


async def test_a_head_that_does_not_end_in_its_time_is_408_and_an_idle_connection_is_not_answered(started):
    async with raw_client(started) as one, raw_client(started) as idle:
        await one.send(b"GET /x HTTP/1.1\r\nHost: ")
        heard = await one.rest()
        assert heard.startswith(b"HTTP/1.1 408 ") and b'"reason": "client_timeout"' in heard
        await idle.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await idle.answer())[0] == 503  # it was kept


async def test_requests_sent_ahead_are_answered_one_after_the_other_in_their_order(started):
    async with client() as session, raw_replica(started, session, echo) as replica, raw_client(started) as one:
        ahead = [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(50)]
        ahead[7] = HEAD.replace(b"/x", b"/7") + CHUNKED + b"3;a=b\r\nabc\r\n0\r\nX-T: t\r\n\r\n"
        ahead[9] = HEAD.replace(b"/x", b"/9") + b"Content-Length: 3\r\n\r\nabc"
        await one.send(b"".join(ahead))
        assert [(await one.answer())[2] for _ in ahead] == [b"/%d" % n for n in range(50)]
        assert [head.split()[1] for head, _ in replica.seen] == [b"/%d" % n for n in range(50)]
        assert [body for _, body in replica.seen if body] == [b"3\r\nabc\r\n0\r\n\r\n", b"abc"]


async def test_a_request_sent_ahead_does_not_charge_the_router_for_the_one_before_it(started):
    async def later(head, writer):
        await asyncio.sleep(0.5)
        await echo(head, writer)

    async with client() as session, raw_replica(started, session, later), raw_client(started) as one:
        before_ms = await lag_ms(session, started)
        await one.send(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /3 HT")
        assert (await one.answer())[2] == b"/1"
        await one.send(b"TP/1.1\r\nHost: x\r\n\r\n")
        for path in (b"/2", b"/3"):
            _, headers, body = await one.answer()
            stood_ms = await lag_ms(session, started) - before_ms
            assert body == path and float(headers["x-aegis-router-ms"]) < 500 + stood_ms


async def test_what_follows_the_last_request_is_not_looked_at(started):
    async with client() as session, raw_replica(started, session, echo) as replica, raw_client(started) as one:
        await one.send(b"GET /1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
        heard = await one.rest()
        assert heard.startswith(b"HTTP/1.1 200 ") and heard.count(b"HTTP/1.1") == 1 and len(replica.seen) == 1


@pytest.mark.parametrize("coding", [b"Content-Length: 3\r\n\r\nabc", CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"])
async def test_a_body_behind_an_upgrade_that_is_not_made_arrives(started, coding):
    async with client() as session, raw_replica(started, session, echo) as replica, raw_client(started) as one:
        await one.send(HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n" + coding)
        status, headers, _ = await one.answer()
        assert (status, headers["connection"]) == (200, b"close")
        (head, body), *_ = replica.seen
        assert b"abc" in body and b"pgrade" not in head and b"HTTP2" not in head


async def test_an_answer_of_the_routers_own_to_a_head_has_no_body(started):
    async with raw_client(started) as one:
        await one.send(b"HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await asyncio.wait_for(one.reader.readuntil(b"\r\n\r\n"), 30)
        assert b" 503 " in head and b"content-length: 0" not in head.lower()
        await one.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await one.answer())[0] == 503


async def test_an_old_client_that_asks_for_it_keeps_its_connection(started):
    async with client() as session, raw_replica(started, session, echo), raw_client(started) as one:
        for _ in range(2):
            await one.send(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            status, headers, body = await one.answer()
            assert (status, headers["connection"], body) == (200, b"keep-alive", b"/x")


async def test_a_client_that_does_not_read_costs_bounded_memory_and_gets_everything_later(started):
    async def much(_head, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MUCH_BYTES)
        for _ in range(MUCH_BYTES >> 16):
            writer.write(b"x" * (1 << 16))
            await writer.drain()

    process = psutil.Process(started.process.pid)
    async with client() as session, raw_replica(started, session, much):
        before = process.memory_info().rss
        async with contextlib.AsyncExitStack() as stack:
            ones = [await stack.enter_async_context(raw_client(started)) for _ in range(4)]
            for one in ones:
                one.writer.transport.pause_reading()
                await one.send(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

            async def under_way():
                return (await json_of(session, f"{started.admin}/stats"))["in_flight"] == 4

            await eventually(under_way, "four answers are on their way")
            for one in ones[:1]:
                one.writer.transport.resume_reading()
                assert len(await one.rest(60)) > MUCH_BYTES
            assert process.memory_info().rss - before < MUCH_BYTES / 2


async def test_a_replica_that_does_not_read_stops_its_client_and_a_hang_up_ends_it(started):
    reading = asyncio.Event()

    async def serve(reader, writer):
        writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /readyz "):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        await reading.wait()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readexactly(MUCH_BYTES)
        ended.set()

    ended, writers = asyncio.Event(), []
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 16)
    process = psutil.Process(started.process.pid)
    before = process.memory_info().rss
    async with client() as session:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with session.put(f"{started.admin}/replicas/mute", json={"url": url}) as response:
            assert response.status == 201

        async def ready():
            return (await json_of(session, f"{started.admin}/replicas/mute"))["state"] == "ready"

        await eventually(ready, "it is in rotation")
        async with raw_client(started) as one:
            one.writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % MUCH_BYTES + b"x" * (MUCH_BYTES // 2))

            async def stuck():
                left = one.writer.transport.get_write_buffer_size()
                await asyncio.sleep(0.1)
                return 0 < left == one.writer.transport.get_write_buffer_size()

            await eventually(stuck, "the client is read no further")
            assert process.memory_info().rss - before < MUCH_BYTES / 4
            one.writer.transport.abort()
        reading.set()
        await asyncio.wait_for(ended.wait(), 30)

        async def idle():
            return (await json_of(session, f"{started.admin}/stats"))["in_flight"] == 0

        await eventually(idle, "the attempt is given up")
        await session.delete(f"{started.admin}/replicas/mute")
    for writer in writers:
        writer.close()
    server.close()


WHOLE = (
    b"GET /1?a=%20 HTTP/1.1\r\nHost: x\r\nX-Obs: caf\xe9\r\nX-Request-Id: 1\r\n\r\n",
    HEAD + b"Content-Length: 5\r\nX-Request-Id: 2\r\n\r\nhello",
    HEAD + b"X-Request-Id: 3\r\n" + CHUNKED + b"5;q=1\r\nhello\r\n1\r\n!\r\n0\r\nX-T: t\r\n\r\n",
    b"\r\nHEAD /4 HTTP/1.1\r\nHost: x\r\nX-Request-Id: 4\r\n\r\n",
    b"DELETE /5 HTTP/1.1\r\nHost: x\r\nX-Request-Id: 5\r\n\r\n",
)


def merged(body):
    """The body of a request, whatever its chunks."""
    if not body.endswith(b"0\r\n\r\n"):
        return body
    lines, found = body, b""
    while (size := int(lines.split(b"\r\n", 1)[0], 16)) > 0:
        lines = lines.split(b"\r\n", 1)[1]
        found, lines = found + lines[:size], lines[size + 2 :]
    return found


async def pieces_arrive(started, cuts):
    """What a replica sees of `WHOLE`, sent in pieces that end at `cuts`."""
    data = b"".join(WHOLE)
    edges = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
    async with client() as session, raw_replica(started, session, echo) as replica, raw_client(started) as one:
        for start, end in itertools.pairwise(edges):
            await one.send(data[start:end])
            await asyncio.sleep(0)
            if end % 3 == 0:  # some come by themselves
                await json_of(session, f"{started.admin}/healthz")

        async def all_there():
            return len(replica.seen) == len(WHOLE)

        await eventually(all_there, "all have arrived")
        via = functools.partial(bytes.split, sep=b"Via: ")
        return [(via(head)[0], merged(body)) for head, body in replica.seen]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, sum(map(len, WHOLE)) - 1), max_size=60))
async def test_however_the_network_cuts_it_the_replica_sees_the_same(started, cuts):
    whole = await pieces_arrive(started, [])
    assert [body for _, body in whole] == [b"", b"hello", b"hello!", b"", b""]
    assert await pieces_arrive(started, cuts) == whole


async def test_cut_at_every_byte_it_arrives_the_same(started):
    assert await pieces_arrive(started, range(sum(map(len, WHOLE)))) == await pieces_arrive(started, [])
