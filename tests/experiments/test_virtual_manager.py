"""The manager in virtual time: bounded whatever a scaler asks for, and back after faults, its own included."""

import numpy as np
import pytest

from experiments.plan.config import EngineConfig
from experiments.plan.fault_plan import Fault
from experiments.plan.schedule import build_schedule
from experiments.simulator.manager import ScalerError
from experiments.simulator.request import OK
from experiments.simulator.stack import VirtualStack
from services.manager import scalers
from tests.experiments.simulated import configured, run
from tests.experiments.test_virtual_stack import DELAYS


def scaled(scaler, monkeypatch):
    monkeypatch.setattr(scalers, "create", lambda *_: scaler)
    config = configured(0.5, replicas=2, requests=200)
    config.autoscaling.max_replicas = 9
    config.scaler = {"name": "test"}
    return run(config)


class Wish:
    """A scaler with one wish."""

    def __init__(self, wish):
        self._wish = wish

    def decide(self, observation, now):
        if isinstance(self._wish, Exception):
            raise self._wish
        return self._wish


@pytest.mark.parametrize(("wish", "desired"), [(float("nan"), 2), (1e6, 9), (float("inf"), 9), (None, 2), (-5.0, 1)])
def test_a_scaler_that_asks_for_nonsense_is_bounded(monkeypatch, wish, desired):
    stack = scaled(Wish(wish), monkeypatch)
    assert stack.manager.deciding.desired == desired
    assert sum(node.is_up for node in stack.nodes.values()) == desired
    assert stack.records.ended == stack.load.asked


def test_a_scaler_that_raises_ends_the_run(monkeypatch):
    with pytest.raises(ScalerError, match="KeyError"):
        scaled(Wish(KeyError("gone")), monkeypatch)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(at_s=20, action="kill", target="manager", for_s=5),
        Fault(at_s=20, action="pause", target="manager", for_s=5),
        Fault(at_s=20, action="restart", target="manager"),
        Fault(at_s=20, action="kill", target="r1", for_s=3),
        Fault(at_s=20, action="kill", target="r1"),
        Fault(at_s=20, action="restart", target="r2"),
    ],
    ids=lambda fault: f"{fault.action} {fault.target}",
)
def test_a_manager_and_its_replicas_come_back_from_faults(fault):
    config = configured(0.6, replicas=3, slots=2, requests=1800)
    config.scaler = {"name": "target_tracking"}
    config.engine = EngineConfig("sim", delays=DELAYS)
    stack = run(config, [fault])
    assert stack.records.ended == stack.load.asked
    assert stack.manager.is_up
    up = [node for node in stack.nodes.values() if node.is_up and not node.is_draining]
    assert abs(len(up) - stack.manager.deciding.desired) <= 1  # one may be on its way
    assert len(up) >= 2
    ok = np.frombuffer(stack.records.outcome, np.int8) == OK
    assert ok[-300:].all()


def rising(*wishes):
    """A scaler with a wish a second."""

    class Rising:
        def decide(self, observation, now):
            return wishes[min(len(wishes) - 1, max(0, int(now)))]

    return Rising()


def scaling(wishes, faults, monkeypatch):
    monkeypatch.setattr(scalers, "create", lambda *_: rising(*wishes))
    config = configured(0.5, replicas=3, slots=2, requests=1200)
    config.engine, config.scaler = EngineConfig("sim", delays=DELAYS), {"name": "test"}
    config.autoscaling.max_replicas = 6
    config.autoscaling.stabilization_down_s = 0.0
    events = []
    stack = VirtualStack(
        config, faults, build_schedule(config.workload, 1), lambda *what, **more: events.append((what, more))
    )
    stack.run(lambda _: True)
    assert stack.records.ended == stack.load.asked
    up = [node.id for node in stack.nodes.values() if node.is_up]
    return stack, up, [what[1] for what, _ in events]


def test_what_is_not_wanted_any_more_cannot_be_healed(monkeypatch):
    kill = [Fault(at_s=5, action="kill", target="r3", for_s=20)]
    stack, up, words = scaling([3] * 10 + [1.7] * 99, kill, monkeypatch)
    assert "fault_failed" in words
    assert up == ["r1", "r2"] and stack.manager.deciding.desired == 2


@pytest.mark.parametrize("healed_s", [10.0, 10.2, 10.5])
def test_a_heal_while_the_manager_starts_it_itself_stops_nobody(monkeypatch, healed_s):
    kill = [Fault(at_s=5, action="kill", target="r3", for_s=healed_s - 5)]
    _, up, _ = scaling([3] * 10 + [6] * 99, kill, monkeypatch)
    assert len(up) == 6


def test_a_paused_replica_is_woken_to_leave_and_replaced(monkeypatch):
    pause = [Fault(at_s=5, action="pause", target="r3")]
    stack, up, _ = scaling([3] * 10 + [2] * 20 + [3] * 99, pause, monkeypatch)
    assert up == ["r1", "r2", "r3"] and not stack.nodes["r3"].is_draining


def test_a_paused_manager_starts_nobody(monkeypatch):
    pause = [Fault(at_s=10.5, action="pause", target="manager")]
    _, up, _ = scaling([3] * 10 + [6] * 99, pause, monkeypatch)
    assert len(up) <= 5
