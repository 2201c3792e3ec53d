"""Real processes that never become ready, crash, are refused, or stand by; a manager that copes with each."""

import contextlib
import itertools
import json
from typing import Any

import psutil
import pytest

from services.backend.staged import CRASHED
from services.manager.engines import Running, provisioned
from services.manager.settings import StartSettings
from services.manager.starts import Starts
from tests.running import AT_MOST_S
from tests.services.live import JSON, Service, backend, client, eventually, json_of, router


@contextlib.contextmanager
def managed(folder, *options, before=None, **starts):
    """A router, and a manager with one replica; it decides five times a second, and lets its number be set.

    `before(admin)` is called with the router's admin URL before the manager starts.
    """
    scaling = {"max_replicas": 4, "interval_s": 0.2, "starts": starts}
    path = folder / "manager.json"
    path.write_text(json.dumps({"scaling": scaling, "scaler": {"name": "none"}}))
    with router() as front:
        if before is not None:
            before(front.admin)
        arguments = ("--router", front.admin, "--config", path, "--log-dir", folder, "--seed", 3, *options)
        manager = Service("manager", "--port", 0, *arguments, env=JSON)
        try:
            yield front, manager
        finally:
            manager.stop()
            manager.log.close()


async def wants(session, manager, replicas):
    async with session.put(f"{manager.url}/scale", json={"replicas": replicas}) as response:
        assert response.status == 200, await response.text()


async def happened(session, manager, event, replica):
    events = (await json_of(session, f"{manager.url}/events"))["events"]
    return [each for each in events if (each["event"], each["replica"]) == (event, replica)]


async def rotation(session, front, *ids):
    """Wait until these are in rotation, and nobody else."""

    async def there():
        replicas = (await json_of(session, f"{front.admin}/replicas"))["replicas"]
        return sorted(replica["id"] for replica in replicas if replica["state"] == "ready") == list(ids)

    await eventually(there, f"in rotation: {', '.join(ids)}")


async def states(session, manager):
    return {r["id"]: (r["state"], r["pid"]) for r in (await json_of(session, f"{manager.url}/status"))["replicas"]}


async def metric(session, manager, name):
    async with session.get(f"{manager.url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def test_a_replica_that_never_gets_ready_is_given_up_counted_and_tried_again(tmp_path):
    outlive = ("--outlive", tmp_path / "replicas.json")

    def earlier(admin):  # its replica, the first, has had as long as it took to come up
        first = Service("manager", "--port", 0, "--router", admin, "--log-dir", tmp_path, *outlive)
        first.process.kill()
        first.process.wait(AT_MOST_S)
        first.log.close()

    with managed(tmp_path, *outlive, "--startup-timeout", 2, before=earlier, never_ready=1.0) as (front, manager):
        async with client() as session:
            await rotation(session, front, "r1")
            await wants(session, manager, 2)

            async def starting():
                return (await states(session, manager)).get("r2", ("", None))[0] == "starting"

            await eventually(starting, "r2 is starting")

            async def given_up():
                return await happened(session, manager, "start_failed", "r2")

            (failed,) = (await eventually(given_up, "r2 is given up"))[:1]
            assert failed["reason"] == "r2 was not ready within 2 s"
            assert (failed["in_a_row"], failed["again_in_s"]) == (1, 0.0)
            assert await metric(session, manager, "aegis_manager_failed_starts_total") >= 1
            await eventually(starting, "r2 is tried again")
            await rotation(session, front, "r1")
            assert await metric(session, manager, "aegis_manager_starts_total") <= 3
            await wants(session, manager, 1)

            async def alone():
                return list(await states(session, manager)) == ["r1"]

            await eventually(alone, "nobody waits for r2 any more")


async def test_a_replica_that_crashes_is_started_again_after_pauses_that_grow(tmp_path):
    with managed(tmp_path, crash=1.0, crash_after_s=0.3, backoff_s=0.2, backoff_most_s=5.0) as (front, manager):
        async with client() as session:
            await rotation(session, front, "r1")
            await wants(session, manager, 2)

            async def thrice():
                ended = await happened(session, manager, "replica_ended", "r2")
                return ended if len(ended) >= 3 else None

            ended = await eventually(thrice, "r2 has crashed three times")
            assert [each["again_in_s"] for each in ended[:3]] == [0.0, 0.2, 0.4]
            gaps = [b["monotonic_s"] - a["monotonic_s"] for a, b in itertools.pairwise(ended)]
            assert gaps[1] >= 0.2 + 0.3, "its pause, and how long it ran"
            assert await metric(session, manager, "aegis_manager_ended_replicas_total") >= 3
            assert not await happened(session, manager, "replica_ended", "r1")
    assert any(json.loads(line)["event"] == "crashed" for line in (tmp_path / "r2.log").read_text().splitlines()
               if line.startswith("{"))  # fmt: skip


async def test_a_start_waits_as_long_as_drawn_and_what_cannot_be_had_is_refused(tmp_path):
    asked: dict[str, Any] = {"extra_s": 1.0, "extra_sigma": 0.5, "supply": 2}
    with managed(tmp_path, **asked) as (front, manager):
        async with client() as session:
            await wants(session, manager, 3)
            await rotation(session, front, "r1", "r2")
            refused = await happened(session, manager, "start_failed", "r3")
            assert refused[0]["reason"] == "no capacity: autoscaling.starts.supply=2 replicas are there"

            async def told():  # the router may know of it before
                return [line["took_s"] for line in manager.told("started") if line["replica"] == "r2"]

            (took_s,) = await eventually(told, "r2 was started")
            drawn = Starts(StartSettings(**asked), 3).draw("r2", 0.0)
            assert took_s >= drawn.wait_s > 0, "the simulator draws the same"


async def test_one_that_stands_by_joins_as_the_process_that_it_is(tmp_path):
    with managed(tmp_path, warm=1) as (front, manager):
        async with client() as session:

            async def stands_by(id_):
                found = (await states(session, manager)).get(id_)
                return found[1] if found is not None and found[0] == "warm" else None

            pid = await eventually(lambda: stands_by("r2"), "r2 stands by")
            await rotation(session, front, "r1")
            told = await json_of(session, f"{manager.url}/status")
            assert told["desired"] == 1
            assert provisioned(Running(**each) for each in told["replicas"]) == 2, "it is paid for, too"
            await wants(session, manager, 2)
            await rotation(session, front, "r1", "r2")
            assert (await states(session, manager))["r2"] == ("running", pid)
            follower = await eventually(lambda: stands_by("r3"), "another one stands by")
            await rotation(session, front, "r1", "r2")
    assert not psutil.pid_exists(pid) and not psutil.pid_exists(follower)


async def test_a_replica_that_crashes_says_so_and_does_not_end_as_one_that_is_stopped():
    with backend("--crash-after-s", 0.1, env=JSON) as started:
        assert started.process.wait(30) == CRASHED
    with backend("--crash-after-s", 600) as started:
        assert started.stop() == 0


@pytest.mark.parametrize("option", ["--crash-after-s", "--ready-after-s"])
@pytest.mark.parametrize("text", ["nan", "-1", "1e300", "soon"])
def test_a_time_that_is_none_is_refused_before_anything_listens(option, text, monkeypatch, capsys):
    from services.backend.__main__ import main

    monkeypatch.setattr("sys.argv", ["backend", "--port", "0", f"{option}={text}"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert f"{text}: must be seconds between 0 and 1e+09, or inf" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("starts", "says"),
    [
        ({"crash": 2}, "autoscaling.starts.crash=2: must be between 0 and 1"),
        ({"supply": 1, "warm": 1}, "scaling.starts.supply=1: must be 0, or at least replicas + scaling.starts.warm = 2"),
        ({"warmth": 2}, "scaling.starts.warmth: there is no such key; there are extra_s, extra_sigma"),
        ({"warm": "two"}, "scaling.starts.warm=two: must be a whole number"),
    ],
)
def test_a_manager_that_is_told_nonsense_says_which(tmp_path, starts, says, monkeypatch, capsys):
    from services.manager.__main__ import main

    monkeypatch.setattr("sys.argv", ["manager", "--config", json.dumps({"scaling": {"starts": starts}})])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_an_engine_that_does_not_play_starts_is_refused(monkeypatch, capsys):
    from services.manager.__main__ import main

    config = json.dumps({"scaling": {"starts": {"warm": 1}}})
    monkeypatch.setattr("sys.argv", ["manager", "--engine", "fixed", "--config", config])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--engine fixed does not play it" in capsys.readouterr().err
