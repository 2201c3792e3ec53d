"""Nothing is lost on the way down: twenty scale-downs in a row, and what the naive order loses beside it."""

import os
import signal
from collections import Counter

import pytest

from tests.services.live import client, eventually, json_of, router
from tests.services.manager.managed import PATIENT, in_rotation, managed, replicas_of, started
from tests.services.traffic import Traffic

pytestmark = pytest.mark.slow
MOST = 6
KINDS = [(0, 0.0), (10, 0.0), (10, 0.3), (200_000, 0.0), (200_000, 0.6)]
"""Bytes of the body (0 = a GET), and seconds for which the client rests in the middle of sending it."""
TURNS = 4
"""Of five scale-downs each."""


def executed(folder):
    """How many replicas each POST request has come to, by its number, as their ledgers say."""
    came = {}
    for file in folder.glob("*.lines"):
        for line in file.read_text(encoding="ascii").splitlines():
            number, *_, request, _send, _attempt, method = line.split(" ")
            if method == "POST":
                came[file.name, number] = request
    return Counter(came.values())


async def scale(session, manager, count):
    async with session.put(f"{manager.url}/scale", json={"replicas": count}) as response:
        assert response.status == 200


async def naively(session, front, replica):
    """Stop first, then tell: a victim is ended while requests are under way to it, and the router hears of it later.

    So requests are sent to tasks of Swarm that are being shut down (moby #38841), and Istio's users had 503 at every
    scale-down (istio #7665).
    """

    async def at_work():
        return (await json_of(session, f"{front.admin}/replicas/{replica['id']}"))["in_flight"] >= 3

    await eventually(at_work, "three requests are under way there")
    os.kill(replica["pid"], signal.SIGKILL)
    async with session.delete(f"{front.admin}/replicas/{replica['id']}"):
        pass


async def test_twenty_scale_downs_lose_nothing_and_the_naive_order_does(tmp_path):
    """Known from outside: announce, finish, go, and 0 of N are lost; stop, then tell, and what is under way is."""
    options = {"concurrency": 8, "ledger": str(tmp_path)}
    with router(settings=PATIENT) as front:
        async with client() as session:
            async with managed(front.admin, replicas=MOST, max_replicas=MOST, replica=options, self_heal=False) as manager:
                await in_rotation(session, front, MOST)
                traffic = Traffic(front, every_s=0.05, demand_ms=20, kinds=KINDS)
                for turn in range(TURNS):
                    if turn:
                        await scale(session, manager, MOST)
                        await in_rotation(session, front, MOST)
                        await started(session, manager, MOST)
                    for count in range(MOST - 1, 0, -1):
                        await scale(session, manager, count)
                        await in_rotation(session, front, count)
                await traffic.end()

                async def gone():
                    return len(manager.told("drained")) == TURNS * (MOST - 1) == 20

                await eventually(gone, "twenty were drained")
                victims = [line["replica"] for line in manager.told("draining")]
                # Swarm chooses a victim at random (moby #37383); here it is the one that came last.
                assert victims == [f"r{number}" for number in range(MOST, 1, -1)] * TURNS
                assert traffic.lost == [], f"of {len(traffic.answers)}"
                assert len(traffic.answers) > 100
                sizes = {size for _, size, _ in traffic.answers}
                assert sizes == {0, 10, 200_000}
                posts = executed(tmp_path)
                assert len(posts) == sum(size > 0 for _, size, _ in traffic.answers)
                assert set(posts.values()) == {1}, "a POST came to two replicas"
                assert {attempts for _, size, attempts in traffic.answers if size} == {b"1"}

                await scale(session, manager, 4)
                await in_rotation(session, front, 4)
                await started(session, manager, 4)
                found = (await json_of(session, f"{manager.url}/status"))["replicas"]
                control = Traffic(front, every_s=0.05, demand_ms=800, kinds=[(10, 0.0), (10, 0.0), (0, 0.0)])
                for replica in found[1:]:
                    await naively(session, front, replica)
                await control.end()
                assert (await replicas_of(session, manager))["r1"][1] == "running"
        lost = control.lost
        assert lost, f"the order that loses has lost nothing of {len(control.answers)}: this test would not see it"
        # Mostly POST: what was begun cannot be asked for again. A GET is lost where all its attempts meet such an end.
        assert any(size > 0 for _, size, _ in lost)
        assert len(control.answers) > len(lost)
