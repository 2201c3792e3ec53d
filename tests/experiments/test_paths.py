"""What happens on the way from the router to a replica, in virtual time: against numbers that follow by hand."""

import numpy as np
import pytest

from experiments.plan.config import DelaysConfig, RouterConfig
from experiments.plan.delays import Delay, StartUp
from experiments.plan.fault_plan import Fault, on_each
from experiments.simulator.request import OK
from services.router.settings import (
    EjectionSettings,
    HealthCheckSettings,
    LimitSettings,
    RetrySettings,
    TimeoutSettings,
)
from tests.experiments.simulated import configured, run

SERVICE_S, WAY_S = 0.020, 0.002
TOOK_S = SERVICE_S + WAY_S
SLOTS = 4


class Asked:
    """What became of requests that came evenly to one replica, behind a router that does nothing about faults."""

    def __init__(self, *faults, rate=40.0, requests=40):
        config = configured(
            rate * SERVICE_S / SLOTS, slots=SLOTS, requests=requests, mean_ms=SERVICE_S * 1e3, distribution="constant",
            arrivals="uniform", policy={"name": "round_robin"},
        )  # fmt: skip
        config.router = RouterConfig(
            health=HealthCheckSettings(enabled=False), ejection=EjectionSettings(enabled=False),
            retry=RetrySettings(max_attempts=1), timeouts=TimeoutSettings(connect_s=0.5, attempt_s=2.0),
            limits=LimitSettings(standing_share=0.0),
        )  # fmt: skip
        config.engine.delays = DelaysConfig(replica=Delay(median_ms=WAY_S * 1e3))
        self.stack = run(config, faults)
        self.took_s = self.stack.load.sojourn_s()
        self.ended_s = np.frombuffer(self.stack.records.completed_s)
        self.sent_s = self.ended_s - self.took_s
        self.ok = np.frombuffer(self.stack.records.outcome, dtype="int8") == OK
        self.status = np.frombuffer(self.stack.records.status, dtype="int16")


def test_a_delay_is_added_to_both_ways_while_it_lasts():
    asked = Asked(Fault(0.3, "delay", "r1", 0.4, added_ms=30.0))
    whole = (asked.sent_s >= 0.3) & (asked.ended_s < 0.7)
    clear = (asked.ended_s < 0.3) | (asked.sent_s >= 0.7)
    assert whole.sum() > 10 and np.allclose(asked.took_s[whole], TOOK_S + 0.060)
    assert clear.sum() > 20 and np.allclose(asked.took_s[clear], TOOK_S)


def test_the_spread_of_a_delay_has_the_mean_that_was_asked_for():
    took_s = Asked(Fault(0.0, "delay", "r1", added_ms=30.0, sigma=0.5), requests=4000).took_s
    assert np.mean(took_s) - TOOK_S == pytest.approx(0.060, rel=0.05)
    # a lognormal of mean m has the standard deviation m sqrt(exp(sigma^2) - 1); two ways
    assert np.std(took_s) == pytest.approx(0.030 * np.sqrt(2 * np.expm1(0.25)), rel=0.1)


def test_a_partition_holds_what_was_sent_and_new_connections_fail_after_their_time_out():
    asked = Asked(Fault(0.311, "partition", "r1", 1.0), requests=100)
    during = (asked.sent_s > 0.311) & (asked.sent_s < 1.311)
    # there was one connection, on which the first of them waits for the end; the others find none
    assert (during & asked.ok).sum() == 1
    assert asked.ended_s[during & asked.ok] == pytest.approx(1.311 + SERVICE_S + WAY_S / 2)
    failed = during & ~asked.ok
    assert failed.sum() == 39 and set(asked.status[failed]) == {502}
    assert np.allclose(asked.took_s[failed], 0.5)
    assert asked.ok[~during].all()


@pytest.mark.parametrize(("action", "after_s"), [("lost_answers", 0.0), ("lost_requests", SERVICE_S + WAY_S / 2)])
def test_only_where_answers_are_lost_the_work_has_been_done_when_it_is_healed(action, after_s):
    asked = Asked(Fault(0.311, action, "r1", 1.0), requests=100)
    during = (asked.sent_s > 0.311) & (asked.sent_s < 1.311) & asked.ok
    assert asked.ended_s[during] == pytest.approx([1.311 + after_s])


def test_an_answer_that_was_on_its_way_is_held_as_well():
    asked = Asked(Fault(0.36, "lost_answers", "r1", 0.5), rate=10, requests=10)
    assert asked.ended_s[3] == pytest.approx(0.86) and asked.sent_s[3] == pytest.approx(0.35)


def test_a_connection_that_was_forgotten_costs_its_attempt_the_whole_time_out_and_is_used_once():
    asked = Asked(Fault(0.311, "half_open", "r1", 0.5), requests=100)
    stuck = asked.took_s > TOOK_S + 0.001
    assert stuck.sum() == 1 and asked.took_s[stuck] == pytest.approx(2.0) and set(asked.status[stuck]) == {504}


@pytest.mark.parametrize(
    ("pause_s", "remembers_s", "stuck"),
    [(10, 5, True), (10, 14, False), (14, 13, True), (16, 5, False), (300, 240, False), (400, 350, False)],
)
def test_a_pool_that_closes_after_15_s_meets_no_load_balancer_that_forgets_after_minutes(pause_s, remembers_s, stuck):
    """Azure forgets after 240 s (JuliaWeb/HTTP.jl #1331: then 16 minutes of waiting), AWS' NLB after 350 s."""
    asked = Asked(Fault(0.0, "half_open", "r1", idle_s=remembers_s), rate=1 / pause_s, requests=6)
    assert len(asked.took_s) >= 4
    assert (asked.took_s > 1.9).any() == stuck


def test_an_answer_that_takes_longer_than_a_firewall_remembers_is_lost_though_its_connection_was_new():
    """As a request of more than 350 s behind AWS' NLB: silence in either direction counts."""
    asked = Asked(Fault(0.311, "half_open", "r1", 0.5, idle_s=0.015), requests=100)
    leaves_s = asked.sent_s + WAY_S / 2 + SERVICE_S
    stuck = (leaves_s >= 0.311) & (leaves_s < 0.811)
    assert stuck.sum() == 20 and np.allclose(asked.took_s[stuck], 2.0) and set(asked.status[stuck]) == {504}
    assert np.allclose(asked.took_s[~stuck], TOOK_S)


@pytest.mark.parametrize(
    ("fault", "sent_s", "heard_s"),
    [
        (Fault(0.0, "delay", "r1", added_ms=30.0), [0.31875, 0.34375], 0.36 + 0.030 + WAY_S / 2),
        (Fault(0.342, "partition", "r1", 0.5), [0.34375], 0.842),
        (Fault(0.330, "partition", "r1", 0.5), [0.31875], 0.830),  # its answer was held back
        (Fault(0.330, "lost_requests", "r1", 0.5), [0.34375], 0.36 + WAY_S / 2),
    ],
)
def test_what_was_on_its_way_to_a_replica_that_dies_is_cut_off_and_a_post_not_made_again(fault, sent_s, heard_s):
    config = configured(
        0.2, replicas=2, slots=SLOTS, requests=40, mean_ms=SERVICE_S * 1e3, distribution="constant",
        arrivals="uniform", policy={"name": "round_robin"},
    )  # fmt: skip
    config.workload.post_share = 1.0
    config.router = RouterConfig(health=HealthCheckSettings(enabled=False), ejection=EjectionSettings(enabled=False))
    config.engine.delays = DelaysConfig(replica=Delay(median_ms=WAY_S * 1e3))
    stack = run(config, [fault, Fault(0.36, "kill", "r1")])
    ended_s = np.frombuffer(stack.records.completed_s)
    lost = np.frombuffer(stack.records.outcome, dtype="int8") != OK
    assert (ended_s - stack.load.sojourn_s())[lost] == pytest.approx(sent_s)
    assert ended_s[lost] == pytest.approx([heard_s] * len(sent_s))
    attempts = np.frombuffer(stack.records.attempts, dtype="int16")
    assert (attempts[lost] == 1).all() and (attempts > 1).any()  # those that came after were refused, and went elsewhere


def leaves_for_long(**settings):
    """One of four replicas ends in order under load, and is away for longer than the run goes on."""
    config = configured(
        0.2, replicas=4, slots=2, requests=1200, mean_ms=20.0, distribution="constant", arrivals="uniform",
        policy={"name": "round_robin"},
    )  # fmt: skip
    config.router = RouterConfig(timeouts=TimeoutSettings(attempt_s=2.0), **settings)
    config.engine.delays = DelaysConfig(startup=StartUp(median_ms=600_000))
    faults = [Fault(0.0, "late_membership", "all", delay_s=10.12), Fault(1.0, "restart", "r4")]
    faults = [*on_each(faults[0], config.replica_ids), faults[1]]
    stack = run(config, faults)
    rate = config.workload.rate_rps
    return stack.records.failed, rate


def test_scaling_down_while_the_news_take_10_s_fails_what_is_sent_to_whoever_has_gone():
    """istio #7665: 503s on every scale-down, since a push to the proxies took 10.12 s."""
    failed, rate = leaves_for_long(
        health=HealthCheckSettings(enabled=False), ejection=EjectionSettings(enabled=False),
        retry=RetrySettings(max_attempts=1),
    )  # fmt: skip
    # a quarter of the requests, from the end of the process, 0.11 s after its farewell, until the farewell arrives
    assert failed == pytest.approx(rate / 4 * (10.12 - 0.11), abs=2)


def test_the_default_router_loses_nothing_then():
    assert leaves_for_long()[0] == 0
