"""Hedging with processes and sockets: a router before replicas of which one does not answer."""

import asyncio

import pytest

from tests.services.live import client, eventually, json_of, router
from tests.services.router.test_proxy import PATIENT, text
from tests.services.router.upstreams import upstreams

HEDGING = PATIENT | {
    "router": PATIENT["router"]
    | {"hedging": {"enabled": True, "percentile": 0.5, "budget_ratio": 1.0, "min_delay_s": 0.2}}
}


@pytest.fixture(scope="module")
def hedged():
    with router(settings=HEDGING) as started:
        yield started


async def stuck(session, started, ask):
    """What becomes of requests while the first of two replicas answers nobody: answers, ends there, and `/stats`."""
    hangs, ends = asyncio.Event(), []

    async def first(_request):
        if hangs.is_set():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise
        return await text("first")

    async def second(_request):
        return await text("second")

    async with upstreams(started, session, first, second):
        for _ in range(10):
            async with session.get(started.url + "/work") as response:
                assert response.status == 200
        hangs.set()
        before = await json_of(session, started.admin + "/stats")
        answers = await ask()

        async def at_rest():
            stats = await json_of(session, started.admin + "/stats")
            return stats if stats["in_flight"] == 0 and not any(r["in_flight"] for r in stats["replicas"]) else None

        after = await eventually(at_rest, "nothing is in flight")
        return answers, ends, {key: after[key] - before[key] for key in ("hedges_total", "hedge_wins_total")}


async def test_a_replica_that_hangs_costs_no_answer_and_hears_that_nobody_waits(hedged):
    async with client() as session:

        async def ask():
            said = []
            while [hedge for *_, hedge in said].count("won") < 2 and len(said) < 20:  # the first four, on a quick machine
                async with session.get(hedged.url + "/work") as response:
                    said.append((response.status, await response.text(), response.headers.get("X-Aegis-Hedge")))
            return said

        answers, ends, told = await stuck(session, hedged, ask)
        assert {(status, body) for status, body, _ in answers} == {(200, "second")}
        assert [hedge for *_, hedge in answers].count("won") == 2
        assert told["hedges_total"] >= told["hedge_wins_total"] >= 2

        async def heard():
            return ends.count("cancelled") >= 2

        await eventually(heard, "the replica hears it")


async def test_a_client_that_hangs_up_ends_both_attempts(hedged):
    async with client() as session:
        hangs, begun, ends = asyncio.Event(), [], []

        async def handler(_request):
            if not hangs.is_set():
                return await text()
            begun.append("begun")
            try:
                await asyncio.sleep(60)
            finally:
                ends.append("ended")

        async with upstreams(hedged, session, handler, handler):
            for _ in range(10):
                async with session.get(hedged.url + "/work"):
                    pass
            hangs.set()
            asking = asyncio.create_task(session.get(hedged.url + "/work"))

            async def both_begun():
                return len(begun) == 2

            await eventually(both_begun, "both have begun")
            assert ends == []
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

            async def both_ended():
                return len(ends) == 2

            await eventually(both_ended, "both have heard of it")
