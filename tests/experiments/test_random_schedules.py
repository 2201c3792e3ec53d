"""Any faults at any moments, under any policy: what a simulated run must keep whatever happens.

What fails shrinks to the smallest schedule of faults, which Hypothesis prints; it is kept below as an `@example`.
"""

from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from experiments.plan.config import Config, DelaysConfig, EngineConfig, LoadConfig, RouterConfig
from experiments.plan.delays import Delay, StartUp
from experiments.plan.fault_plan import Fault, FaultPlanSettings
from experiments.plan.fault_timeline import plan_faults
from experiments.plan.schedule import build_schedule
from experiments.plan.tiers import ReplicaConfig, TierConfig
from experiments.plan.workload import CallDemandSettings, DemandSettings, WorkloadSettings
from experiments.process_faults import PROCESS_FAULTS
from experiments.relay import faults as path_faults
from experiments.simulator.calling import CallingReplica
from experiments.simulator.request import HTTP_ERROR, OK, REFUSED, RESET, TIMEOUT
from experiments.simulator.stack import VirtualStack
from services.backend.faults import BOUNDS, PARAMETERS
from services.router.policies import POLICIES
from services.router.settings import HedgingSettings, RetrySettings, RouterSettings, TimeoutSettings
from tests.experiments.simulated import configured

pytestmark = pytest.mark.slow

DURATION_S = 4.0
CLIENT_S = 4.0
REPLICAS = ["r1", "r2", "r3"]
CALLED = ["b1", "b2"]
AFTER_S = 30.0
"""All time-outs together, and a restart: what is still under way then is lost."""
STRENGTHS = {"added_ms": st.floats(0, 1500), "factor": st.floats(0.5, 30), "period_s": st.floats(0.1, 3)}

NETWORK_STRENGTHS = {
    "added_ms": st.floats(0, 1500), "sigma": st.floats(0, 1), "idle_s": st.floats(0, 1), "delay_s": st.floats(0, 3),
}  # fmt: skip


@st.composite
def faults(draw, tier=()):
    """One, with any of the parameters that its action takes; `tier` are the replicas of a second one."""
    actions = [*PARAMETERS, *PROCESS_FAULTS.usable()]
    action = draw(st.sampled_from(sorted(each for each in actions if tier or each != "cache_loss")))
    at_s = draw(st.floats(0, DURATION_S - 0.5))
    lasts = action in PARAMETERS or PROCESS_FAULTS.find(action).lasts
    for_good = st.nothing() if action == "pause" else st.none()  # a run ends before what it has paused goes on
    for_s = draw(for_good | st.floats(0.05, DURATION_S)) if lasts else None
    routers = ["router", *(["tier_router"] if tier else [])]
    targets = [*REPLICAS, *tier, "all", *(routers if action in PROCESS_FAULTS.usable() else [])]
    taken = [name for name in PARAMETERS.get(action, {}) if draw(st.booleans())]
    parameters = {name: draw(STRENGTHS.get(name, st.floats(*BOUNDS[name]))) for name in taken if name in BOUNDS}
    return Fault(at_s, action, draw(st.sampled_from(targets)), for_s and min(for_s, DURATION_S - at_s), **parameters)


@st.composite
def faults_of_the_network(draw):
    """One on the way to a replica, or to all of them."""
    action = draw(st.sampled_from(sorted(path_faults.PARAMETERS)))
    at_s = draw(st.floats(0, DURATION_S - 0.5))
    for_s = draw(st.none() | st.floats(0.05, DURATION_S - at_s))
    parameters = {name: draw(NETWORK_STRENGTHS[name]) for name in path_faults.PARAMETERS[action] if draw(st.booleans())}
    return Fault(at_s, action, draw(st.sampled_from([*REPLICAS, "all"])), for_s, **parameters)


@st.composite
def systems(draw):
    """A fleet, its router and its load; nothing of it is at fault."""
    timeouts = TimeoutSettings(
        attempt_s=draw(st.sampled_from([0.3, 1.0, 2.0])), overall_s=3.0,
        adaptive_factor=draw(st.sampled_from([0.0, 0.0, 1.0])), adaptive_percentile=0.5,
    )  # fmt: skip
    router = RouterConfig(
        count=draw(st.sampled_from([1, 1, 2])),
        timeouts=timeouts,
        retry=RetrySettings(
            max_attempts=draw(st.integers(1, 4)),
            budget=draw(st.sampled_from(["window", "window", "concurrent", "throttle"])),
            budget_ratio=draw(st.sampled_from([0.1, 10])),
            backoff_base_s=draw(st.sampled_from([0.0, 0.0, 0.05])),
        ),
        hedging=HedgingSettings(enabled=draw(st.booleans()), percentile=0.5, budget_ratio=1.0),
    )
    router.health.enabled, router.ejection.enabled = draw(st.booleans()), draw(st.booleans())
    concurrency, mean_ms = draw(st.integers(1, 3)), 60.0
    load = draw(st.sampled_from([0.3, 0.8, 1.3]))
    return Config(
        seed=draw(st.integers(0, 2**31)),
        replicas=len(REPLICAS),
        replica=ReplicaConfig(
            concurrency,
            draw(st.sampled_from([0, 3, 1000])),
            [1.0, 1.0, draw(st.sampled_from([1.0, 0.3]))],
            on_hangup=draw(st.sampled_from(["cancel", "finish"])),
        ),
        workload=WorkloadSettings(
            rate_rps=load * concurrency * len(REPLICAS) / (mean_ms / 1e3),
            duration_s=DURATION_S,
            warmup_s=0.0,
            demand=DemandSettings(mean_ms=mean_ms),
        ),
        load=LoadConfig(timeout_s=CLIENT_S),
        router=router,
        policy={"name": draw(st.sampled_from(sorted(POLICIES.files())))},
        scaler={"name": "none"},
        engine=EngineConfig("sim", delays=DelaysConfig(Delay(2.0, 0.3), Delay(0.5, 0.3), Delay(1.0, 0.3), StartUp(300, 0.2))),
    )  # fmt: skip


@st.composite
def tiers(draw):
    """A second tier, whose calls take about as long as those before it."""
    fanout = draw(st.integers(1, 4))
    return TierConfig(
        replicas=len(CALLED),
        fanout=fanout,
        wait=draw(st.none() | st.integers(1, fanout)),
        hit_rate=draw(st.sampled_from([0.0, 0.5])),
        slot=draw(st.sampled_from(["held", "free"])),
        timeout_s=draw(st.sampled_from([0.5, 10.0])),
        demand=CallDemandSettings(mean_ms=20.0, replica_noise=draw(st.sampled_from([0.0, 1.0]))),
        replica=ReplicaConfig(draw(st.integers(1, 4)), draw(st.sampled_from([0, 5]))),
        policy={"name": draw(st.sampled_from(sorted(POLICIES.files())))},
        router=RouterSettings(hedging=HedgingSettings(enabled=draw(st.booleans()), percentile=0.5, budget_ratio=1.0)),
    )


class Counted:
    """A policy that also counts how often each attempt begins and ends."""

    def __init__(self, policy, counts):
        self._policy, self._counts = policy, counts

    def __getattr__(self, name):
        return getattr(self._policy, name)

    def on_start(self, replica, now):
        self._counts[replica.id] += 1
        self._policy.on_start(replica, now)

    def on_finish(self, replica, outcome, latency, now):
        self._counts[replica.id] -= 1
        assert self._counts[replica.id] >= 0 and latency >= 0
        self._policy.on_finish(replica, outcome, latency, now)


def counted(make, counts):
    """A new policy that counts."""
    return Counted(make(), counts)


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
@given(systems(), st.lists(faults(), max_size=5))
def test_no_schedule_of_faults_loses_a_request_or_counts_one_twice(config, planned):
    try:
        timeline = plan_faults(
            planned, FaultPlanSettings(), replicas=REPLICAS, initial=len(REPLICAS), has_router=True,
            has_manager=False, duration_s=DURATION_S, warmup_s=0.0, seed=config.seed,
        )  # fmt: skip
    except ValueError:  # two that cannot last at the same time
        assume(False)
    hold(config, timeline)


@settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
@given(systems(), tiers(), st.lists(faults(CALLED), max_size=4))
def test_nor_does_one_with_a_second_tier(config, tier, planned):
    config.tier = tier
    try:
        timeline = plan_faults(
            planned, FaultPlanSettings(), replicas=REPLICAS, initial=len(REPLICAS), has_router=True, has_manager=False,
            tier=tier.ids, has_cache=True, duration_s=DURATION_S, warmup_s=0.0, seed=config.seed,
        )  # fmt: skip
    except ValueError:  # two that cannot last at the same time
        assume(False)
    hold(config, timeline)


@settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
@given(systems(), st.lists(faults_of_the_network(), min_size=1, max_size=3), st.lists(faults(), max_size=2))
def test_nor_does_one_of_the_network(config, network, planned):
    try:
        timeline = plan_faults(
            [*network, *planned], FaultPlanSettings(), replicas=REPLICAS, initial=len(REPLICAS), has_router=True,
            has_manager=False, duration_s=DURATION_S, warmup_s=0.0, seed=config.seed,
        )  # fmt: skip
    except ValueError:  # two that cannot last at the same time
        assume(False)
    hold(config, timeline)


def hold(config, timeline):
    """Run it, and look at what every run must keep."""
    schedule = build_schedule(config.workload, config.seed)
    stack = VirtualStack(config, timeline, schedule, lambda *_, **__: None)
    counts = Counter()
    for router in stack.routers:
        router._make_policy = partial(counted, router._make_policy, counts)
        router._dispatcher._policy = Counted(router._dispatcher._policy, counts)
    stack.run(lambda _: True)
    stack.agenda.run_before(stack.agenda.now + AFTER_S)

    records, due = stack.records, schedule["scheduled_s"].to_numpy()
    outcome, status = np.frombuffer(records.outcome, np.int8), np.frombuffer(records.status, np.int16)
    attempts, completed = np.frombuffer(records.attempts, np.int16), np.frombuffer(records.completed_s)
    assert stack.load.asked == len(due) == records.ended  # every request is asked, and ends once
    assert set(outcome) <= {OK, HTTP_ERROR, TIMEOUT, REFUSED, RESET}
    assert records.failed == (outcome != OK).sum()
    assert (completed >= due).all() and (completed <= due + config.load.timeout_s + 1e-6).all()
    assert np.allclose(completed[outcome == TIMEOUT], due[outcome == TIMEOUT] + config.load.timeout_s)
    assert (status[outcome == OK] == 200).all() and (status[outcome == HTTP_ERROR] >= 500).all()
    hedge = np.frombuffer(records.hedge, np.int8)
    assert (status[hedge >= 0] > 0).all() and (attempts[hedge >= 0] > 1).all()
    assert (attempts <= config.router.retry.max_attempts).all() and (attempts[outcome == OK] >= 1).all()
    served = np.frombuffer(records.service_s)
    assert (served[~np.isnan(served)] >= 0).all() and not np.isnan(served[outcome == OK]).any()

    tier = stack.tier
    for router in (*stack.routers, *([tier.router] if tier else ())):
        assert router.in_flight == 0
        if router.is_up:  # what a dead process knew does not matter
            assert not any(replica.in_flight for replica in router.fleet.replicas.values())
    if not any(fault.target in ("router", "all") for fault in timeline):  # a killed process forgets what it had begun
        assert not +counts
    for node in (*stack.nodes.values(), *(tier.nodes.values() if tier else ())):
        assert node.in_flight == 0 and not node._jobs
        if isinstance(node, CallingReplica):
            assert not node._asked


def test_an_attempt_that_is_not_counted_as_ended_is_found(monkeypatch):
    monkeypatch.setattr("services.router.fleet.Fleet.on_finish", lambda *_: None)
    config = configured(0.5, replicas=3, requests=50, policy={"name": "least_request"})
    with pytest.raises(AssertionError):
        hold(config, [])
