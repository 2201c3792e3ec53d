"""Starts in virtual time: slow, failing, crashing and refused ones, and replicas that stand by."""

import dataclasses
import itertools
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from experiments.plan import store
from experiments.plan.check import check
from experiments.plan.config import ConfigError, EngineConfig
from experiments.plan.delays import StartUp
from experiments.plan.fault_plan import Fault
from experiments.plan.resolve import resolve
from experiments.plan.schedule import build_schedule
from experiments.simulator.stack import VirtualStack
from services.manager import scalers
from services.manager.settings import StartSettings
from services.manager.starts import Starts
from tests.experiments.simulated import configured
from tests.experiments.test_virtual_stack import DELAYS
from tests.running import ROOT

JUMP_S = 50.0


class Jumping:
    """Wants `more` replicas from second 50 on."""

    def __init__(self, first, more):
        self._first, self._more = first, more

    def decide(self, observation, now):
        return float(self._more if now >= JUMP_S else self._first)


class Played:
    """A run in which the number that is wanted jumps, and what was told of it."""

    def __init__(
        self, monkeypatch, first=2, more=5, duration_s=200.0, startup_ms=500.0, timeout_s=20.0, faults=(), **starts
    ):
        monkeypatch.setattr(scalers, "create", lambda *_: Jumping(first, more))
        config = configured(0.3, replicas=first, slots=2, requests=round(0.3 * first * 2 * 10 * duration_s))
        config.scaler = {"name": "test"}
        config.autoscaling.max_replicas, config.autoscaling.max_up = 8, 8
        config.autoscaling.starts = StartSettings(**starts)
        delays = dataclasses.replace(DELAYS, startup=StartUp(startup_ms))
        config.engine = EngineConfig("sim", delays=delays, startup_timeout_s=timeout_s)
        self.events = []

        def sink(source, event, now, **about):
            self.events.append({"t_s": now, "source": source, "event": event, **about})

        schedule = build_schedule(config.workload, config.seed)
        self.stack = VirtualStack(config, list(faults), schedule, sink)
        self.stack.run(lambda _: True)
        self.config = config

    def of(self, event, replica=None):
        return [e for e in self.events if e["event"] == event and replica in (None, e.get("replica"))]

    def joined_s(self, replica):
        """When it first came into rotation, since the jump."""
        return self.of("readmitted", replica)[0]["t_s"] - JUMP_S

    def ready(self, second):
        return self._sampled(second)["replicas_ready"]

    def provisioned(self, second):
        return self._sampled(second)["replicas_provisioned"]

    def _sampled(self, second):
        return next(s for s in self.stack.samples if round(s["t_s"]) == second)


def test_starts_take_as_long_as_the_distribution_says_and_repeat(monkeypatch):
    asked: dict[str, Any] = {"extra_s": 8.0, "extra_sigma": 0.4, "pull_s": 10.0, "pull_sigma": 0.3, "hosts": 4}
    played = Played(monkeypatch, timeout_s=120.0, **asked)
    drawn = Starts(StartSettings(**asked), played.config.seed)
    drawn.begun(["r1", "r2"])
    waits = {id_: drawn.draw(id_, JUMP_S).wait_s for id_ in ("r3", "r4", "r5")}
    for id_, wait_s in waits.items():
        assert played.joined_s(id_) == pytest.approx(wait_s + 0.5, abs=1.5)  # a look, a check
    assert waits["r3"] > waits["r5"], "the host of r5 is that of r1, which has the image"
    again = Played(monkeypatch, timeout_s=120.0, **asked)
    assert [e["t_s"] for e in again.events] == [e["t_s"] for e in played.events]


def test_replicas_that_never_become_ready_are_given_up_and_tried_again_without_a_storm(monkeypatch):
    played = Played(monkeypatch, duration_s=350.0, never_ready=1.0)
    # Given up after 20 s, then at once, then pauses of 1, 2, 4, 8, 16 and 30 s
    moments = [20, 40, 61, 83, 107, 135, 171, 221, 271]
    for id_ in ("r3", "r4", "r5"):
        failed = played.of("start_failed", id_)
        assert [e["t_s"] - JUMP_S for e in failed] == pytest.approx(moments, abs=len(moments) + 1.5)
        assert [e["again_in_s"] for e in failed] == [0, 1, 2, 4, 8, 16, 30, 30, 30]
        assert {e["reason"] for e in failed} == {f"{id_} was not ready within 20 s"}
    per_minute = [sum(m <= e["t_s"] < m + 60 for e in played.of("start_failed")) for m in range(50, 350, 60)]
    assert max(per_minute) <= 9 and per_minute[-1] <= 6
    assert played.ready(340) == 2, "those that were there go on"
    assert played.stack.records.ended == played.stack.load.asked


def test_a_share_of_failing_starts_only_delays(monkeypatch):
    played = Played(monkeypatch, never_ready=0.5, timeout_s=5.0)
    assert played.of("start_failed"), "half of them fail"
    assert played.ready(190) == 5


def test_replicas_that_crash_are_started_again_as_kubernetes_does(monkeypatch):
    played = Played(
        monkeypatch, more=3, duration_s=800.0, crash=1.0, crash_after_s=0.5, backoff_s=10.0, backoff_most_s=300.0
    )
    ended = played.of("replica_ended", "r3")
    assert [e["again_in_s"] for e in ended] == [0, 10, 20, 40, 80, 160, 300, 300]
    gaps = [after["t_s"] - before["t_s"] for before, after in itertools.pairwise(ended)]
    # A start of half a second, as long until the crash, and the next looks
    assert gaps == pytest.approx([1, 11, 21, 41, 81, 161, 301], abs=2.0)


def test_no_more_than_can_be_had(monkeypatch):
    played = Played(monkeypatch, more=6, supply=4)
    assert played.ready(190) == played.provisioned(190) == 4
    refused = played.of("start_failed")
    assert {e["replica"] for e in refused} == {"r5", "r6"}
    assert {e["reason"] for e in refused} == {"no capacity: autoscaling.starts.supply=4 replicas are there"}
    assert len(refused) <= 2 * 12, "150 seconds with pauses of 30"


def test_those_that_stand_by_are_there_at_once_where_a_start_takes_half_a_minute(monkeypatch):
    cold = Played(monkeypatch, more=4, startup_ms=30_000.0, timeout_s=60.0)
    warm = Played(monkeypatch, more=4, startup_ms=30_000.0, timeout_s=60.0, warm=2)
    for id_ in ("r3", "r4"):
        assert 30 <= cold.joined_s(id_) <= 32
        assert 0 <= warm.joined_s(id_) <= 2
    assert [warm.ready(second) for second in (45, 55)] == [2, 4], "out of rotation until then"
    assert [warm.provisioned(second) for second in (45, 55)] == [2 + 2, 4 + 2], "paid for all the same"
    assert [cold.provisioned(second) for second in (45, 55)] == [2, 4], "who starts is paid for"
    assert len(warm.stack.manager.deciding.planning.standby) == 2
    assert warm.stack.records.ended == warm.stack.load.asked


def test_a_start_that_is_over_is_not_given_up_while_a_fault_starts_it_again(monkeypatch):
    # r3 is ready at 56 s; at 70 s, when its start would be given up, it is on its way up once more
    restart = Fault(at_s=68.0, action="restart", target="r3")
    played = Played(monkeypatch, more=3, startup_ms=5000.0, duration_s=120.0, faults=[restart])
    assert played.of("start_failed") == []
    assert played.ready(80) == 3


def test_where_faults_start_replicas_again_the_manager_still_tries_again_what_it_could_not_start(monkeypatch):
    restart = Fault(at_s=40.0, action="restart", target="r1")
    played = Played(monkeypatch, more=3, never_ready=1.0, timeout_s=5.0, faults=[restart])
    assert [e["in_a_row"] for e in played.of("start_failed", "r3")][:5] == [1, 2, 3, 4, 5]


def test_a_manager_that_is_started_again_begins_with_replicas_as_their_processes_have_them(monkeypatch):
    """As live: what is asked of starts holds for those after the beginning."""
    restart = Fault(at_s=80.0, action="restart", target="manager")
    asked: dict[str, Any] = {"extra_s": 15.0, "pull_s": 10.0}
    played = Played(monkeypatch, more=3, timeout_s=60.0, faults=[restart], **asked)
    again = {id_: [e["t_s"] for e in played.of("readmitted", id_)][-1] - 80.0 for id_ in ("r1", "r2", "r3")}
    assert again["r1"] < 5 and again["r2"] < 5
    assert 25 < again["r3"] < 32, "its host had the image, but this manager does not know"


COMMAND = (
    "+scenario=autoscale engine=sim workload.profile=constant workload.rate_rps=20 workload.duration_s=60 "
    "workload.warmup_s=0 workload.demand.mean_ms=500 workload.demand.distribution=constant replica.concurrency=1 "
    "replica.queue_limit=100000 replicas=1 autoscaling.max_replicas=200 load.timeout_s=300 "
    "router.timeouts.attempt_s=300 router.timeouts.overall_s=300 autoscaling.interval_s=2 engine.startup_timeout_s=60 "
    "autoscaling.max_starting=200"
)
"""Twenty requests a second of half a second are ten in flight."""


def composed(*overrides):
    store.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return resolve(compose("config", overrides=[*COMMAND.split(), *overrides]))


def test_knatives_panic_is_blind_to_slow_starts():
    # knative/serving #13284: while pods of 20 to 30 s start, the backlog asks for ever more of them
    def peak(extra_s):
        plan = composed("scaler=knative", f"autoscaling.starts.extra_s={extra_s}")
        most = []
        schedule = build_schedule(plan.config.workload, plan.config.seed)
        stack = VirtualStack(plan.config, [], schedule, lambda s, e, now, **about: most.append(about.get("desired", 0)))
        stack.run(lambda _: True)
        return max(most)

    needed = 15  # ten in flight, seven tenths of a slot each
    assert peak(0) <= 6 * needed, "the backlog of the first seconds"
    assert peak(25) == 200, "all that it may have"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["autoscaling.starts.extra_s=70"], "autoscaling.starts: extra_s + pull_s=70: must be below"),
        (["autoscaling.starts.supply=1", "autoscaling.starts.warm=1"], "autoscaling.starts.supply=1: must be 0, or at"),
        (
            ["autoscaling.starts.crash=0.5", "faults=[{at_s: 20, action: restart, target: r1}]"],
            "autoscaling.starts.crash=0.5: does not go with the fault restart, which starts replicas again",
        ),
        (["autoscaling.starts.crash=2"], "autoscaling.starts.crash=2: must be between 0 and 1"),
        (["engine=compose", "autoscaling.max_replicas=9", "autoscaling.starts.warm=1"], "engine=compose does not play it"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(overrides, says):
    with pytest.raises(ConfigError) as error:
        check(composed("scaler=hpa", *overrides).config)
    assert says in str(error.value)
