"""The controller's own bad days, with real processes: whatever happens to it, it does no harm to what it controls."""

import asyncio
import contextlib
import os
import signal

import aiohttp
import psutil
import pytest
from aiohttp import web

from tests.ports import free_ports
from tests.running import is_alive
from tests.services.live import Service, client, eventually, json_of, router
from tests.services.manager.managed import (
    HELD_MS,
    PATIENT,
    SLOWLY,
    Clients,
    decided,
    decisions,
    held,
    in_rotation,
    last_seq,
    managed,
    outages,
    replicas_of,
)
from tests.services.traffic import Traffic

pytestmark = pytest.mark.slow
TRACKING = {"name": "target_tracking", "target": 1.0}
"""One request in flight a replica, which has one slot: as many replicas as clients."""


@contextlib.contextmanager
def ended(pid):
    """A process that nobody may leave behind, whatever fails."""
    process = psutil.Process(pid)
    try:
        yield process
    finally:
        if is_alive(process):
            process.kill()


# -- the manager itself


async def test_a_manager_that_is_killed_leaves_its_replicas_to_the_next_one_which_changes_nothing(tmp_path):
    """As a ReplicaSet's pods outlive kube-controller-manager. Knative's autoscaler of 2019 forgot what there was: it
    went from 7 pods to 1, 2, 6 and 7 again when it was restarted (knative/serving #4795)."""
    outlive = ("--outlive", tmp_path / "replicas.json")
    settings = {"max_replicas": 5, "replica": SLOWLY}
    with contextlib.ExitStack() as stack:
        front = stack.enter_context(router(settings=PATIENT))
        async with client() as session:
            async with managed(front.admin, *outlive, replicas=3, **settings) as first:
                before, urls = await replicas_of(session, first), await in_rotation(session, front, 3)
                processes = [stack.enter_context(ended(pid)) for pid, _ in before.values()]
                async with Clients(front, 3, demand_ms=3) as load:
                    await decided(session, first, 3, seen=True)
                    first.process.kill()
                    first.process.wait(30)
                    asked = len(load.statuses)

                    async def served():
                        return len(load.statuses) > asked + 12

                    await eventually(served, "the load goes on without a manager")
                assert set(load.statuses) == {200}

                async with Clients(front, 3, demand_ms=HELD_MS) as load:

                    async def three():
                        return (await json_of(session, f"{front.admin}/stats"))["in_flight"] == 3

                    await eventually(three, "three requests are under way, for good")
                    # Little of three seconds without them would be enough to take one away.
                    settings |= {"scaler": TRACKING, "stabilization_down_s": 1.5}
                    async with managed(front.admin, *outlive, replicas=1, **settings) as second:
                        assert await replicas_of(session, second) == before
                        found = await decided(session, second, 6, seen=True)
                        everything = await decisions(session, second)
                        assert everything[0]["reason"] == "found running" and everything[0]["desired"] == 3
                        assert {each["desired"] for each in everything} == {3}, found
                        assert await in_rotation(session, front, 3) == urls
                        assert await replicas_of(session, second) == before
                        await load.end()
                assert not [process for process in processes if is_alive(process)], "who ends in order ends them, too"


async def test_of_those_that_a_manager_leaves_the_dead_are_started_again_and_the_unready_ended(tmp_path):
    notes = tmp_path / "replicas.json"
    with contextlib.ExitStack() as stack:
        front = stack.enter_context(router())
        async with client() as session:
            async with managed(front.admin, "--outlive", notes, replicas=2) as first:
                before, urls = await replicas_of(session, first), await in_rotation(session, front, 2)
                stack.enter_context(ended(before["r1"][0]))
                first.process.kill()
                first.process.wait(30)
            os.kill(before["r2"][0], signal.SIGKILL)
            sleeper = await asyncio.create_subprocess_exec("sleep", "600")
            text = notes.read_text(encoding="utf-8")
            begun = psutil.Process(sleeper.pid)
            unready = f'"r3": {{"pid": {sleeper.pid}, "begun": "{ticks(sleeper.pid)}", "addresses": {{}}}}'
            later = f'"r4": {{"pid": {sleeper.pid}, "begun": "1", "addresses": {{"url": "http://127.0.0.1:9"}}}}'
            notes.write_text(f"{text.rstrip()[:-1]}, {unready}, {later}}}", encoding="utf-8")
            async with managed(front.admin, "--outlive", notes, replicas=1, max_replicas=2) as second:
                await asyncio.wait_for(sleeper.wait(), 30)
                assert not is_alive(begun)

                async def started_again():
                    return (await replicas_of(session, second)).get("r2", before["r2"])[0] not in (None, before["r2"][0])

                await eventually(started_again, "r2 was started again")
                assert await in_rotation(session, front, 2) == urls
                after = await replicas_of(session, second)
                assert after.keys() == {"r1", "r2"} and after["r1"] == before["r1"]


def ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(") ")[2].split()[19]


def test_a_file_of_replicas_that_is_none_is_one_line(tmp_path):
    (tmp_path / "replicas.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"--outlive=.*must be a file that a manager has written"):
        Service("manager", "--port", 0, "--outlive", tmp_path / "replicas.json")


# -- the router


async def test_while_the_router_restarts_the_number_is_held_and_then_it_goes_on():
    ports = dict(zip(("--port", "--admin-port"), free_ports(2), strict=True))
    where = [str(word) for pair in ports.items() for word in pair]
    settings = {"scaler": TRACKING, "replicas": 2, "max_replicas": 3, "replica": SLOWLY}
    async with client() as session:
        with router(*where, settings=PATIENT) as front:
            async with managed(front.admin, **settings) as manager, Clients(front, 2, demand_ms=HELD_MS) as load:
                since = await held(session, front, manager, 2)
                front.process.kill()
                front.process.wait(30)
                away = await decided(session, manager, 5, since, seen=False)
                assert "does not answer" in away[-1]["reason"]
                with router(*where, settings=PATIENT) as again:
                    await in_rotation(session, again, 2)
                    # The first look at a router that has begun anew tells nothing: there is nothing to compare with.
                    await decided(session, manager, 3, await last_seq(session, manager), seen=True)
                    assert {each["desired"] for each in await decisions(session, manager, since)} == {2}
                    async with Clients(again, 2, demand_ms=HELD_MS):
                        await in_rotation(session, again, 3)
                    await load.end()
                    assert outages(manager) >= 1


class Between:
    """Stands between manager and router: passes everything on, but answers `/stats` as the test says."""

    def __init__(self, admin):
        self.admin = admin
        self.mode = "pass"
        self.first = None
        self.session = None

    @contextlib.asynccontextmanager
    async def listening(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with aiohttp.ClientSession() as self.session:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
            await runner.cleanup()

    async def answer(self, request):
        async with self.session.request(
            request.method, f"{self.admin}{request.path_qs}", data=await request.read(), headers=request.headers
        ) as response:
            body, status, kind = await response.text(), response.status, response.content_type
        if request.path == "/stats":
            self.first = self.first or body
            if self.mode == "hangs":
                await asyncio.sleep(600)
            status = 500 if self.mode == "500" else status
            kind = "text/html" if self.mode == "html" else kind
            body = WRONG.get(self.mode, lambda text, _: text)(body, self.first)
        return web.Response(text=body, status=status, content_type=kind)


def without_work(text, word):
    head, _, tail = text.partition('"work_seconds_total": ')
    return f'{head}"work_seconds_total": {word},{tail.partition(",")[2]}'


WRONG = {
    "html": lambda *_: "<html>502 Bad Gateway</html>",
    "empty": lambda *_: "",
    "half": lambda text, _: text[: len(text) // 2],
    "list": lambda *_: "[1, 2]",
    "other": lambda *_: '{"replicas": [], "version": 3}',
    "nan": lambda text, _: without_work(text, "NaN"),
    "backwards": lambda text, _: without_work(text, "-5"),
    "stale": lambda _, first: first,
}
"""What it tells instead, of what the router told and of what it told first."""


async def test_without_metrics_or_with_wrong_ones_the_number_is_held_and_the_log_says_so_once():
    """As upstream: where a metric cannot be had, nobody is taken away (kubernetes #30471, #130130)."""
    settings = {"scaler": TRACKING, "replicas": 2, "max_replicas": 4, "stabilization_down_s": 0.0, "replica": SLOWLY}
    with router(settings=PATIENT) as front:
        between = Between(front.admin)
        async with client() as session, between.listening() as admin:
            async with managed(admin, **settings) as manager:
                # One look at which they are not under way would be enough to take one away.
                async with Clients(front, 2, demand_ms=HELD_MS):
                    begin = await held(session, front, manager, 2)
                    for number, mode in enumerate(["500", "hangs", *WRONG], 1):
                        between.mode = mode
                        since = await last_seq(session, manager)
                        blind = await decided(session, manager, 3, since, seen=False)
                        assert {each["desired"] for each in blind} == {2}, mode
                        assert "does not answer" in blind[-1]["reason"], mode
                        between.mode = "pass"
                        await decided(session, manager, 2, await last_seq(session, manager), seen=True)
                        assert outages(manager) >= number and manager.told("router_away")[-1]["error"], mode
                    everything = await decisions(session, manager, begin)
                    assert {each["desired"] for each in everything} == {2}


# -- replicas


async def test_one_that_is_healthy_and_answers_nothing_does_not_drive_the_number_up_and_loses_no_get():
    """What hangs there is counted while it is in rotation, once, and no more comes of it from look to look."""
    settings = {"scaler": {"name": "target_tracking", "target": 1.0}, "max_replicas": 6, "self_heal": False}
    quick = {"router": {"timeouts": {"attempt_s": 2.0}}}
    with router(settings=quick) as front:
        async with client() as session, managed(front.admin, replicas=3, **settings) as manager:
            await in_rotation(session, front, 3)
            found = (await json_of(session, f"{manager.url}/status"))["replicas"]
            liar = next(replica for replica in found if replica["id"] == "r2")
            async with session.put(f"{liar['admin_url']}/faults", json={"hang": {"share": 1}}) as response:
                assert response.status == 200
            async with Clients(front, 3, demand_ms=300) as load:

                async def served():
                    return len(load.statuses) > 30

                await eventually(served, "three clients were served thirty times")
                await decided(session, manager, 10, seen=True)
                asked = list(load.statuses)
            assert set(asked) == {200}
            numbers = [each["observation"]["in_flight"] for each in await decided(session, manager, 1, seen=True)]
            assert max(numbers) <= 3.0 + 1e-6, "three ask: more than three are nowhere under way"
            assert max(each["desired"] for each in await decisions(session, manager)) <= 3


async def test_one_is_killed_while_another_drains_and_no_get_is_lost_nor_a_post_sent_twice():
    patient = {"router": {"timeouts": {"attempt_s": 20.0, "overall_s": 25.0}}}
    with router(settings=patient) as front:
        async with client() as session, managed(front.admin, replicas=3, replica={"concurrency": 8}) as manager:
            await in_rotation(session, front, 3)
            before = await replicas_of(session, manager)
            traffic = Traffic(front, demand_ms=2000, every_s=0.3, kinds=[(0, 0.0), (10, 0.0), (200_000, 0.3)])

            async def all_at_work():
                seen = (await json_of(session, f"{front.admin}/replicas"))["replicas"]
                return all(replica["in_flight"] for replica in seen)

            await eventually(all_at_work, "each has something under way")
            async with session.put(f"{manager.url}/scale", json={"replicas": 2}) as response:
                assert response.status == 200

            async def drains():  # by the event: it may have gone before the next look
                events = (await json_of(session, f"{front.admin}/events"))["events"]
                return any(e["event"] == "draining" and e["replica"] == "r3" and e["in_flight"] for e in events)

            await eventually(drains, "r3 drains, with requests under way")
            os.kill(before["r1"][0], signal.SIGKILL)
            urls = await in_rotation(session, front, 2)
            assert urls.keys() == {"r1", "r2"}
            assert (await replicas_of(session, manager))["r1"][0] != before["r1"][0], "it was replaced"
            await traffic.end()
            drained = [line["replica"] for line in manager.told("drained")]
        gets = [answer for answer in traffic.answers if answer[1] == 0]
        assert len(gets) > 3 and {answer[0] for answer in gets} == {200}
        # What was under way at r1 with a body cannot be asked for again: nobody knows how far it had come.
        assert {answer[1] > 0 for answer in traffic.lost} <= {True} and len(traffic.lost) < len(traffic.answers) / 2
        assert {answer[2] for answer in traffic.answers if answer[1] and answer[0] == 200} == {b"1"}
        assert "r3" in drained


# -- the load


async def test_a_load_that_swings_within_the_window_takes_nobody_away():
    """Of all recommendations of the window the highest counts (Kubernetes): three dips of some seconds cost nothing."""
    settings = {"scaler": TRACKING, "replicas": 1, "max_replicas": 3, "stabilization_down_s": 30.0}
    with router() as front:
        async with client() as session, managed(front.admin, **settings) as manager:

            async def wished(low, high):
                """Wait for five looks at which it asks for so many."""
                since = await last_seq(session, manager)

                async def there():
                    found = [each["raw_desired"] for each in await decisions(session, manager, since)]
                    return sum(wish is not None and low <= wish <= high for wish in found) >= 5

                await eventually(there, f"a wish of {low} to {high}")

            async with Clients(front, 3):
                await in_rotation(session, front, 3)
            since = await last_seq(session, manager)
            for _ in range(3):
                await wished(0.0, 1.5)
                async with Clients(front, 3):
                    await wished(2.0, 3.0)
            assert {each["desired"] for each in await decisions(session, manager, since)} == {3}
            assert (await replicas_of(session, manager)).keys() == {"r1", "r2", "r3"}
