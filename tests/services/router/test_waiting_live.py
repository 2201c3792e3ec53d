"""Requests in line at a live router: every way out of it, as a client sees it."""

import asyncio
import contextlib

import pytest
from aiohttp import web

from tests.services.live import client, eventually, json_of, router
from tests.services.router.upstreams import upstreams
from tests.services.test_tracing import SERVER, collector, running
from tests.services.test_tracing import there as spans_there

SETTINGS = {
    "router": {
        "health": {"interval_s": 600, "timeout_s": 30}, "timeouts": {"connect_s": 20, "attempt_s": 20, "overall_s": 60},
        "ejection": {"consecutive_failures": 1000},
    },
    "policy": {"name": "late_binding", "limit": 2},
}  # fmt: skip
"""Nothing happens by the clock, but for what a request says itself."""


@pytest.fixture(scope="module")
def lined():
    with router(settings=SETTINGS) as started:
        yield started


@contextlib.asynccontextmanager
async def one_slot(started, session, id_="u1"):
    """A server with one slot that answers when the test lets it; yields the event, and what it is asked."""
    go, here = asyncio.Event(), []

    async def answer(request):
        here.append(request.headers.copy())
        await go.wait()
        return web.Response(text=f"{len(here)}")

    async with upstreams(started, session, answer, prefix=id_[0]):
        async with session.put(f"{started.admin}/replicas/{id_}", json={"concurrency": 1}) as response:
            assert response.status == 200
        try:
            yield go, here
        finally:
            go.set()


async def asked(started, session, **headers):
    async with session.get(started.url + "/x", headers=headers) as response:
        return response.status, await response.text()


async def waiting(started, session, count):
    async def seen():
        return (await json_of(session, f"{started.admin}/stats"))["waiting"] == count

    await eventually(seen, f"{count} in line")


async def begin(started, session, here):
    """One request that takes the slot."""
    first = asyncio.create_task(asked(started, session))

    async def is_there():
        return bool(here)

    await eventually(is_there, "the first request at its server")
    return first


async def test_a_request_waits_for_the_slot_and_then_has_it_and_one_too_many_is_refused_at_once(lined):
    async with client() as session, one_slot(lined, session) as (go, here):
        tasks = [await begin(lined, session, here)]
        for count in (1, 2):
            tasks.append(asyncio.create_task(asked(lined, session)))
            await waiting(lined, session, count)
        status, body = await asked(lined, session)
        assert status == 503 and '"reason": "shed"' in body
        assert len(here) == 1, "nobody is sent where no slot is free"
        go.set()
        assert await asyncio.gather(*tasks) == [(200, "1"), (200, "2"), (200, "3")]
        await waiting(lined, session, 0)


async def test_whose_deadline_comes_in_line_is_answered_then(lined):
    async with client() as session, one_slot(lined, session) as (go, here):
        first = await begin(lined, session, here)
        status, body = await asked(lined, session, **{"X-Aegis-Deadline-Ms": "50"})
        assert status == 504 and '"reason": "deadline"' in body
        go.set()
        assert (await first)[0] == 200 and len(here) == 1


async def test_a_client_that_hangs_up_leaves_the_line(lined):
    async with client() as session, one_slot(lined, session) as (go, here):
        first = await begin(lined, session, here)
        second = asyncio.create_task(asked(lined, session))
        await waiting(lined, session, 1)
        second.cancel()
        await waiting(lined, session, 0)
        go.set()
        assert (await first)[0] == 200 and len(here) == 1


async def test_a_client_that_is_read_no_further_and_hangs_up_has_no_slot(lined):
    async with client() as session, one_slot(lined, session) as (go, here):
        first = await begin(lined, session, here)
        _, writer = await asyncio.open_connection("127.0.0.1", int(lined.url.rsplit(":", 1)[1]))
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 2)  # the second one waits, unread
        await waiting(lined, session, 1)
        writer.close()
        await writer.wait_closed()
        go.set()
        assert (await first)[0] == 200
        await waiting(lined, session, 0)
        assert await asked(lined, session) == (200, "2")


async def test_a_new_replica_is_given_what_waits_and_the_farewell_of_the_last_one_answers_it(lined):
    async with client() as session:
        async with one_slot(lined, session) as (go, here):
            first = await begin(lined, session, here)
            second = asyncio.create_task(asked(lined, session))
            await waiting(lined, session, 1)
            async with one_slot(lined, session, "v1") as (there, _):
                there.set()
                assert await second == (200, "1")
            third = asyncio.create_task(asked(lined, session))
            await waiting(lined, session, 1)
            async with session.put(f"{lined.admin}/replicas/u1", json={"state": "draining"}) as response:
                assert response.status == 200
            status, body = await third
            assert status == 503 and '"reason": "no_replica"' in body
            go.set()
            assert (await first)[0] == 200


async def test_replicas_are_told_what_is_left_and_what_has_expired_reaches_none(lined):
    async with client() as session, one_slot(lined, session) as (go, here):
        go.set()
        assert (await asked(lined, session, **{"X-Aegis-Deadline-Ms": "30000"}))[0] == 200
        assert 0 < float(here[0]["X-Aegis-Deadline-Ms"]) < 20_000.001, "the attempt's own limit is shorter"
        assert (await asked(lined, session))[0] == 200 and "X-Aegis-Deadline-Ms" not in here[1]
        status, body = await asked(lined, session, **{"X-Aegis-Deadline-Ms": "0"})
        assert status == 504 and '"reason": "deadline"' in body
        for wrong in ("-1", "soon", "1e3", "1_0", ""):
            assert (await asked(lined, session, **{"X-Aegis-Deadline-Ms": wrong}))[0] == 400
        assert len(here) == 2


async def test_nobody_is_blamed_for_a_deadline_that_is_too_short(lined):
    async with client() as session, one_slot(lined, session) as (_, here):
        for deadline_ms in ("1000", "15000"):  # the longer one where it had passed before the server was reached
            status, body = await asked(lined, session, **{"X-Aegis-Deadline-Ms": deadline_ms})
            assert status == 504 and '"reason": "deadline"' in body
            if here:
                break
        assert len(here) == 1
        (replica,) = (await json_of(session, f"{lined.admin}/replicas"))["replicas"]
        assert replica["failures_total"] == 0 and replica["in_flight"] == 0


async def test_a_trace_tells_how_long_its_request_stood_in_line_and_of_no_other_that_it_did():
    async with collector() as (env, spans), client() as session, running(router, env=env, settings=SETTINGS) as traced:
        async with one_slot(traced, session) as (go, here):
            first = await begin(traced, session, here)
            second = asyncio.create_task(asked(traced, session))
            await waiting(traced, session, 1)
            gone = asyncio.create_task(asked(traced, session))
            await waiting(traced, session, 2)
            gone.cancel()
            await waiting(traced, session, 1)
            go.set()
            assert await asyncio.gather(first, second) == [(200, "1"), (200, "2")]
            await spans_there(spans, 5)
    served = sorted((span for span in spans if span.kind == SERVER), key=lambda span: span.began)
    attempts = {span.parent: span for span in spans if span.kind != SERVER}
    assert len(served) == 3 and len(attempts) == 2
    assert ["aegis.line_ms" in span.about for span in served] == [False, True, True]
    for span, end in ((served[1], attempts[served[1].id].began), (served[2], served[2].ended)):
        assert 0 < span.about["aegis.line_ms"] <= (end - span.began) / 1e6 + 1
