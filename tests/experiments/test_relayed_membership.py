"""What a router hears through the relay of its replicas, with real processes."""

import asyncio

from experiments.live.paths import Paths
from tests.services.live import backend, client, eventually, json_of, router, status_of, until


async def test_a_replica_is_reached_through_the_relay_and_its_farewell_arrives_late(tmp_path):
    paths = Paths(["r1"], 1, tmp_path / "relay.log")
    with router() as front:
        registry = await paths.start(front.admin, 60)
        try:
            with backend("--router", registry) as replica:
                async with client() as session:
                    await until(session, front.admin, "r1", "ready")
                    (seen,) = (await json_of(session, f"{front.admin}/replicas"))["replicas"]
                    assert seen["url"] != replica.url  # but to the replica it is its own
                    assert (await json_of(session, f"{registry}/replicas/r1"))["url"] == replica.url
                    async with session.get(f"{front.url}/work", headers={"X-Aegis-Demand-Ms": "1"}) as answer:
                        assert answer.status == 200 and answer.headers["X-Aegis-Replica"] == "r1"
                    assert (await json_of(session, f"{registry}/stats"))["replicas"][0]["url"] == replica.url

                    await paths.put("r1", {"late_membership": {"delay_s": 60.0}})
                    assert await asyncio.to_thread(replica.stop) == 0  # nobody keeps it waiting
                    assert await status_of(session, "r1", front.admin) is not None
                    events = (await json_of(session, f"{front.admin}/events"))["events"]
                    assert not [event for event in events if event["event"] in ("draining", "drained", "expired")]

                    await paths.clear()

                    async def left():
                        told = (await json_of(session, f"{front.admin}/events"))["events"]
                        return [event["event"] for event in told if event["event"] in ("draining", "drained")]

                    async def gone():
                        return await status_of(session, "r1", front.admin) is None

                    await eventually(gone, "the news of its end arrives")
                    assert await left() == ["draining", "drained"]
        finally:
            await paths.stop()
    assert not paths.pids
