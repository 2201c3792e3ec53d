"""A fault and its replica in virtual time: it waits for one that does not run yet, and one on `all` is inherited."""

import asyncio
from typing import Any

import pytest

from experiments.live.injection import Timeline
from experiments.plan.config import ConfigError, DelaysConfig, EngineConfig
from experiments.plan.delays import StartUp
from experiments.plan.fault_plan import Fault, FaultOnAll
from experiments.plan.fault_timeline import plan_faults
from experiments.plan.resolve import as_composed, resolve
from experiments.plan.schedule import build_schedule
from experiments.simulator.stack import VirtualStack
from services.manager import scalers
from tests.experiments.simulated import configured
from tests.experiments.test_config import planned
from tests.running import AT_MOST_S

STARTUP = DelaysConfig(startup=StartUp(500.0, 0.0))


class Stairs:
    """A scaler that wants so many replicas from each moment on."""

    def __init__(self, *stairs):
        self.stairs = stairs

    def decide(self, observation, now):
        return [count for since, count in self.stairs if now >= since][-1]


def played(monkeypatch, faults, *stairs, replicas=2, most=4):
    """Of 40 s with a manager that wants what `stairs` say: the runner's events, and who has a fault, by the second."""
    monkeypatch.setattr(scalers, "create", lambda *_: Stairs((-99, replicas), *stairs))
    config = configured(0.3, replicas=replicas, slots=4, requests=480 * replicas, policy={"name": "round_robin"})
    config.engine, config.scaler = EngineConfig("sim", delays=STARTUP), {"name": "test"}
    config.autoscaling.max_replicas, config.autoscaling.stabilization_down_s = most, 0.0
    duration_s = config.workload.duration_s
    assert duration_s == pytest.approx(40)
    run = plan_faults(
        faults, config.random_faults, replicas=config.replica_ids, initial=replicas, has_router=True, has_manager=True,
        duration_s=duration_s, warmup_s=0.0, seed=1,
    )  # fmt: skip
    events = []
    stack = VirtualStack(
        config, run, build_schedule(config.workload, 1),
        lambda source, event, t_s, **detail: events.append({"source": source, "event": event, "t_s": t_s, **detail}),
    )  # fmt: skip
    slow = {}

    def watch(now):
        slow[round(now)] = [id_ for id_, node in stack.nodes.items() if node.is_up and node._playing.active]
        return True

    stack.run(watch)
    assert stack.records.ended == stack.load.asked
    if all(fault.for_s is not None for fault in faults):
        assert not any(node._playing.active for node in stack.nodes.values() if node.is_up)
    return [event for event in events if event["source"] == "runner"], slow


def told(events):
    return [(event["event"].removeprefix("fault_"), event["target"], round(event["t_s"], 1)) for event in events]


def test_a_fault_on_a_replica_that_does_not_run_yet_waits_for_it_and_lasts_as_long(monkeypatch):
    events, _ = played(monkeypatch, [Fault(at_s=5, action="slow", target="r3", for_s=6)], (10, 3))
    (injected, begun), (healed, over) = ((event["event"], event["t_s"]) for event in events)
    assert (injected, healed) == ("fault_injected", "fault_healed")
    assert 10.4 < begun < 12 and over == pytest.approx(begun + 6)
    assert events[0]["planned_s"] is None and events[0]["waited_s"] == pytest.approx(begun - 5)


@pytest.mark.parametrize("action", ["kill", "pause", "restart"])
def test_what_is_done_to_a_process_waits_for_it_too(monkeypatch, action):
    events, _ = played(monkeypatch, [Fault(at_s=5, action=action, target="r3")], (10, 3))
    assert told(events)[0][:2] == ("injected", "r3") and events[0]["t_s"] > 10
    assert "fault_failed" not in {event["event"] for event in events}


async def test_a_fault_that_is_being_told_as_the_run_ends_has_failed_for_that_and_is_healed():
    asked, told = asyncio.Event(), []

    class Mute:
        """A replica that does not answer whoever tells it its faults."""

        manager = paths = None

        def pid_of(self, _):
            return 1

        async def set_faults(self, *_):
            asked.set()
            await asyncio.Event().wait()

        async def resume_all(self):
            pass

    fault = Fault(at_s=0, action="slow", target="r1", for_s=6)
    stack: Any = Mute()
    timeline = Timeline([fault], stack, lambda source, event, **detail: told.append((event, detail.get("reason"))))
    running = asyncio.create_task(timeline.run(0.0))
    await asyncio.wait_for(asked.wait(), AT_MOST_S)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await timeline.heal_all()
    assert told == [("fault_failed", "the run ended before it had landed"), ("fault_healed", None)]


def test_a_fault_whose_replica_never_ran_has_failed_at_the_end_of_the_run(monkeypatch):
    events, _ = played(monkeypatch, [Fault(at_s=5, action="slow", target="r4", for_s=6)], (10, 3))
    assert [event["event"] for event in events] == ["fault_failed"]
    assert "r4" in events[0]["reason"] and events[0]["phase"] == "fault_injected"


def test_a_fault_on_all_is_inherited_by_who_starts_while_it_lasts_and_ends_for_all_at_once(monkeypatch):
    fault = Fault(at_s=5, action="slow", target="all", for_s=20, factor=2.0)
    events, slow = played(monkeypatch, [fault], (10, 3), (28, 4))
    assert told(events)[:2] == [("injected", "r1", 5.0), ("injected", "r2", 5.0)]
    late = events[2]
    assert (late["event"], late["target"], late["planned_s"]) == ("fault_injected", "r3", None) and late["t_s"] > 10
    assert sorted(told(events)[3:]) == [
        *(("healed", f"r{number}", 25.0) for number in (1, 2, 3)),
        ("spared", "r4", 25.0),
    ]
    assert slow[6] == slow[10] == ["r1", "r2"] and slow[15] == slow[24] == ["r1", "r2", "r3"]
    assert slow[4] == slow[26] == slow[39] == []


@pytest.mark.parametrize("target", ["r3", "all"])
def test_who_is_started_again_while_a_fault_lasts_has_it_again(monkeypatch, target):
    fault = Fault(at_s=5, action="slow", target=target, for_s=25)
    events, slow = played(monkeypatch, [fault], (10, 2), (18, 3), replicas=3, most=3)
    assert [("r3" in slow[second]) for second in (4, 6, 15, 22, 29, 31)] == [False, True, False, True, True, False]
    assert {event["event"] for event in events} == {"fault_injected", "fault_healed"}
    events, _ = played(monkeypatch, [fault], (10, 2), replicas=3, most=3)  # nothing is left to be healed, and it is fine
    assert {event["event"] for event in events} == {"fault_injected", "fault_healed"}


def test_a_kill_of_all_hits_those_that_run_and_nobody_who_starts_later(monkeypatch):
    events, _ = played(monkeypatch, [Fault(at_s=5, action="kill", target="all", for_s=2)], (20, 4))
    assert told(events) == [
        ("injected", "r1", 5.0), ("injected", "r2", 5.0), ("spared", "r3", 5.0), ("spared", "r4", 5.0),
        ("healed", "r1", 7.0), ("healed", "r2", 7.0),
    ]  # fmt: skip


def test_of_two_of_a_kind_in_a_row_the_second_begins_when_the_first_ends(monkeypatch):
    faults = [
        Fault(at_s=5, action="slow", target="r1", for_s=5, factor=2.0),
        Fault(at_s=10, action="slow", target="r1", for_s=20, factor=4.0),
    ]
    events, slow = played(monkeypatch, faults)
    assert [(word, moment) for word, _, moment in told(events)] == [
        ("injected", 5.0), ("healed", 10.0), ("injected", 10.0), ("healed", 30.0),
    ]  # fmt: skip
    assert events[2]["planned_s"] == 10 and slow[11] == slow[29] == ["r1"] and slow[31] == []
    late = [Fault(at_s=5, action="slow", target="r3", for_s=3), Fault(at_s=9, action="slow", target="r3", for_s=3)]
    events, _ = played(monkeypatch, late, (20, 3))
    assert [word for word, _, _ in told(events)] == ["injected", "healed", "injected", "healed"]
    assert events[2]["t_s"] == events[1]["t_s"] == pytest.approx(events[0]["t_s"] + 3)


def test_a_fault_after_a_restart_is_none_during_it():
    faults = "faults=[{at_s: 5, action: restart, target: r1}, {at_s: 10, action: slow, target: r1, for_s: 2}]"
    assert [fault.action for fault in planned("+scenario=routed", faults).faults] == ["restart", "slow"]


def test_all_is_every_replica_that_there_can_be_and_stands_in_the_manifest_as_typed():
    plan = planned("+scenario=autoscale", "faults=[{at_s: 5, action: slow, target: all, for_s: 9}]")
    assert [(type(fault), fault.target) for fault in plan.faults] == [(FaultOnAll, f"r{n}") for n in range(1, 7)]
    assert plan.resolved["faults"][0]["target"] == "all"
    assert resolve(as_composed(plan.resolved)) == plan
    storm = planned("+scenario=retry_storm_map")
    assert [fault.target for fault in storm.faults] == [f"r{n}" for n in range(1, 11)]
    for wrong in ("[all]", "[r1, all]", "every"):
        with pytest.raises(ConfigError, match=r"faults\[0\]\.target=.*one of all, r1"):
            planned("+scenario=routed", f"faults=[{{at_s: 5, action: slow, target: {wrong}}}]")
    with pytest.raises(ConfigError, match="kill of r2 at 6 s, while slow"):
        planned(
            "+scenario=routed",
            "faults=[{at_s: 5, action: slow, target: all, for_s: 9}, {at_s: 6, action: kill, target: r2}]",
        )
