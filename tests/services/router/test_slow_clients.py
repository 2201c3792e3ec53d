"""A client that takes its time is served; one that stops is told so; neither makes a replica look bad."""

import asyncio
import json

import pytest
from aiohttp import web

from tests.services.live import client, eventually, json_of, router
from tests.services.router.upstreams import upstreams

PATIENT = {
    "router": {
        "health": {"interval_s": 600, "timeout_s": 30},
        "timeouts": {"connect_s": 20, "attempt_s": 1.0, "overall_s": 1.5, "idle_s": 2.5},
        "ejection": {"consecutive_failures": 1},
    },
    "policy": {"name": "round_robin"},
}
LARGE = 1 << 20


@pytest.fixture(scope="module")
def patient():
    with router(settings=PATIENT) as started:
        yield started


async def length(request):
    return web.json_response(len(await request.read()))


async def send(started, size, *, pieces, pause_s):
    """A POST in pieces with a pause after each; status and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(started.url.rsplit(":", 1)[1]))
    writer.write(f"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode())
    for _ in range(pieces):
        writer.write(b"x" * (size // 8))
        await writer.drain()
        await asyncio.sleep(pause_s)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    body = await asyncio.wait_for(reader.read(4096), 30)
    writer.close()
    return int(answer.split()[1]), body


@pytest.mark.parametrize("size", [8000, LARGE])
async def test_an_upload_may_take_longer_than_an_answer(patient, size):
    async with client() as session, upstreams(patient, session, length):
        assert await send(patient, size, pieces=8, pause_s=0.25) == (200, str(size).encode())


@pytest.mark.parametrize("size", [8000, LARGE])
async def test_a_client_that_stops_in_its_body_gets_408_and_the_replica_no_blame(patient, size):
    async with client() as session, upstreams(patient, session, length, length):
        status, body = await send(patient, size, pieces=2, pause_s=0)
        assert status == 408
        assert json.loads(body)["reason"] == "client_timeout"
        replicas = (await json_of(session, f"{patient.admin}/replicas"))["replicas"]
        assert [(r["state"], r["failures_total"], r["in_flight"]) for r in replicas] == [("ready", 0, 0)] * 2


async def test_a_replica_that_does_not_answer_an_upload_times_out_when_the_body_was_sent(patient):
    async def mute(request):
        await request.read()
        await asyncio.sleep(30)

    async with client() as session, upstreams(patient, session, mute):
        status, body = await send(patient, LARGE, pieces=8, pause_s=0.05)
        assert status == 504
        assert json.loads(body)["reason"] == "timeout"


@pytest.mark.parametrize("head", ["OPTIONS * HTTP/1.1", "CONNECT 127.0.0.1:9 HTTP/1.1"])
async def test_what_a_reverse_proxy_does_not_pass_on_is_answered_501(patient, head):
    async with client() as session, upstreams(patient, session, length):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(patient.url.rsplit(":", 1)[1]))
        writer.write(f"{head}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 30)
        writer.close()
        assert b" 501 " in answer


async def test_an_old_client_is_named_in_via_by_its_protocol(patient):
    async def via(request):
        return web.Response(text=request.headers["Via"])

    async with client() as session, upstreams(patient, session, via):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(patient.url.rsplit(":", 1)[1]))
        writer.write(b"GET /x HTTP/1.0\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        assert b"\r\n\r\n1.0 aegis-" in answer


async def latency_of(session, started, id_):
    return (await json_of(session, f"{started.admin}/replicas/{id_}"))["latency_ewma_ms"]


async def test_the_time_that_a_client_takes_is_not_the_replicas_latency(patient):
    async with client() as session, upstreams(patient, session, length):
        for size in (8000, LARGE):
            assert (await send(patient, size, pieces=8, pause_s=0.25))[0] == 200
        assert await latency_of(session, patient, "u1") < 8 * 250 / 2


async def test_a_client_that_does_not_read_is_cut_off_and_the_replica_freed(patient):
    async def endless(_request):
        return web.Response(body=b"x" * (40 << 20))

    async with client() as session, upstreams(patient, session, endless):
        _, writer = await asyncio.open_connection("127.0.0.1", int(patient.url.rsplit(":", 1)[1]))
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")

        async def served():
            return (await json_of(session, f"{patient.admin}/stats"))["in_flight"] == 1

        async def freed():
            return (await json_of(session, f"{patient.admin}/replicas/u1"))["in_flight"] == 0

        await eventually(served, "the answer is on its way")
        await eventually(freed, "the client was cut off")
        assert (await json_of(session, f"{patient.admin}/replicas/u1"))["state"] == "ready"
        writer.close()
