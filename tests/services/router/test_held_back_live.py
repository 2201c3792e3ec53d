"""A slow replica's slot is held back by a live router before real replicas, and nobody is left in line when it goes."""

import asyncio
import contextlib

from services.backend.settings import MAX_DEMAND_MS
from tests.services.live import backend, client, eventually, json_of, router, until

SETTINGS = {
    "router": {
        "health": {"interval_s": 600, "timeout_s": 30},
        "timeouts": {"connect_s": 20, "attempt_s": 600, "overall_s": 600},
        "limits": {"standing_share": 0},
    },
    "policy": {"slow_start_s": 0},
}  # fmt: skip
"""Nothing happens by the clock; the policy is the default."""
SHORT_MS = 20


async def work(started, session, demand_ms=SHORT_MS):
    async with session.get(started.url + "/work", headers={"X-Aegis-Demand-Ms": f"{demand_ms}"}) as response:
        await response.read()
        assert response.status == 200
        return response.headers["X-Aegis-Replica"]


@contextlib.asynccontextmanager
async def replica(started, session, id_, speed):
    """One of one slot, in rotation, that says how fast it is."""
    with backend("--router", started.admin, "--id", id_, "--concurrency", 1, "--speed", speed, "--weight", speed) as it:
        await until(session, started.admin, id_, "ready")
        yield it


async def seen(started, session, waiting, **requests):
    """As soon as so many wait, and so many have been sent to each replica."""

    async def so():
        stats = await json_of(session, f"{started.admin}/stats")
        told = {each["id"]: each for each in (await json_of(session, f"{started.admin}/replicas"))["replicas"]}
        sent = {id_: told[id_]["requests_total"] for id_ in requests if id_ in told}
        return stats["waiting"] == waiting and sent == requests

    await eventually(so, f"{waiting} in line, {requests} sent")


async def taken(started, session, sent):
    """A request that has the fast replica's slot until it is cancelled."""
    task = asyncio.create_task(work(started, session, MAX_DEMAND_MS))
    await seen(started, session, 0, fast=sent)
    return task


async def test_a_slow_replicas_slot_is_held_back_then_given_to_the_last_and_nobody_is_left_when_it_goes():
    """Speeds 1 and 1/10: a slow slot takes as long as ten one after another, so that nine in line are one too many."""
    with router(settings=SETTINGS) as started:
        async with client() as session, replica(started, session, "fast", 1.0):
            async with replica(started, session, "slow", 0.1) as slow:
                first = await taken(started, session, 1)
                tasks = []
                for count in range(1, 4):
                    tasks.append(asyncio.create_task(work(started, session)))
                    await seen(started, session, count, fast=1, slow=0)
                assert slow.stop() == 0
                await seen(started, session, 0, fast=4)
                first.cancel()
                assert await asyncio.gather(*tasks) == ["fast"] * 3
            async with replica(started, session, "slower", 0.1):
                first = await taken(started, session, 5)
                tasks = [asyncio.create_task(work(started, session)) for _ in range(9)]
                await seen(started, session, 8, fast=5, slower=1)
                first.cancel()
                ends = await asyncio.gather(*tasks)
                assert sorted(ends) == ["fast"] * 8 + ["slower"]
            stats = await json_of(session, f"{started.admin}/stats")
            assert stats["picks"] == {"least": 13, "held": 1} and stats["waiting"] == 0
