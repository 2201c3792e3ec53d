"""The simulated system against exact recursions, and what every run of it must keep."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from analysis.metrics import queueing
from experiments.plan.config import DelaysConfig, EngineConfig
from experiments.plan.delays import Delay, StartUp
from experiments.plan.fault_plan import Fault
from experiments.plan.schedule import build_schedule
from experiments.simulator.agenda import Agenda, PastEventError
from experiments.simulator.request import DROPPED, HTTP_ERROR, LOST, OK, REFUSED, RESET, TIMEOUT, WON
from experiments.simulator.stack import Stopped, VirtualStack
from record.schema import OUTCOMES
from services.router import policies
from services.router.settings import HedgingSettings, RetrySettings, TimeoutSettings
from tests.experiments.simulated import configured, run

DELAYS = DelaysConfig(Delay(2.0, 0.3), Delay(1.0, 0.3), Delay(2.0, 0.3), StartUp(900, 0.2))


@pytest.mark.parametrize(("slots", "limit", "speed"), [(1, 100_000, 1.0), (3, 100_000, 1.0), (1, 4, 1.0), (2, 0, 1.25)])
@pytest.mark.parametrize("router", ["default", None])
def test_one_replica_is_the_exact_queue_of_this_schedule(slots, limit, speed, router):
    config = configured(0.9 * speed, slots=slots, limit=limit, speeds=[speed], router=router, requests=4000)
    if router is not None:
        config.router.retry.max_attempts = 1
    stack, planned = run(config), build_schedule(config.workload, config.seed)
    exact = queueing.sojourn_s(planned["scheduled_s"], planned["demand_s"] / speed, slots, limit)
    served = np.frombuffer(stack.records.outcome, np.int8) == OK
    assert np.array_equal(served, ~np.isnan(exact))
    assert np.array_equal(stack.load.sojourn_s()[served], exact[served])
    assert (~served).any() == (limit < 100)
    assert set(np.frombuffer(stack.records.status, np.int16)[~served]) <= {503}


def test_round_robin_over_replicas_is_every_nth_request_on_a_queue_of_its_own():
    config = configured(0.8, replicas=4, policy={"name": "round_robin"}, requests=4000)
    planned, found = build_schedule(config.workload, config.seed), run(config).load.sojourn_s()
    for share in (slice(first, None, 4) for first in range(4)):
        exact = queueing.sojourn_s(planned["scheduled_s"][share], planned["demand_s"][share], 1)
        assert np.array_equal(found[share], exact)


class Recorder:
    """A policy that keeps what it is told, and sends everything to the first."""

    def __init__(self):
        self.told = []

    def pick(self, candidates, request, now):
        self.told.append(("pick", request.id, request.key, [c.in_flight for c in candidates], now))
        return policies.Pick(candidates[0], "turn")

    def on_start(self, replica, now):
        self.told.append(("start", replica.id, now))

    def on_finish(self, replica, outcome, latency, now):
        self.told.append((outcome, replica.id, latency, now))


def test_weighted_round_robin_gives_each_replica_its_weight_in_every_round():
    # 5, 1, 1 is the example of nginx's smooth weighted round robin; of any seven requests in a row the first gets five.
    config = configured(0.5, replicas=3, requests=700, policy={"name": "round_robin"})
    config.replica.weights = [5, 1, 1]
    replica = np.frombuffer(run(config).records.replica, np.int32)
    assert len(replica) > 500
    for start in range(0, len(replica) - 7, 7):
        assert Counter(replica[start : start + 7].tolist()) == {0: 5, 1: 1, 2: 1}


def test_weights_by_speed_load_an_uneven_fleet_evenly():
    config = configured(0.5, replicas=3, requests=3300, speeds=[1.0, 1.0, 0.2], policy={"name": "round_robin"})
    loaded = {}
    for weights in ([], "by_speed"):
        config.replica.weights = weights
        stack = run(config)
        loaded[str(weights)] = Counter(np.frombuffer(stack.records.replica, np.int32).tolist())
    assert max(loaded["[]"].values()) - min(loaded["[]"].values()) <= 1
    fast, also_fast, slow = (loaded["by_speed"][number] for number in range(3))
    assert abs(fast - 5 * slow) <= 5 and abs(also_fast - 5 * slow) <= 5


def test_a_policy_hears_of_everything_once_and_in_the_order_of_time(monkeypatch):
    planned = pd.DataFrame(
        {"request_id": [0, 1, 2, 3], "scheduled_s": [0.0, 0.5, 0.5, 2.0], "demand_s": [1.0, 1.0, 1.0, 0.25]}
    ).assign(key=list("abcd"))
    recorder = Recorder()
    monkeypatch.setattr(policies, "create", lambda *_: recorder)
    config = configured(replicas=2, limit=1)
    config.workload.duration_s, config.router.retry.max_attempts = 3.0, 1
    stack = run(config, schedule=planned)
    assert list(stack.records.outcome) == [OK, OK, HTTP_ERROR, OK]
    assert stack.load.sojourn_s().tolist() == [1.0, 1.5, 0.0, 0.25]
    first = next(iter(told[1] for told in recorder.told if told[0] == "start"))
    assert recorder.told == [
        ("pick", "0", "a", [0, 0], 0.0), ("start", first, 0.0),
        ("pick", "1", "b", [1, 0], 0.5), ("start", first, 0.5),
        ("pick", "2", "c", [2, 0], 0.5), ("start", first, 0.5), ("overloaded", first, 0.0, 0.5),
        ("ok", first, 1.0, 1.0), ("ok", first, 1.5, 2.0),
        ("pick", "3", "d", [0, 0], 2.0), ("start", first, 2.0), ("ok", first, 0.25, 2.25),
    ]  # fmt: skip


@pytest.mark.parametrize("name", policies.POLICIES.files())
@pytest.mark.parametrize("discipline", ["fifo", "ps"])
def test_every_policy_serves_everything_and_keeps_littles_law(name, discipline):
    config = configured(0.7, replicas=3, slots=2, policy={"name": name}, requests=3000, discipline=discipline)
    config.engine = EngineConfig("sim", delays=DELAYS)
    stack = run(config)
    assert Counter(stack.records.outcome) == {OK: stack.load.asked}
    fleet = stack.routers[0].fleet.replicas.values()
    assert all(replica.in_flight == 0 for replica in fleet)
    assert sum(replica.requests_total for replica in fleet) == sum(stack.records.attempts) == stack.load.asked
    assert all(node.in_flight == 0 and len(node.queue) == 0 for node in stack.nodes.values())
    # The integral of requests in flight is the sum of the times that they were (Little 1961), here of the attempts:
    # what is left of a request's latency are its ways from and to the client and the router's own time.
    spent = sum(replica.in_flight_seconds(stack.agenda.now) for replica in fleet)
    there, way, _ = stack.load.drawn(stack.load.asked)
    ways = stack.load.asked * there + way.sum()
    line = stack.routers[0]._dispatcher.line
    waited = 0.0 if line is None else line.seconds(stack.agenda.now)
    assert spent + waited == pytest.approx(stack.load.sojourn_s().sum() - ways, rel=1e-6)
    if name == "late_binding":  # who is at a replica has a slot of its own
        assert spent == pytest.approx(stack.load._schedule["demand_s"].sum() + hops_s(stack), rel=1e-6)


def hops_s(stack):
    """All ways from the router to a replica and back, of runs without a second attempt."""
    _, _, back = stack.load.drawn(stack.load.asked)
    return float(stack.load._to_node_s * stack.load.asked + back.sum())


FAULTS = [
    Fault(at_s=2, action="kill", target="r1", for_s=3),
    Fault(at_s=2.5, action="pause", target="r2", for_s=2),
    Fault(at_s=6, action="slow", target="r1", for_s=2, factor=5.0),
    Fault(at_s=6, action="latency", target="r2", for_s=2, added_ms=300.0, share=0.5),
    Fault(at_s=9, action="hang", target="r1", for_s=1, share=0.5),
    Fault(at_s=9, action="reset", target="r3", for_s=1, share=0.5),
    Fault(at_s=11, action="refuse", target="r1", for_s=1),
    Fault(at_s=11, action="flap", target="r3", for_s=2, period_s=1.0),
    Fault(at_s=14, action="lie", target="r2", for_s=1),
    Fault(at_s=14, action="error", target="r3", for_s=1, rate=0.7),
    Fault(at_s=16, action="restart", target="r1"),
    Fault(at_s=18, action="pause", target="router", for_s=1),
    Fault(at_s=21, action="kill", target="router", for_s=1),
    Fault(at_s=25, action="restart", target="router"),
]


@pytest.mark.parametrize("on_hangup", ["cancel", "finish"])
@pytest.mark.parametrize("discipline", ["fifo", "ps"])
def test_whatever_breaks_every_request_ends_once_and_nothing_stays_in_flight(on_hangup, discipline):
    config = configured(0.6, replicas=3, slots=2, requests=1080, on_hangup=on_hangup, discipline=discipline)
    config.load.timeout_s, config.router.timeouts.attempt_s, config.workload.demand.replica_noise = 3.0, 0.5, 0.5
    config.engine = EngineConfig("sim", delays=DELAYS)
    stack = run(config, FAULTS)
    assert stack.load.asked == stack.records.ended == len(stack.records.outcome)
    assert OUTCOMES.index("dropped") not in set(stack.records.outcome)
    assert {"ok", "refused", "reset"} <= {OUTCOMES[code] for code in set(stack.records.outcome)}
    assert all(replica.in_flight == 0 for router in stack.routers for replica in router.fleet.replicas.values())
    stack.agenda.run_before(stack.agenda.now + 5)  # work for nobody ends, too
    now = stack.agenda.now
    assert all(n.in_flight == n.queue.busy(now) == n.queue.waiting(now) == 0 for n in stack.nodes.values())
    assert (stack.load.sojourn_s() <= config.load.timeout_s + 1e-9).all()
    assert [replica.state for replica in stack.routers[0].fleet.replicas.values()] == ["ready"] * 3
    again = run(config, FAULTS)
    assert again.records.completed_s == stack.records.completed_s


@pytest.mark.parametrize("attempts", [1, 3])
def test_an_attempt_that_may_not_be_given_up_early_goes_on_to_its_answer_or_its_limit(attempts):
    """Overloaded, half of all attempts are looked at before their time; a budget of nothing refuses most of them."""
    config = configured(1.6, replicas=2, requests=500)
    config.load.timeout_s = 10.0
    config.router.timeouts = TimeoutSettings(2.0, 8.0, adaptive_factor=1.0, adaptive_percentile=0.5)
    config.router.retry = RetrySettings(max_attempts=attempts, budget_min_per_s=0.0)
    config.router.ejection.enabled = False
    records = run(config).records
    assert records.ended == len(build_schedule(config.workload, config.seed))
    assert DROPPED not in set(records.outcome)


def hedged(client_s, faults):
    config = configured(0.3, replicas=2, slots=4, requests=300)
    config.load.timeout_s = client_s
    config.router.hedging = HedgingSettings(enabled=True, percentile=0.5, budget_ratio=1.0)
    config.router.retry = RetrySettings(max_attempts=2)
    config.router.health.enabled = config.router.ejection.enabled = False
    records = run(config, faults).records
    return np.frombuffer(records.hedge, np.int8), np.frombuffer(records.status, np.int16), records


def test_what_is_said_of_a_second_attempt_is_what_a_live_client_reads_in_the_answer():
    """Nothing where there was none; `won` where it is the second one's, be that an error."""
    hedge, status, records = hedged(0.15, [])
    assert (np.frombuffer(records.attempts, np.int16)[status == 0] == 2).any()
    assert (hedge[status == 0] == -1).all() and {WON, LOST} <= set(hedge[status == 200])
    wrong = [Fault(at_s=5.0, action="error", target=target, for_s=5.0) for target in ("r1", "r2")]
    late = [Fault(at_s=5.0, action="latency", target=target, for_s=5.0, added_ms=300.0) for target in ("r1", "r2")]
    hedge, status, _ = hedged(600.0, [*wrong, *late])
    assert (status == 500).sum() > 50 and set(hedge[status == 500]) <= {WON, -1} and WON in hedge[status == 500]


def test_without_a_router_the_client_sees_every_fault_itself():
    config = configured(0.5, replicas=3, slots=2, requests=1600, router=None)
    config.load.timeout_s = 1.0
    config.engine = EngineConfig("sim", delays=DELAYS)
    stack = run(config, [fault for fault in FAULTS if fault.target != "router"])
    assert stack.records.ended == stack.load.asked
    assert {OUTCOMES[code] for code in set(stack.records.outcome)} == {
        "ok",
        "http_error",
        "timeout",
        "refused",
        "reset",
    }
    assert all(node.in_flight == 0 and len(node.queue) == 0 for node in stack.nodes.values())


def test_an_answer_may_take_longer_than_a_pause_in_a_body():
    config = configured(0.3, requests=100, distribution="constant")
    assert config.router is not None
    service_s = config.workload.demand.mean_ms / 1e3
    config.router.timeouts.attempt_s = config.router.timeouts.overall_s = 1000 * service_s
    config.router.timeouts.idle_s = service_s / 2
    assert set(run(config).records.outcome) == {OK}


def test_the_same_seed_gives_the_same_values_and_another_seed_others():
    config = configured(0.8, replicas=3, policy={"name": "peak_ewma"}, requests=2000)
    config.engine = EngineConfig("sim", delays=DELAYS)
    once, again = run(config), run(config)
    assert once.records.completed_s == again.records.completed_s
    config.seed = 2
    assert run(config).load.sojourn_s()[:100].tolist() != once.load.sojourn_s()[:100].tolist()


@pytest.mark.slow
def test_several_routers_share_the_requests_and_know_less_than_one():
    def mean(count):
        config = configured(0.9, replicas=20, policy={"name": "least_request"}, requests=20_000)
        config.router.count = count
        stack = run(config)
        totals = [sum(r.requests_total for r in router.fleet.replicas.values()) for router in stack.routers]
        assert sum(totals) == stack.load.asked
        assert max(totals) - min(totals) <= 1
        return stack.load.sojourn_s().mean()

    assert mean(1) < mean(4) < mean(20)


def test_an_event_in_the_past_or_at_no_time_is_refused():
    agenda = Agenda(1.0)
    for moment in (0.5, float("nan")):
        with pytest.raises(PastEventError):
            agenda.at(moment, print)


@pytest.mark.parametrize(
    "answer",
    [lambda c: c[0].missing, lambda c: object(), lambda c: policies.Pick(object(), "x")],  # type: ignore[arg-type]
)
def test_a_policy_that_raises_or_returns_what_it_was_not_offered_ends_in_500s(monkeypatch, answer):
    class Broken(Recorder):
        def pick(self, candidates, request, now):
            return answer(candidates)

    monkeypatch.setattr(policies, "create", lambda *_: Broken())
    stack = run(configured(requests=50))
    assert set(stack.records.status) == {500}
    assert stack.records.ended == stack.load.asked


def test_nothing_is_too_much_for_a_simulated_load():
    config = configured(5.0, requests=2000)
    config.load.max_in_flight = 50
    stack = run(config)
    assert OUTCOMES.index("dropped") not in set(stack.records.outcome)
    assert stack.records.ended == stack.load.asked == len(stack.records.outcome)


def test_the_closed_loop_asks_no_more_than_its_users_can_wait_for():
    config = configured(0.5, slots=4, requests=2000, router=None, distribution="constant")
    config.load.loop, config.load.users = "closed", 4
    config.load.timeout_s = 10.0
    stall = [Fault(at_s=config.workload.duration_s / 2, action="pause", target="r1", for_s=2)]
    stack = run(config, stall)
    planned, rate = len(stack.records.outcome), config.workload.rate_rps
    assert stack.load.asked == pytest.approx(planned - 2 * rate, abs=0.4 * rate)  # what the users had no time to ask
    asked = np.frombuffer(stack.load.asked_s)[: stack.load.asked]
    latency = np.frombuffer(stack.records.completed_s)[: stack.load.asked] - asked
    assert (latency > 1).sum() <= config.load.users


def test_virtual_time_stops_when_nobody_wants_more():
    config = configured(0.5, requests=5000)
    seen = []
    stack = VirtualStack(config, [], build_schedule(config.workload, 1), lambda *_, **__: None)

    def watch(now):
        seen.append(now)
        return now < 3

    with pytest.raises(Stopped):
        stack.run(watch)
    assert seen == [1.0, 2.0, 3.0]


def test_outcomes_are_numbered_as_the_record_writes_them():
    words = {OK: "ok", HTTP_ERROR: "http_error", TIMEOUT: "timeout", REFUSED: "refused", RESET: "reset", DROPPED: "dropped"}
    assert tuple(words[code] for code in sorted(words)) == OUTCOMES


def test_a_router_that_was_stopped_for_longer_than_leases_last_has_all_its_replicas_and_their_renewals():
    """As live: what came meanwhile lies in its sockets, and it does not take its own absence for theirs."""
    config = configured(0.3, replicas=3, slots=2, requests=400)
    stops = [Fault(at_s=at_s, action="pause", target="router", for_s=for_s) for at_s, for_s in ((4.3, 1.2), (6.7, 4.0))]
    events = []
    stack = VirtualStack(
        config, stops, build_schedule(config.workload, 1), lambda _, event, t_s, **__: events.append(event)
    )
    stack.run(lambda _: True)
    assert "expired" not in events and events.count("registered") == 3


def test_a_stopped_router_hears_of_a_replica_that_has_left_meanwhile_when_it_goes_on():
    """As live: the deregistration lies in its sockets as the registrations do."""
    config = configured(0.3, replicas=3, slots=2, requests=400)
    stack = VirtualStack(config, [], build_schedule(config.workload, 1), lambda *_, **__: None)
    (router,) = stack.routers
    left = []

    def leaves(_, now):
        router.pause(now)
        router.forget("r1", "http://r1", now)
        router.forget("r2", "http://elsewhere", now)
        left.append(len(router.fleet.replicas))
        router.resume(now + 0.5)
        left.append(len(router.fleet.replicas))

    stack.agenda.at(2.5, leaves)
    stack.run(lambda _: True)
    assert left == [3, 2]
