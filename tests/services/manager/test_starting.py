"""Starts side by side and a number set by hand: the control loop with an engine that the test holds in its hands."""

import asyncio

import pytest

from services.manager.control import Control
from services.manager.engines import EngineError, Running
from services.manager.engines.local import LocalEngine
from services.manager.limits import Limits
from services.manager.scalers import Observation, ReplicaLoad
from services.manager.settings import ScalingSettings
from services.processes import StartError
from tests.running import AT_MOST_S
from tests.services.live import eventually


class Held:
    """An engine whose starts last until the test lets them go."""

    name, acts = "held", True

    @staticmethod
    def add_options(group):
        """None."""

    @classmethod
    async def create(cls, arguments, replica):
        return cls()

    def __init__(self):
        self.starting = {}
        self.up = {}
        self.given_up = []
        self.cleaning = asyncio.Event()
        """Set: what is given up has ended at once."""
        self.cleaning.set()
        self.asked = None
        """Where it is a future, the engine answers when it has a result."""

    async def running(self):
        if self.asked is not None:
            await asyncio.shield(self.asked)
        return list(self.up.values())

    async def start(self, id_):
        self.starting[id_] = asyncio.get_running_loop().create_future()
        try:
            await self.starting[id_]
        except asyncio.CancelledError:
            await self.cleaning.wait()
            self.given_up.append(id_)
            raise
        finally:
            del self.starting[id_]
        self.up[id_] = Running(id_, f"http://{id_}", "", 1, "running")

    def let(self, id_, error=None):
        """It comes up, or fails."""
        if error is None:
            self.starting[id_].set_result(None)
        else:
            self.starting[id_].set_exception(error)

    async def drain(self, id_):
        self.up.pop(id_, None)

    async def stop_process(self, id_):
        self.up[id_].state = "dead"

    async def close(self):
        pass


class Wishing:
    """A scaler that wants a number."""

    wish = 2.0
    asked = 0

    def decide(self, observation, now):
        self.asked += 1
        return self.wish


class Looking(Control):
    """Sees a router that routes to whatever runs."""

    async def _observe(self):
        running = await self.replicas()
        loads = [ReplicaLoad(r.id, 1.0, 1, r.state == "running") for r in running]
        return Observation(loads, self.desired, float(len(loads)))


@pytest.fixture
async def held():
    """An engine with two replicas, and the manager's control over it."""
    engine, scaler = Held(), Wishing()
    settings = ScalingSettings(max_replicas=12, max_up=64, max_down=64, stabilization_down_s=0, max_starting=4)
    control = Looking(scaler, Limits(settings), engine, "http://127.0.0.1:9", 2)
    beginning = asyncio.create_task(control.begin())
    await until(lambda: len(engine.starting) == 2)
    for id_ in ("r1", "r2"):
        engine.let(id_)
    await beginning
    yield control, engine, scaler
    await control.close()


async def until(condition):
    async def there():
        return condition()

    await eventually(there, "what the test waits for")


def told(caplog, event):
    """Which replicas, and with which words, an error in the log is about."""
    found = [record.fields for record in caplog.records if record.event == event]
    return [(fields.get("replica"), fields["error"]) for fields in found]


def under_way(engine):
    return sorted(engine.starting, key=lambda id_: int(id_[1:]))


async def test_the_first_replicas_start_side_by_side_and_one_that_fails_ends_the_rest():
    engine = Held()
    control = Control(Wishing(), Limits(ScalingSettings(max_starting=3)), engine, "http://127.0.0.1:9", 4)
    beginning = asyncio.create_task(control.begin())
    await until(lambda: under_way(engine) == ["r1", "r2", "r3"])
    engine.let("r2")
    await until(lambda: under_way(engine) == ["r1", "r3", "r4"])
    engine.let("r3", StartError("r3 did not start"))
    with pytest.raises(StartError, match="r3 did not start"):
        await beginning
    await control.close()
    assert sorted(engine.given_up) == ["r1", "r4"] and not engine.starting
    assert control.deciding.planning.counts["start_failed"] == 1


async def test_what_nobody_follows_is_recommended_once_and_not_at_every_look(held, caplog):
    control, engine, scaler = held
    engine.acts = False
    caplog.set_level("INFO")
    for scaler.wish in (9.0, 9.0, 9.0, 2.0, 9.0):
        await control.step()
    assert [record.fields["to"] for record in caplog.records if record.event == "recommended"] == [9, 9]


async def test_what_is_wanted_starts_side_by_side_as_many_as_may(held):
    control, engine, scaler = held
    scaler.wish = 9.0
    await control.step()
    await until(lambda: under_way(engine) == ["r3", "r4", "r5", "r6"])
    assert [r.state for r in await control.replicas()] == ["running"] * 2 + ["starting"] * 4
    engine.let("r5")
    await until(lambda: under_way(engine) == ["r3", "r4", "r6", "r7"])
    await control.step()
    assert len(engine.starting) == 4, "a look adds none"


async def test_a_start_that_fails_is_tried_again_and_keeps_no_other_waiting(held, caplog):
    control, engine, scaler = held
    scaler.wish = 4.0
    await control.step()
    await until(lambda: under_way(engine) == ["r3", "r4"])
    engine.let("r3", EngineError("no room"))
    await until(lambda: under_way(engine) == ["r4"])
    assert told(caplog, "start_failed") == [("r3", "no room")]
    assert (control.deciding.planning.counts["start_failed"], control.counts["engine_errors"]) == (1, 1)
    await control.step()
    await until(lambda: under_way(engine) == ["r3", "r4"])


async def test_a_start_that_is_not_wanted_any_more_is_given_up(held):
    control, engine, _ = held
    control.scale(5)
    await until(lambda: under_way(engine) == ["r3", "r4", "r5"])
    control.scale(3)
    await until(lambda: under_way(engine) == ["r3"])
    assert sorted(engine.given_up) == ["r4", "r5"] and control.deciding.planning.counts["start_failed"] == 0


async def test_who_is_to_go_is_drained_once_though_two_look_at_once(tmp_path, caplog):
    """An engine that answers at once knows of a drain when that has begun: until then the next plan would begin another."""
    caplog.set_level("INFO")
    engine = LocalEngine({}, None, tmp_path, AT_MOST_S)
    settings = ScalingSettings(max_replicas=2)
    control = Looking(Wishing(), Limits(settings), engine, "http://127.0.0.1:9", 2)
    await control.begin()
    control.scale(1)
    await control.step()  # as its loop does in the same moment
    await until(lambda: [record for record in caplog.records if record.event == "drained"])
    await control.close()
    told = [(record.event, record.fields["replica"]) for record in caplog.records if record.event in ("draining", "drained")]
    assert told == [("draining", "r2"), ("drained", "r2")]


async def test_a_start_that_is_given_up_ends_what_it_has_begun_however_often_it_is_not_wanted(held):
    control, engine, _ = held
    control.scale(3)
    await until(lambda: under_way(engine) == ["r3"])
    engine.cleaning.clear()
    for _ in range(3):
        control.scale(2)
        await until(lambda: not control._background)
    assert [r.state for r in await control.replicas()] == ["running", "running", "starting"]
    closing = asyncio.create_task(control.close())
    await asyncio.wait([closing], timeout=0.01)
    assert not closing.done()
    engine.cleaning.set()
    await closing
    assert engine.given_up == ["r3"]


async def test_the_first_starts_end_what_they_have_begun_where_the_manager_ends_meanwhile():
    engine = Held()
    engine.cleaning.clear()
    control = Control(Wishing(), Limits(ScalingSettings(max_starting=1)), engine, "http://127.0.0.1:9", 2)
    beginning = asyncio.create_task(control.begin())
    await until(lambda: under_way(engine) == ["r1"])
    beginning.cancel()
    await asyncio.wait([beginning], timeout=0.01)
    engine.cleaning.set()
    await asyncio.gather(beginning, return_exceptions=True)
    await control.close()
    assert engine.given_up == ["r1"]


async def test_what_is_asked_for_while_the_engine_is_asked_what_runs_is_done_afterwards(held, caplog):
    control, engine, _ = held
    engine.asked = asyncio.get_running_loop().create_future()
    control.scale(3)
    await asyncio.sleep(0)  # it asks
    control.scale(4)
    await asyncio.sleep(0)  # it is being asked
    asked, engine.asked = engine.asked, None
    asked.set_exception(EngineError("busy"))
    await until(lambda: under_way(engine) == ["r3", "r4"])
    assert told(caplog, "engine_failed") == [(None, "busy")]


async def test_a_restart_waits_for_no_other_start(held):
    control, engine, _ = held
    control.scale(3)
    await until(lambda: under_way(engine) == ["r3"])
    restarting = asyncio.create_task(control.restart("r1"))
    await until(lambda: under_way(engine) == ["r1", "r3"])
    assert [r.state for r in await control.replicas()] == ["starting", "running", "starting"]
    engine.let("r1")
    await restarting


async def test_a_number_set_by_hand_holds_until_the_autoscaler_is_enabled_again(held):
    control, engine, scaler = held
    control.scale(4)
    await until(lambda: under_way(engine) == ["r3", "r4"])
    for id_ in ("r3", "r4"):
        engine.let(id_)
    await until(lambda: len(engine.up) == 4)
    scaler.wish = 1.0
    for _ in range(5):
        await control.step()
    assert control.desired == 4 and not control.enabled
    assert scaler.asked == 5, "its windows go on"
    assert "until the autoscaler is enabled" in control.decisions(0)["decisions"][-1]["reason"]
    control.enabled = True
    await control.step()
    assert control.desired == 1


async def test_processes_of_this_machine_start_side_by_side(tmp_path):
    engine = LocalEngine({}, None, tmp_path, AT_MOST_S)
    starts = [asyncio.create_task(engine.start(f"r{number}")) for number in (1, 2)]
    try:
        # A log is there as soon as its process is; the addresses once it is ready.
        await until(lambda: len(list(tmp_path.glob("r*.log"))) == 2)
        assert not any(task.done() for task in starts), "one after the other"
        await asyncio.gather(*starts)
        assert [(r.id, r.state) for r in await engine.running()] == [("r1", "running"), ("r2", "running")]
    finally:
        await asyncio.gather(*starts, return_exceptions=True)
        await engine.close()


async def test_a_start_that_is_given_up_leaves_no_process(tmp_path):
    engine = LocalEngine({}, None, tmp_path, AT_MOST_S)
    start = asyncio.create_task(engine.start("r1"))
    await until(lambda: list(tmp_path.glob("r1.log")))
    [process] = engine._processes.values()
    start.cancel()
    await asyncio.gather(start, return_exceptions=True)
    assert process.pid is None and await engine.running() == []


async def test_one_that_has_ended_as_it_was_told_to_is_not_found_dead_while_its_drain_goes_on(tmp_path, monkeypatch):
    """It would be told as lost, and drained again."""
    engine = LocalEngine({}, None, tmp_path, AT_MOST_S)
    await engine.start("r1")
    [process] = engine._processes.values()
    stop, told = process.stop, asyncio.Event()

    async def stop_and_wait():
        await stop()
        await told.wait()

    monkeypatch.setattr(process, "stop", stop_and_wait)
    drain = asyncio.create_task(engine.drain("r1"))
    await until(lambda: process.pid is None)
    assert [replica.state for replica in await engine.running()] == ["draining"]
    told.set()
    await drain
    assert await engine.running() == []


async def test_a_replica_that_takes_longer_than_it_may_is_given_up(tmp_path):
    engine = LocalEngine({}, None, tmp_path, startup_timeout_s=0.01)
    with pytest.raises(StartError, match=r"r1 was not ready within 0\.01 s"):
        await engine.start("r1")
    assert await engine.running() == []
