"""Replicas as processes that call a second tier, through a router of its own."""

import asyncio
import contextlib
import subprocess
import sys

import pytest

from experiments.live.tier import counted
from tests.ports import free_port
from tests.running import AT_MOST_S, ROOT
from tests.services.live import backend, client, eventually, json_of, router
from tests.services.router.raw import together, working

CALL = ("--call-distribution", "constant", "--call-mean-ms")


@pytest.fixture(scope="module")
def tier():
    """The router of a second tier, and its two replicas."""
    settings = {"router": {"health": {"enabled": False}, "ejection": {"enabled": False}}}
    with router("--policy", "round_robin", settings=settings) as front, contextlib.ExitStack() as stack:
        replicas = [stack.enter_context(backend("--id", id_, "--router", front.admin)) for id_ in ("b1", "b2")]
        yield front, replicas


def calling(url, *arguments):
    return backend("--id", "r1", "--downstream", url, *arguments)


async def work(session, started, demand=1.0, **headers):
    async with session.get(f"{started.url}/work", headers={"X-Aegis-Demand-Ms": str(demand), **headers}) as response:
        return response.status, await response.json(), response.headers


async def stats(session, tier):
    return await json_of(session, f"{tier[0].admin}/stats")


@contextlib.asynccontextmanager
async def failing(session, replicas, **active):
    """These replicas have a fault."""
    for replica in replicas:
        async with session.put(f"{replica.admin}/faults", json=active) as response:
            assert response.status == 200
    try:
        yield
    finally:
        for replica in replicas:
            async with session.delete(f"{replica.admin}/faults") as response:
                assert response.status == 200


async def test_a_request_makes_its_calls_and_one_failing_replica_behind_it_costs_nothing(tier):
    with calling(tier[0].url, "--fanout", 2, *CALL, 20) as front:
        async with client() as session:
            before = await stats(session, tier)
            status, body, headers = await work(session, front)
            after = await stats(session, tier)
            assert status == 200 and after["requests_total"] - before["requests_total"] == 2
            assert float(headers["X-Aegis-Service-Ms"]) >= 21 and body["service_ms"] >= 21
            async with failing(session, tier[1][:1], error={"rate": 1}):
                assert [(await work(session, front))[0] for _ in range(4)] == [200] * 4
            assert (await stats(session, tier))["retries_total"] > after["retries_total"]


async def test_what_fails_behind_a_replica_is_its_failure_with_the_reason(tier):
    with calling(tier[0].url, "--fanout", 2, *CALL, 5) as front:
        async with client() as session:
            async with failing(session, tier[1], error={"rate": 1}):
                status, body, _ = await work(session, front)
            assert (status, body["error"]) == (502, "the second tier failed (status 502)")
            async with failing(session, tier[1], flap={"period_s": 0.1}):
                answers = [await work(session, front) for _ in range(20)]
            assert {status for status, *_ in answers} <= {200, 503}
            async with failing(session, tier[1], hang={}):
                status, _, _ = await work(session, front, **{"X-Aegis-Deadline-Ms": "300"})
            assert status == 504
            assert (await work(session, front))[0] == 200


async def test_a_quorum_does_not_wait_for_a_replica_that_hangs_and_its_call_is_cancelled(tier):
    with calling(tier[0].url, "--fanout", 2, "--wait", 1, *CALL, 5) as front:
        async with client() as session:
            async with failing(session, tier[1][:1], hang={}):
                assert (await work(session, front))[0] == 200

                async def nothing_is_left():
                    return (await stats(session, tier))["in_flight"] == 0

                await eventually(nothing_is_left)


async def test_a_call_that_is_turned_away_has_no_attempt_and_one_that_is_given_up_has_not_failed(tier):
    async with client() as session:
        with router() as nobody, calling(nobody.url, "--fanout", 2) as front:
            assert (await work(session, front))[0] == 503
            told = counted(await json_of(session, f"{nobody.admin}/stats"))
        assert told == {"calls": 2, "attempts": 0, "hedged": 0, "failed": 2}
        before = counted(await stats(session, tier))
        with calling(tier[0].url, "--fanout", 1, "--call-timeout-s", 1.5, *CALL, 5000) as front:
            assert (await work(session, front))[0] == 504

            async def it_is_over():
                return (await stats(session, tier))["in_flight"] == 0

            await eventually(it_is_over)
            assert counted(await stats(session, tier)) == before | {
                "calls": before["calls"] + 1, "attempts": before["attempts"] + 1,
            }  # fmt: skip


@pytest.mark.parametrize(("slot", "waits"), [("held", True), ("free", False)])
async def test_a_slot_is_held_or_free_while_the_calls_are_under_way(tier, slot, waits):
    with calling(tier[0].url, "--fanout", 1, "--concurrency", 1, "--slot", slot, *CALL, 300) as front:
        answers = await together(front, *[working(1)] * 2)
        assert [status for status, *_ in answers] == [200, 200]
        assert (max(float(headers["x-aegis-queue-ms"]) for _, headers, _ in answers) > 250) == waits


async def test_a_client_that_hangs_up_ends_the_calls_and_gives_the_slot_back(tier):
    with calling(tier[0].url, "--fanout", 2, "--concurrency", 1, *CALL, 30_000) as front:
        async with client() as session:
            asked = asyncio.create_task(work(session, front))

            async def in_flight():
                return (await stats(session, tier))["in_flight"]

            async def calls_are_there():
                return await in_flight() == 2

            async def nothing_is_left():
                return await in_flight() == 0 and (await json_of(session, f"{front.url}/probe"))["wait_ms"] == 0

            await eventually(calls_are_there)
            asked.cancel()
            await eventually(nothing_is_left)


async def test_a_cache_that_has_everything_spares_every_call_until_it_is_lost():
    nobody = f"http://127.0.0.1:{free_port()}"
    with calling(nobody, "--fanout", 3, "--hit-rate", 1) as front:
        async with client() as session:
            assert (await work(session, front))[0] == 200
            async with failing(session, [front], cache_loss={}):
                assert (await work(session, front))[0] == 502
            assert (await work(session, front))[0] == 200


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--fanout", "2"], "--downstream and --fanout"),
        (["--downstream", "http://127.0.0.1:1"], "--downstream and --fanout"),
        (["--downstream", "127.0.0.1:1", "--fanout", "2"], "http://host:port"),
        (["--downstream", "http://127.0.0.1:1", "--fanout", "2", "--wait", "3"], "wait=3: must be at most fanout=2"),
        (["--downstream", "http://127.0.0.1:1", "--fanout", "2", "--kind", "cpu"], "or slot=free"),
    ],
)
def test_what_cannot_be_called_is_refused(options, told):
    done = subprocess.run(
        [sys.executable, "-m", "services.backend", "--port", "0", *options],
        cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and told in done.stderr
