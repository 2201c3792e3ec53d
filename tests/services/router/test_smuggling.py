"""Requests whose end is told in two ways (RFC 9112, section 11.2): the replica sees the one that the router saw, or none."""

import asyncio

import pytest
from aiohttp import web

from tests.running import AT_MOST_S
from tests.services.live import client, router
from tests.services.router.upstreams import upstreams

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"POST /outer HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
AMBIGUOUS = {
    "both lengths, the shorter one chunked": b"Content-Length: %d\r\n" % (len(SMUGGLED) + 5)
    + CHUNKED
    + b"\r\n0\r\n\r\n",
    "both lengths, the other way round": CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    "two lengths in one header": b"Content-Length: 0, %d\r\n\r\n" % len(SMUGGLED),
    "a signed length": b"Content-Length: +0\r\n\r\n",
    "a length with an underscore": b"Content-Length: 0_0\r\n\r\n",
    "a length in other digits": b"Content-Length: \xd9\xa0\r\n\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a coding that is none": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "a folded coding": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a bare carriage return": b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a NUL in a header": b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "a chunk of negative size": CHUNKED + b"\r\n-1\r\n\r\n",
    "a chunk size with 0x": CHUNKED + b"\r\n0x0\r\n\r\n",
    "a chunk that is longer than told": CHUNKED + b"\r\n1\r\nab\r\n0\r\n\r\n",
}
"""What follows HEAD, and is followed by SMUGGLED."""


@pytest.fixture(scope="module")
def started():
    with router(settings={"router": {"health": {"interval_s": 0.1}}}) as process:
        yield process


async def conversation(started, request):
    """Every byte that comes back until the router closes, or has nothing more to say."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(started.url.rsplit(":", 1)[1]))
    writer.write(request)
    heard = b""
    try:
        while piece := await asyncio.wait_for(reader.read(65_536), 0.5 if heard else AT_MOST_S):
            heard += piece
    except (TimeoutError, ConnectionError):
        pass
    writer.close()
    return heard


def counted(heard):
    """Answers by their first digit."""
    return [line[9:10] for line in heard.split(b"\r\n") if line.startswith(b"HTTP/1.")]


@pytest.mark.parametrize("rest", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_an_ambiguous_end_smuggles_no_request_past_the_router(started, rest):
    async def fine(request):
        await request.read()
        return web.Response()

    async with client() as session, upstreams(started, session, fine) as upstream:
        heard = await conversation(started, HEAD + rest + SMUGGLED)
        assert "/smuggled" not in [path for _, path, _ in upstream.seen]
        assert counted(heard) == [b"4"], heard


@pytest.mark.parametrize(
    "named", ["Content-Length", "Transfer-Encoding", "Host", "X-Request-Id", "X-Forwarded-For", "Via"]
)
async def test_a_connection_header_takes_away_no_framing_and_no_trace(started, named):
    bodies = []

    async def keep(request):
        bodies.append(await request.read())
        return web.Response()

    async with client() as session, upstreams(started, session, keep) as upstream:
        request = HEAD + b"X-Forwarded-For: 10.0.0.9\r\nContent-Length: %d\r\n" % len(SMUGGLED)
        heard = await conversation(started, request + f"Connection: close, {named}\r\n\r\n".encode() + SMUGGLED)
        assert counted(heard) == [b"2"]
        (method, path, headers) = upstream.seen[0]
        assert len(upstream.seen) == 1 and (method, path, bodies) == ("POST", "/outer", [SMUGGLED])
        assert headers["X-Forwarded-For"] == "10.0.0.9, 127.0.0.1" and "aegis" in headers["Via"]
        assert headers["X-Request-Id"] and headers["Host"]
