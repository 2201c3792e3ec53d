"""A router that stood still says so, and blames nobody else for it; who waits for a replica that is gone waits no longer."""

import asyncio
import contextlib
import time

import psutil
import pytest

from tests.services.live import client, eventually, json_of, router
from tests.services.metrics import metrics
from tests.services.router.raw import raw_client, raw_replica

STOOD_S = 0.6
LEASE_S = 2.0


@contextlib.asynccontextmanager
async def stopped(process):
    """The process runs no instruction meanwhile, and for so long."""
    process.suspend()
    try:
        began = time.monotonic()
        yield
        await asyncio.sleep(STOOD_S - (time.monotonic() - began))
    finally:
        process.resume()


async def at_once(_head, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")


ASK = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_a_request_that_came_while_the_router_stood_still_is_charged_to_the_router():
    born = time.monotonic()
    with router(settings={"router": {"health": {"interval_s": 600}}}) as front:
        process = psutil.Process(front.process.pid)
        async with client() as session, raw_replica(front, session, at_once), raw_client(front) as one:

            async def quick():
                await one.send(ASK)
                return float((await one.answer())[1]["x-aegis-router-ms"]) / 1e3 < STOOD_S / 2

            await eventually(quick, "before it stood still")
            began = time.monotonic()
            async with stopped(process):
                await one.send(ASK)
                async with raw_client(front) as new:  # the kernel accepts it
                    await new.send(ASK)
                    await asyncio.sleep(STOOD_S)
                    process.resume()
                    took = [float((await each.answer())[1]["x-aegis-router-ms"]) / 1e3 for each in (one, new)]
                    over = time.monotonic()
            assert all(STOOD_S * 0.8 < seconds < over - began + 0.1 for seconds in took), took
            await eventually(quick, "only what came meanwhile")
            stats = await json_of(session, f"{front.admin}/stats")
            assert STOOD_S * 0.8 < stats["loop_lag_worst_s"] < time.monotonic() - born
            assert stats["loop_lag_worst_s"] <= stats["loop_lag_seconds_total"]
            counted = await metrics(session, front.admin)
            assert counted["aegis_router_loop_lag_seconds_sum",] >= STOOD_S * 0.8


async def test_leases_that_were_renewed_while_the_router_stood_still_have_not_run_out():
    """Of many replicas, or the one renewal may be read before it is looked at the clock."""
    with router(settings={"router": {"health": {"enabled": False}}}) as front:
        process = psutil.Process(front.process.pid)
        async with client() as session:

            async def tell(number, lease_s, **more):
                async with session.put(f"{front.admin}/replicas/r{number}", json={"lease_s": lease_s, **more}) as response:
                    return response.status

            numbers = range(40)
            began = time.monotonic()
            told = [tell(number, 600, url=f"http://127.0.0.1:{9000 + number}", state="ready") for number in numbers]
            assert set(await asyncio.gather(*told)) == {201}
            lease_s = LEASE_S + 5 * (time.monotonic() - began)  # longer than it takes to tell all of them, here and now
            assert set(await asyncio.gather(*(tell(number, lease_s) for number in numbers))) == {200}
            over = time.monotonic() + lease_s
            async with stopped(process):
                renewals = asyncio.gather(*(tell(number, 600) for number in numbers))
                await asyncio.sleep(over + STOOD_S - time.monotonic())
            assert set(await renewals) == {200}
            events = (await json_of(session, f"{front.admin}/events"))["events"]
            assert "expired" not in [event["event"] for event in events]


async def test_an_answer_that_came_while_the_router_stood_still_is_in_time_and_no_slow_replica():
    async def a_little_later(head, writer):
        begun.set()
        await asyncio.sleep(0.05)
        await at_once(head, writer)

    timeouts = {"attempt_s": 0.5, "overall_s": 0.5}
    with router(settings={"router": {"health": {"interval_s": 600}, "timeouts": timeouts}}) as front:
        process = psutil.Process(front.process.pid)
        async with client() as session, raw_replica(front, session, a_little_later), raw_client(front) as one:
            begun = asyncio.Event()
            await one.send(ASK)
            await asyncio.wait_for(begun.wait(), 30)
            async with stopped(process):
                pass
            status, headers, _ = await one.answer()
            assert (status, headers["x-aegis-attempts"]) == (200, b"1")
            replica = await json_of(session, f"{front.admin}/replicas/raw")
            assert replica["failures_total"] == 0 and replica["latency_ewma_ms"] < STOOD_S * 1e3 / 2


async def test_a_router_that_stands_still_again_and_again_fails_no_check():
    health = {"interval_s": 0.05, "timeout_s": 0.5, "unhealthy_threshold": 1}
    with router(settings={"router": {"health": health}}) as front:
        process = psutil.Process(front.process.pid)
        async with client() as session, raw_replica(front, session, at_once):
            for _ in range(5):
                async with stopped(process):
                    pass
                await asyncio.sleep(0.1)
            events = (await json_of(session, f"{front.admin}/events"))["events"]
            assert [event["event"] for event in events] == ["registered", "readmitted"]


@pytest.mark.parametrize(("method", "moves"), [("GET", True), ("POST", False)])
async def test_who_waits_for_a_replica_that_is_removed_is_served_elsewhere_unless_it_was_a_post(method, moves):
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hangs(head, writer):
        asked.set()
        await go_on.wait()
        await at_once(head, writer)

    settings = {"router": {"health": {"interval_s": 600}, "timeouts": {"attempt_s": 60, "overall_s": 60}}}
    with router(settings=settings) as front:
        async with client() as session, raw_replica(front, session, hangs, "stuck"):
            async with raw_client(front) as one:
                await one.send(b"%b /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab" % method.encode())
                await asyncio.wait_for(asked.wait(), 30)
                async with raw_replica(front, session, at_once, "other") as other:
                    async with session.delete(f"{front.admin}/replicas/stuck") as response:
                        assert response.status == 204

                    async def removed():
                        events = (await json_of(session, f"{front.admin}/events"))["events"]
                        return ("moved" if moves else "removed") in [event["event"] for event in events]

                    await eventually(removed, "it is told")
                    if not moves:
                        go_on.set()
                    status, headers, _ = await one.answer()
                    assert (status, headers["x-aegis-attempts"]) == (200, b"2" if moves else b"1")
                    assert len(other.seen) == moves
                    stats = await json_of(session, f"{front.admin}/stats")
                    assert (stats["moved_total"], stats["cancelled_total"], stats["in_flight"]) == (int(moves), 0, 0)
            go_on.set()


async def test_who_waits_for_a_replica_that_goes_out_as_a_panic_ends_is_served_elsewhere():
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hangs(head, writer):
        asked.set()
        await go_on.wait()
        await at_once(head, writer)

    health = {"interval_s": 0.05, "unhealthy_threshold": 1, "healthy_threshold": 1}
    settings = {"router": {"health": health, "timeouts": {"attempt_s": 60, "overall_s": 60}}}
    with router(settings=settings) as front:
        async with client() as session, raw_replica(front, session, hangs, "stuck") as stuck, raw_client(front) as one:

            async def panics():
                return (await json_of(session, f"{front.admin}/events"))["events"][-1]["event"] == "panic"

            stuck.is_ready = False
            await eventually(panics, "nobody is healthy")
            await one.send(ASK)
            await asyncio.wait_for(asked.wait(), 30)
            async with raw_replica(front, session, at_once, "other"):  # half of two are healthy: no panic any more
                status, headers, _ = await one.answer()
                assert (status, headers["x-aegis-attempts"]) == (200, b"2")
            go_on.set()
