"""Hedging with processes and sockets: a router before replicas of which one does not answer."""

import asyncio

import aiohttp
import pytest

from tests.services.live import client, eventually, json_of, router
from tests.services.router.test_proxy import PATIENT, text
from tests.services.router.upstreams import upstreams

HEDGING = PATIENT | {
    "router": PATIENT["router"] | {"hedging": {"enabled": True, "percentile": 0.5, "budget_ratio": 1.0}}
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
                assert response.status == 200 and "X-Aegis-Hedge" not in response.headers
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
            for _ in range(4):
                async with session.get(hedged.url + "/work") as response:
                    said.append((response.status, await response.text(), response.headers.get("X-Aegis-Hedge")))
            return said

        answers, ends, told = await stuck(session, hedged, ask)
        assert {(status, body) for status, body, _ in answers} == {(200, "second")}
        assert [hedge for *_, hedge in answers].count("won") == 2
        assert ends == ["cancelled"] * 2 and told == {"hedges_total": 2, "hedge_wins_total": 2}


async def test_a_client_that_hangs_up_ends_both_attempts(hedged):
    async with client() as session:
        begun, ends = [], []

        async def hangs(_request):
            if len(begun) < 10:
                begun.append(0)
                return await text()
            begun.append(1)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

        async with upstreams(hedged, session, hangs, hangs):
            for _ in range(10):
                async with session.get(hedged.url + "/work"):
                    pass
            with pytest.raises((asyncio.TimeoutError, aiohttp.ClientError)):
                async with session.get(hedged.url + "/work", timeout=aiohttp.ClientTimeout(total=1.5)):
                    pass

            async def both():
                return len(begun) == 12 and len(ends) == 2

            await eventually(both, "both have heard of it")
