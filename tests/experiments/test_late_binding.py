"""One line for all slots in the simulator, against what is known of such queues; deadlines that travel."""

import heapq
import random

import numpy as np
import pytest

from experiments import policy_table
from experiments.plan.fault_plan import Fault
from experiments.plan.schedule import build_schedule
from experiments.simulator.request import OK, TIMEOUT
from experiments.simulator.stack import VirtualStack
from services.router.policies.late_binding import LateBinding
from tests.experiments.simulated import configured, run

MEAN_S = 0.1


def waits_s(stack):
    """From arrival to the slot, of every request that was served, seconds; infinite for the others."""
    ok = np.frombuffer(stack.records.outcome, np.int8) == OK
    return np.where(ok, stack.load.sojourn_s() - stack.load._schedule["demand_s"].to_numpy(), np.inf)


def one_line(load, requests, order="fifo", **more):
    """Ten slots at five replicas."""
    policy = {"name": "late_binding", "limit": 100_000, "order": order}
    return configured(load, replicas=5, slots=2, mean_ms=MEAN_S * 1e3, requests=requests, policy=policy, **more)


def kiefer_wolfowitz(at_s, demand_s, slots):
    """The exact waits of first come first served on `slots` servers (Kiefer and Wolfowitz, 1955)."""
    free, waits = [0.0] * slots, []
    for at, demand in zip(at_s, demand_s, strict=True):
        start = max(at, free[0])
        heapq.heapreplace(free, start + demand)
        waits.append(start - at)
    return np.array(waits)


def test_ten_slots_behind_one_line_make_wait_as_erlang_has_it():
    """Erlang C of 10 servers and 8 erlangs: 0.409 wait, on average 0.205 mean services. The recursion has that over a
    long run, and the line has what the recursion has, request by request, but for the few of the rare moments in which
    a replica is taken for a slow one by chance."""
    rng = random.Random(1)
    gaps = np.cumsum([rng.expovariate(8.0) for _ in range(400_000)])
    waits = kiefer_wolfowitz(gaps, [rng.expovariate(1.0) for _ in gaps], 10)
    assert (waits > 1e-9).mean() == pytest.approx(0.409, abs=0.01) and waits.mean() == pytest.approx(0.2046, rel=0.05)
    for seed in (1, 2, 4):
        stack = run(one_line(0.8, 6000, seed=seed))
        schedule = stack.load._schedule
        exact = kiefer_wolfowitz(schedule["scheduled_s"].tolist(), schedule["demand_s"].tolist(), 10)
        found = waits_s(stack)
        assert (np.abs(found - exact) > 1e-9).mean() < 0.02
        assert found.mean() == pytest.approx(exact.mean(), rel=0.02)


def test_last_come_first_served_serves_all_it_can_at_once_under_overload():
    """At 1.25 times capacity a request is served with probability 1 / 1.25, the others never: an M/M/c whose busy
    periods may not end (Kleinrock, Queueing Systems I, 5.8). Those that are served wait as long as a busy period of the
    queue with both rates exchanged: 1 / (lambda - c mu) on average, here 0.4 mean services. First come first served
    makes everybody wait, longer and longer."""
    waits = waits_s(run(one_line(1.25, 10_000, "lifo", seed=3)))[1000:9000]
    served = np.isfinite(waits) & (waits < 100 * MEAN_S)
    assert served.mean() == pytest.approx(0.8, abs=0.03)
    assert waits[served].mean() == pytest.approx(0.4 * MEAN_S, rel=0.25)
    first_come = waits_s(run(one_line(1.25, 5000, seed=3)))[2500:]
    assert np.median(first_come) > 40 * MEAN_S


def test_where_nothing_is_wrong_one_line_is_the_floor():
    found = policy_table.measured("late_binding", policy_table.CASES["steady"], 4)
    assert found.lost == 0 and found.p99_s == pytest.approx(found.floor_p99_s, rel=0.03)


def test_of_several_routers_each_fills_all_slots_and_requests_queue_at_replicas():
    config = one_line(0.8, 3000, seed=5)
    alone = np.frombuffer(run(config).records.queue_s)
    config.router.count = 4
    queued = np.frombuffer(run(config).records.queue_s)
    assert not (alone > 1e-9).any() and (queued > 1e-9).mean() > 0.1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_slots_that_nobody_has_said_are_found_before_the_line_is_long(seed):
    """Ten a replica, of which eight are needed on average; two are begun with. What four seconds have put in line is
    served within as many more; a doubling may go unnoticed once, and is taken back."""
    config = configured(0.8, replicas=4, slots=10, mean_ms=50.0, requests=9600, seed=seed)
    config.policy = {"name": "late_binding", "limit": 100_000, "slots": "found"}
    stack = VirtualStack(config, [], build_schedule(config.workload, seed), lambda *_, **__: None)
    (router,), seen = stack.routers, {}
    policy = router._dispatcher._policy
    assert isinstance(policy, LateBinding)

    def look(_, now):
        seen[now] = [policy.slots(each) for each in router.fleet.replicas.values()]

    for moment in range(1, 15):
        stack.agenda.at(float(moment), look, None)
    stack.run(lambda _: True)
    assert sum(seen[4.0]) >= 32 and max(map(max, seen.values())) <= 32
    assert all(8 <= slots <= 20 for slots in seen[14.0]), seen[14.0]
    later = waits_s(stack)[stack.load._schedule["scheduled_s"] > 8.0]
    assert np.median(later) < 0.01 and np.isfinite(later).all()


def expiring(policy, **more):
    """A quarter more than the fleet can do, each request with five mean services of time."""
    config = configured(1.25, replicas=5, slots=2, mean_ms=100.0, requests=4000, policy={"name": policy}, **more)
    config.load.deadline_ms = 500.0
    return config


@pytest.mark.parametrize("policy", ["late_binding", "least_request"])
def test_what_has_expired_is_dropped_at_once_and_nobody_is_blamed(policy):
    stack = run(expiring(policy))
    served = np.isfinite(waits_s(stack))[500:3500]
    assert 0.72 < served.mean() < 0.86, "nine tenths of what the slots can do, or more, though all of it is late"
    assert set(np.frombuffer(stack.records.status, np.int16)) == {200, 504}
    assert stack.load.sojourn_s().max() < 0.5 + 1e-6, "those that are not served hear of it at their deadline"
    assert all(replica.failures_total == 0 for replica in stack.routers[0].fleet.replicas.values())


def test_a_client_whose_time_is_up_in_line_has_timed_out_and_was_not_refused():
    config = one_line(4.0, 1000, seed=3)
    config.load.timeout_s = 0.3
    stack = run(config)
    outcomes = np.frombuffer(stack.records.outcome, np.int8)
    assert set(outcomes) == {OK, TIMEOUT} and (outcomes == TIMEOUT).sum() > 50


def test_what_was_dropped_without_a_router_was_not_served_to_whoever_asks():
    config = configured(1.5, requests=500, router=None)
    config.load.deadline_ms = 500.0
    stack = VirtualStack(config, [], build_schedule(config.workload, config.seed), lambda *_, **__: None)
    (node,) = stack.nodes.values()
    node.tell_load()
    stack.run(lambda _: True)
    dropped = np.frombuffer(stack.records.status, np.int16) == 504
    served_s = np.frombuffer(stack.records.service_s)
    assert dropped.sum() > 50 and np.isnan(served_s[dropped]).all() and not np.isnan(served_s[~dropped]).any()
    assert node.load._errors > 0


def test_replicas_that_are_told_how_long_somebody_waits_do_not_work_for_nobody():
    """`finish`: a replica does not notice that its client has gone; what it is told is all it knows. Untold it works off
    what nobody waits for, ever later: a fleet that is at work all the time, and serves nobody."""
    good = {}
    for told in (True, False):
        config = configured(1.25, replicas=5, slots=2, mean_ms=100.0, requests=4000, on_hangup="finish")
        config.policy = {"name": "least_request"}
        config.router.timeouts.attempt_s = config.router.timeouts.overall_s = 0.5
        config.router.timeouts.told = told
        config.router.ejection.enabled = False
        config.router.limits.standing_share = 0.0  # which would end it
        good[told] = np.isfinite(waits_s(run(config)))[2000:].mean()
    assert good[True] > 0.45 and good[False] < 0.05


def test_every_request_ends_once_though_its_router_is_killed_and_paused_while_it_waits():
    config = one_line(1.1, 3000, seed=2)
    config.load.timeout_s = 3.0
    faults = [
        Fault(at_s=10, action="pause", target="router", for_s=2.0),
        Fault(at_s=18, action="restart", target="router"),
    ]
    stack = run(config, faults)
    assert stack.records.ended == stack.load.asked
    stack.agenda.run_before(stack.agenda.now + 30)
    router = stack.routers[0]
    assert router.in_flight == 0 and all(node.in_flight == 0 for node in stack.nodes.values())
    assert all(replica.in_flight == 0 for replica in router.fleet.replicas.values())
