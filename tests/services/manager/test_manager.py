"""The manager as a process, with a real router and real replicas."""

import asyncio
import json
import os
import signal

import psutil
import pytest

from services.manager.__main__ import main
from tests.running import AT_MOST_S, descendants, is_alive
from tests.services.live import JSON, Service, client, eventually, json_of, router


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A router, and a manager with two replicas that may be one to four; it decides five times a second."""
    folder = tmp_path_factory.mktemp("manager")
    scaling = {"min_replicas": 1, "max_replicas": 4, "interval_s": 0.2}
    path = folder / "manager.json"
    path.write_text(json.dumps({"scaling": scaling, "scaler": {"name": "none"}, "replicas": 2}))
    with router() as front:
        manager = Service(
            "manager", "--port", 0, "--router", front.admin, "--config", path, "--log-dir", folder, env=JSON
        )  # fmt: skip
        yield front, manager
        manager.stop()


async def status(session, manager):
    return await json_of(session, f"{manager.url}/status")


async def settled(session, pair, count):
    """The status, once the router routes to exactly `count` replicas that all run."""
    front, manager = pair

    async def there():
        found = await status(session, manager)
        replicas = (await json_of(session, f"{front.admin}/replicas"))["replicas"]
        ready = sum(replica["state"] == "ready" for replica in replicas)
        done = ready == len(replicas) == len(found["replicas"]) == found["ready"] == count
        return found if done else None

    return await eventually(there, f"{count} replicas are ready")


async def put(session, manager, path, **body):
    async with session.put(f"{manager.url}{path}", json=body) as response:
        return response.status, await response.json()


async def test_it_scales_up_and_down_by_hand_and_loses_no_request(pair):
    front, manager = pair

    async with client() as session:
        first_start_s = (await settled(session, pair, 2))["first_start_s"]
        assert 0 < first_start_s < AT_MOST_S
        stop, statuses = asyncio.Event(), []

        async def send():
            while not stop.is_set():
                async with session.get(front.url + "/work", headers={"X-Aegis-Demand-Ms": "20"}) as response:
                    statuses.append(response.status)

        sender = asyncio.create_task(send())
        for count in (3, 1, 2):
            code, answer = await put(session, manager, "/scale", replicas=count)
            assert code == 200 and answer["autoscaler"] is False and "PUT /autoscaler" in answer["note"]
            found = await settled(session, pair, count)
            assert [replica["id"] for replica in found["replicas"]] == [f"r{n}" for n in range(1, count + 1)]
            assert all(replica["pid"] and replica["url"] for replica in found["replicas"])
        stop.set()
        await sender
        assert set(statuses) == {200}
        page = await json_of(session, f"{manager.url}/decisions")
        changes = [(d["previous"], d["desired"]) for d in page["decisions"] if d["changed"]]
        assert changes == [(2, 3), (3, 1), (1, 2)]
        scaled = [(line["from"], line["to"]) for line in manager.told("scaled")]
        assert scaled == changes and all("by hand" in line["why"] for line in manager.told("scaled"))
        assert {"r2", "r3"} <= {line["replica"] for line in manager.told("drained")}
        assert all(decision["reason"] for decision in page["decisions"])
        later = await json_of(session, f"{manager.url}/decisions?since={page['next']}")
        assert all(decision["seq"] > page["next"] for decision in later["decisions"])


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/scale", {"replicas": 0}, "replicas"),
        ("/scale", {"replicas": 5}, "between 1 and 4"),
        ("/scale", {"replica": 2}, "replica"),
        ("/autoscaler", {"min_replicas": 5}, "must not exceed max_replicas=4"),
        ("/autoscaler", {"enabeld": True}, "enabeld"),
    ],
)
async def test_a_wrong_order_is_422_and_changes_nothing(pair, path, body, words):
    async with client() as session:
        before = await status(session, pair[1])
        code, answer = await put(session, pair[1], path, **body)
        assert code == 422 and words in json.dumps(answer)
        after = await status(session, pair[1])
        assert [after[key] for key in ("desired", "min_replicas", "max_replicas")] == [
            before[key] for key in ("desired", "min_replicas", "max_replicas")
        ]


async def test_bounds_can_be_moved_and_the_scaler_switched_off(pair):
    async with client() as session:
        assert (await put(session, pair[1], "/scale", replicas=1))[0] == 200
        await settled(session, pair, 1)
        assert (await put(session, pair[1], "/autoscaler", min_replicas=2))[0] == 200
        await settled(session, pair, 2)  # the running scaler keeps to the new bound
        code, found = await put(session, pair[1], "/autoscaler", enabled=False, min_replicas=1)
        assert code == 200 and found["autoscaler"] is False
        await put(session, pair[1], "/autoscaler", enabled=True)


async def test_a_replica_that_died_is_replaced_at_its_address(pair):
    async with client() as session:
        before = (await settled(session, pair, 2))["replicas"]
        os.kill(before[0]["pid"], signal.SIGKILL)

        async def replaced():
            found = (await status(session, pair[1]))["replicas"]
            return found if found[0]["pid"] not in (None, before[0]["pid"]) and found[0]["state"] == "running" else None

        after = await eventually(replaced, "r1 runs again")
        assert (after[0]["id"], after[0]["url"]) == (before[0]["id"], before[0]["url"])
        await settled(session, pair, 2)
    told = [line["event"] for line in pair[1].told() if line.get("replica") == "r1"]
    assert told[-3:] == ["lost", "starting", "started"]


async def test_a_restart_keeps_id_and_address_and_an_unknown_one_is_404(pair):
    async with client() as session:
        before = (await settled(session, pair, 2))["replicas"]
        async with session.post(f"{pair[1].url}/replicas/r2/restart") as response:
            assert response.status == 202
        after = (await settled(session, pair, 2))["replicas"]
        assert after[1]["url"] == before[1]["url"] and after[1]["pid"] != before[1]["pid"]
        told = [line["event"] for line in pair[1].told() if line.get("replica") == "r2"]
        assert told[-2:] == ["starting", "started"]  # and not lost: it was asked for
        async with session.post(f"{pair[1].url}/replicas/r9/restart") as response:
            assert response.status == 404


async def test_it_drains_its_replicas_when_it_ends(tmp_path):
    with router() as front:
        manager = Service("manager", "--port", 0, "--router", front.admin, "--replicas", 1, "--log-dir", tmp_path)
        async with client() as session:
            await settled(session, (front, manager), 1)
            children = descendants(manager.process)
            assert manager.stop() == 0
            assert not [child for child in children if is_alive(child)]
            words = [event["event"] for event in (await json_of(session, f"{front.admin}/events"))["events"]]
            assert words[-2:] == ["draining", "drained"]


async def test_a_router_that_is_away_is_no_reason_to_scale(tmp_path):
    with router() as front:
        gone = front.admin
    manager = Service("manager", "--port", 0, "--router", gone, "--replicas", 1, "--log-dir", tmp_path)
    try:
        async with client() as session:

            async def decided():
                return (await json_of(session, f"{manager.url}/decisions"))["decisions"]

            decision = (await eventually(decided, "a decision"))[0]
            assert decision["desired"] == 1 and "does not answer" in decision["reason"]
    finally:
        manager.stop()


@pytest.mark.parametrize("replicas", ["NaN", "Infinity", '"\\ud800"', "[NaN]", "true", "1.5"])
async def test_a_number_that_is_none_is_422_and_changes_nothing(pair, replicas):
    _, manager = pair
    async with client() as session:
        before = (await status(session, manager))["desired"]
        headers = {"Content-Type": "application/json"}
        body = f'{{"replicas": {replicas}}}'
        async with session.put(f"{manager.url}/scale", data=body, headers=headers) as response:
            assert response.status == 422
        assert (await status(session, manager))["desired"] == before


async def test_a_dead_replica_that_is_not_wanted_any_more_is_forgotten_and_bounds_hold_with_the_scaler_off(pair):
    _, manager = pair
    async with client() as session:
        await put(session, manager, "/scale", replicas=2)
        found = await settled(session, pair, 2)
        await put(session, manager, "/autoscaler", enabled=False, min_replicas=1, max_replicas=4)
        surplus = next(r for r in found["replicas"] if r["id"] == "r2")
        os.kill(surplus["pid"], signal.SIGKILL)
        await put(session, manager, "/scale", replicas=1)
        await settled(session, pair, 1)
        assert (await put(session, manager, "/autoscaler", min_replicas=2))[1]["desired"] == 2
        await settled(session, pair, 2)
        await put(session, manager, "/autoscaler", enabled=True, min_replicas=1)


async def test_replicas_whose_manager_was_killed_leave_and_do_not_disturb_their_successors(tmp_path):
    path = tmp_path / "manager.json"
    path.write_text(json.dumps({"scaler": {"name": "none"}, "replicas": 1}))
    arguments = ("--port", 0, "--config", path, "--log-dir", tmp_path)
    with router() as front:
        first = Service("manager", "--router", front.admin, *arguments)
        async with client() as session:
            orphan = psutil.Process((await status(session, first))["replicas"][0]["pid"])
            first.process.kill()
            first.process.wait(AT_MOST_S)
            second = Service("manager", "--router", front.admin, *arguments)
            try:
                new = (await status(session, second))["replicas"][0]["url"]
                await eventually(lambda: gone(orphan), "the orphan is gone")

                async def only_the_new_one():
                    replicas = (await json_of(session, f"{front.admin}/replicas"))["replicas"]
                    return [(r["id"], r["url"]) for r in replicas] == [("r1", new)]

                await eventually(only_the_new_one, "the new r1 is registered, and nobody else")
            finally:
                second.stop()
                first.stop()


async def gone(process):
    return not is_alive(process)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"scaler": 5}, "scaling, scaler, replica must be objects"),
        ({"scaling": {"min_replicas": "a"}}, "scaling.min_replicas=a: must be a whole number"),
        ({"scaling": {"least": 1}}, "scaling.least: there is no such key; there are min_replicas, max_replicas"),
        ({"scaling": {"min_replicas": 9}}, "autoscaling.min_replicas=9: must not exceed max_replicas=6"),
        ({"scaler": {"name": "hpa", "metrics": 5}}, "scaler.metrics=5: must be a list"),
        ({"scaler": {"name": "hpa", "behavior": {"scaleUp": {"policies": [5]}}}}, "policies.0=5: must be a section"),
    ],
)
def test_a_wrong_configuration_is_one_line_that_names_its_key(content, words, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["manager", "--config", json.dumps(content)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and words in said[-1] and "error: " in said[-1]
