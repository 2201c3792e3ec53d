"""The router's data port, as a process, before real servers: what arrives, what comes back, what is tried again."""

import asyncio
import hashlib
import re
from typing import Any

import aiohttp
import psutil
import pytest
from aiohttp import web
from yarl import URL

from services.router.settings import RetrySettings
from tests.services.live import client, eventually, json_of, router
from tests.services.router.upstreams import upstreams

PATIENT: dict[str, Any] = {
    "router": {
        "health": {"interval_s": 600, "timeout_s": 30}, "timeouts": {"connect_s": 20, "attempt_s": 20, "overall_s": 60},
        "ejection": {"consecutive_failures": 1000}, "retry": {"budget_min_per_s": 1000.0},
    },
    "policy": {"name": "round_robin"},
}  # fmt: skip
"""Nothing happens by the clock, however slow the machine: no check after the first, no ejection, no time-out."""


@pytest.fixture(scope="module")
def patient():
    with router(settings=PATIENT) as started:
        yield started


async def text(body="here", **answer):
    return web.Response(text=body, **answer)


def ok(_request):
    return text()


async def test_method_path_query_headers_and_body_arrive_as_they_were_sent(patient):
    async def echo(request):
        body = await request.read()
        return web.json_response({"method": request.method, "path": request.raw_path, "body": body.decode()})

    async with client() as session, upstreams(patient, session, echo) as upstream:
        path = "/a%2Fb/%C3%A4;x=1?q=1&q=2&empty=&space=%20+"
        headers = {"X-Own": "1", "Cookie": "a=b", "Authorization": "Basic eDp5", "Content-Type": "text/odd"}
        url = URL(patient.url + path, encoded=True)
        async with session.request("PATCH", url, headers=headers, data=b"text") as response:
            assert response.status == 200
            assert await response.json() == {"method": "PATCH", "path": path, "body": "text"}
            assert response.headers["X-Aegis-Attempts"] == "1"
            assert "1.1 aegis" in response.headers["Via"]
            assert float(response.headers["X-Aegis-Router-Ms"]) >= 0
        (_, _, got), *_ = upstream.seen
        assert headers.items() <= got.items()
        assert got["X-Forwarded-For"] == "127.0.0.1" and got["X-Forwarded-Proto"] == "http"
        assert got["X-Forwarded-Host"] == got["Host"] == patient.url.removeprefix("http://")
        assert re.fullmatch("1.1 aegis-[0-9a-f]{8}", got["Via"]) and got["X-Aegis-Attempt"] == "1" and got["X-Request-Id"]


async def test_headers_of_the_hop_stay_on_the_hop_in_both_directions(patient):
    def answer(_request):
        return text(headers={"Connection": "X-Private", "X-Private": "1", "Keep-Alive": "timeout=9", "X-Public": "1"})

    async with client() as session, upstreams(patient, session, answer) as upstream:
        headers = {"Connection": "close, X-Mine", "X-Mine": "1", "TE": "trailers", "Proxy-Authorization": "x"}
        headers |= {"Via": "1.0 other", "X-Forwarded-For": "192.0.2.1", "X-Request-Id": "my-own"}
        async with session.get(patient.url + "/x", headers=headers) as response:
            assert response.headers["X-Public"] == "1"
            assert "X-Private" not in response.headers and "timeout=9" not in response.headers.get("Keep-Alive", "")
        got = upstream.seen[0][2]
        assert not {"X-Mine", "TE", "Proxy-Authorization"} & set(got)
        assert got["Via"].startswith("1.0 other, 1.1 aegis-")
        assert got["X-Forwarded-For"] == "192.0.2.1, 127.0.0.1"
        assert got["X-Request-Id"] == "my-own"


SIZE = 96 << 20
PIECE = hashlib.sha256(b"aegis").digest() * 4096


async def test_bodies_of_any_size_stream_through_in_bounded_memory(patient):
    async def take(request):
        digest, size = hashlib.sha256(), 0
        async for chunk in request.content.iter_chunked(1 << 16):
            digest.update(chunk)
            size += len(chunk)
        return web.json_response([size, digest.hexdigest()])

    async def give(request):
        if request.method == "POST":
            return await take(request)
        response = web.StreamResponse()  # no length: chunked
        await response.prepare(request)
        for _ in range(SIZE // len(PIECE)):
            await response.write(PIECE)
        await response.write_eof()
        return response

    async def pieces():
        for _ in range(SIZE // len(PIECE)):
            yield PIECE

    expected = hashlib.sha256(PIECE * (SIZE // len(PIECE))).hexdigest()
    process = psutil.Process(patient.process.pid)
    async with client() as session, upstreams(patient, session, give):
        before = process.memory_info().rss
        async with session.post(patient.url + "/up", data=pieces()) as response:
            assert await response.json() == [SIZE, expected]
        digest = hashlib.sha256()
        async with session.get(patient.url + "/down") as response:
            async for chunk in response.content.iter_chunked(1 << 16):
                digest.update(chunk)
        assert digest.hexdigest() == expected
        assert process.memory_info().rss - before < SIZE / 3


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 404), ("GET", 500)])
async def test_any_status_is_passed_on_and_an_answer_without_a_body_stays_without(patient, method, status):
    async def answer(_request):
        return web.Response(status=status, headers={"ETag": '"x"'}, body=None if status in (204, 304) else b"body")

    async with client() as session, upstreams(patient, session, answer):
        for _ in range(2):  # the connection's state is intact afterwards
            async with session.request(method, patient.url + "/x") as response:
                assert response.status == status and response.headers["ETag"] == '"x"'
                assert await response.read() == (b"" if method == "HEAD" or status in (204, 304) else b"body")


async def test_compressed_answers_are_passed_on_as_they_are(patient):
    async def answer(_request):
        return web.Response(body=b"not really gzip", headers={"Content-Encoding": "gzip"})

    async with client() as session, upstreams(patient, session, answer):
        async with aiohttp.ClientSession(auto_decompress=False) as raw, raw.get(patient.url) as response:
            assert await response.read() == b"not really gzip"
            assert response.headers["Content-Encoding"] == "gzip"


async def test_a_client_that_hangs_up_stops_the_request_at_the_replica(patient):
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def slow(_request):
        begun.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            stopped.set()
            raise

    async with client() as session, upstreams(patient, session, slow):
        asked = asyncio.create_task(session.get(patient.url + "/slow"))
        await asyncio.wait_for(begun.wait(), 30)
        asked.cancel()
        await asyncio.wait_for(stopped.wait(), 15)  # before the attempt's time-out of 20 s
        stats = await json_of(session, f"{patient.admin}/stats")
        assert stats["cancelled_total"] >= 1

        async def idle():
            return (await json_of(session, f"{patient.admin}/stats"))["in_flight"] == 0

        await eventually(idle, "nothing is in flight")


async def refused(_request):
    return web.Response(status=500, text="broken")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_a_failed_idempotent_request_is_sent_to_another_replica(patient, method):
    async with client() as session, upstreams(patient, session, refused, ok) as (bad, good):
        for _ in range(6):
            async with session.request(method, patient.url + "/x", data=b"again" if method == "PUT" else None) as response:
                assert (response.status, await response.text()) == (200, "here")
                assert response.headers["X-Aegis-Attempts"] in ("1", "2")
        assert len(bad.seen) == 3 and len(good.seen) == 6
        assert {headers["X-Aegis-Attempt"] for _, _, headers in good.seen} == {"1", "2"}


async def test_a_retry_carries_what_the_replicas_draws_depend_on(patient):
    async with client() as session, upstreams(patient, session, refused, refused) as both:
        own = {"X-Request-Id": "17", "X-Aegis-Demand-Ms": "12.345", "X-Aegis-Key": "k3"}
        async with session.get(patient.url + "/work", headers={**own, "X-Aegis-Attempt": "9"}) as response:
            assert response.headers["X-Aegis-Attempts"] == "3"
        tries = [headers for upstream in both for _, _, headers in upstream.seen]
        assert all(own.items() <= headers.items() for headers in tries)
        assert sorted(headers["X-Aegis-Attempt"] for headers in tries) == ["1", "2", "3"]


async def test_a_post_that_was_sent_is_not_sent_again(patient):
    async with client() as session, upstreams(patient, session, refused, refused) as both:
        async with session.post(patient.url + "/x", data=b"once") as response:
            assert (response.status, await response.text()) == (500, "broken")
        assert sum(len(upstream.seen) for upstream in both) == 1


async def test_a_post_goes_elsewhere_where_no_connection_was_made(patient):
    async with client() as session, upstreams(patient, session, ok, ok) as (gone, there):
        await gone.runner.cleanup()
        attempts = []
        for _ in range(2):  # no health check notices
            async with session.post(patient.url + "/x", data=b"body") as response:
                assert response.status == 200
                attempts.append(response.headers["X-Aegis-Attempts"])
        assert sorted(attempts) == ["1", "2"]
        assert len(there.seen) == 2


async def test_every_replica_is_tried_before_one_is_tried_again_and_the_last_answer_is_passed_on(patient):
    async with client() as session, upstreams(patient, session, refused, refused) as both:
        async with session.get(patient.url + "/x") as response:
            assert (response.status, await response.text()) == (500, "broken")
            assert response.headers["X-Aegis-Attempts"] == "3"
        assert sorted(len(upstream.seen) for upstream in both) == [1, 2]


async def test_an_overloaded_replica_is_passed_over(patient):
    async def full(_request):
        return web.Response(status=503, text="full")

    async with client() as session, upstreams(patient, session, full, ok):
        for _ in range(4):
            async with session.get(patient.url + "/x") as response:
                assert response.status == 200


async def test_a_large_body_that_is_on_its_way_is_not_sent_again_and_a_small_one_is(patient):
    async def read_then_fail(request):
        await request.read()
        return web.Response(status=500)

    async with client() as session, upstreams(patient, session, read_then_fail, read_then_fail) as both:
        large = b"x" * (RetrySettings().max_body_bytes + 1)
        async with session.put(patient.url + "/x", data=large) as response:
            assert response.headers["X-Aegis-Attempts"] == "1"
        async with session.put(patient.url + "/x", data=large[:1000]) as response:
            assert response.headers["X-Aegis-Attempts"] == "3"
        assert sum(len(upstream.seen) for upstream in both) == 4


async def test_an_attempt_that_takes_too_long_is_made_elsewhere_and_all_on_one_replica_end_in_504():
    async def hangs(_request):
        await asyncio.sleep(30)

    timeouts = {"connect_s": 20, "attempt_s": 1.2, "overall_s": 60}
    with router(settings={**PATIENT, "router": {**PATIENT["router"], "timeouts": timeouts}}) as started:
        async with client() as session:
            async with upstreams(started, session, hangs, ok):
                for _ in range(3):
                    async with session.get(started.url + "/x") as response:
                        assert response.status == 200
            async with upstreams(started, session, hangs), session.get(started.url + "/x") as response:
                assert response.status == 504
                assert (await response.json())["reason"] == "timeout"
                assert response.headers["X-Aegis-Attempts"] == "3"


async def test_an_answer_may_take_as_long_as_an_attempt_and_only_a_pause_in_its_body_counts_as_idle():
    async def late(request):
        await asyncio.sleep(2.0)
        response = web.StreamResponse(headers={"Content-Length": "200000"})
        await response.prepare(request)
        await response.write(b"x" * 100_000)
        await asyncio.sleep(10 if request.path == "/pause" else 0)
        await response.write(b"x" * 100_000)
        return response

    timeouts = {"attempt_s": 20.0, "overall_s": 20.0, "idle_s": 1.0}
    with router(settings={**PATIENT, "router": {"timeouts": timeouts}}) as started:
        async with client() as session, upstreams(started, session, late):
            async with session.get(started.url + "/x") as response:
                assert (response.status, len(await response.read())) == (200, 200_000)
            with pytest.raises(aiohttp.ClientPayloadError):
                async with session.get(started.url + "/pause") as response:
                    await response.read()


async def test_a_replica_that_cuts_the_connection_is_502_or_the_next_one(patient):
    async def cuts(request):
        request.transport.abort()
        await asyncio.sleep(30)

    async with client() as session:
        async with upstreams(patient, session, cuts, ok):
            for _ in range(3):
                async with session.get(patient.url + "/x") as response:
                    assert response.status == 200
        async with upstreams(patient, session, cuts), session.get(patient.url + "/x") as response:
            assert response.status == 502
            assert (await response.json())["reason"] == "reset"


async def test_an_answer_that_breaks_off_is_broken_off_to_the_client_too(patient):
    async def half(request):
        response = web.StreamResponse(headers={"Content-Length": "200000"})
        await response.prepare(request)
        await response.write(b"x" * 100_000)
        request.transport.close()
        return response

    async with client() as session, upstreams(patient, session, half):
        with pytest.raises(aiohttp.ClientPayloadError):
            async with session.get(patient.url + "/x") as response:
                assert response.status == 200
                await response.read()


async def test_without_a_replica_the_answer_is_503_with_retry_after_at_once(patient):
    async with client() as session, session.get(patient.url + "/x") as response:
        assert response.status == 503
        assert int(response.headers["Retry-After"]) >= 1
        assert (await response.json())["reason"] == "no_replica"
        assert response.headers["X-Aegis-Attempts"] == "0"


async def test_expect_100_continue_is_answered_so_that_curl_sends_its_body(patient):
    async def echo(request):
        return web.Response(body=await request.read())

    async with client() as session, upstreams(patient, session, echo):
        async with session.post(patient.url + "/x", data=b"waited for", expect100=True) as response:
            assert await response.read() == b"waited for"


async def test_nonsense_on_the_data_port_is_answered_400_and_the_router_lives_on(patient):
    async with client() as session, upstreams(patient, session, ok):
        for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(patient.url.rsplit(":", 1)[1]))
            writer.write(nonsense)
            answer = await asyncio.wait_for(reader.read(200), 30)
            assert answer.startswith(b"HTTP/1.") and b" 400 " in answer
            writer.close()
        async with session.get(patient.url + "/x") as response:
            assert response.status == 200


async def test_the_retry_budget_holds_against_a_fleet_that_fails():
    budget = {"budget_ratio": 0.2, "budget_min_per_s": 0.0, "budget_window_s": 60}
    with router(settings=PATIENT | {"router": PATIENT["router"] | {"retry": budget}}) as started:
        async with client() as session, upstreams(started, session, refused, refused, refused) as all_of_them:
            for _ in range(100):
                async with session.get(started.url + "/x") as response:
                    assert response.status == 500
            retries = (await json_of(session, f"{started.admin}/stats"))["retries_total"]
            assert (sum(len(upstream.seen) for upstream in all_of_them), retries) == (120, 20)
