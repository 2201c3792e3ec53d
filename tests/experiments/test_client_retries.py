"""Clients that ask again: what is decided, what comes of it in the simulator, and what others have reported of it."""

import numpy as np
import pandas as pd
import pytest

from experiments.load.client import Target
from experiments.load.retries import ClientRetries
from experiments.plan.client_retries import ClientRetrySettings
from experiments.plan.config import RouterConfig
from experiments.plan.fault_plan import Fault
from experiments.plan.schedule import build_schedule
from experiments.plan.tiers import ReplicaConfig, TierConfig
from experiments.simulator.request import HTTP_ERROR, OK, REFUSED, TIMEOUT
from record.schema import WORK_COLUMNS
from services.backoff import full_jitter_s
from services.router.settings import RetrySettings, RouterSettings, TimeoutSettings
from tests.experiments.simulated import configured, run

# -- what is decided


def clients(timeout_s=10.0, seed=1, deadline_ms=None, **settings):
    return ClientRetries(ClientRetrySettings(**{"max_attempts": 3, **settings}), timeout_s, seed, deadline_ms)


def pause_s(who, outcome, status=None, *, sends=1, elapsed_s=0.1, now=0.1, is_post=False, request_id=7):
    return who.pause_s(request_id, sends, outcome, status, elapsed_s, now, is_post=is_post)


@pytest.mark.parametrize(
    ("outcome", "status", "get", "post", "post_if_told"),
    [
        ("ok", 200, False, False, False),
        ("http_error", 404, False, False, False),
        ("http_error", 422, False, False, False),
        ("http_error", 429, True, False, True),
        ("http_error", 500, True, False, True),
        ("http_error", 503, True, False, True),
        ("http_error", 504, True, False, True),
        ("timeout", None, True, False, True),
        ("reset", None, True, False, True),
        ("refused", None, True, True, True),
        ("dropped", None, False, False, False),
    ],
)
def test_what_may_be_otherwise_a_moment_later_is_asked_again_and_a_post_only_where_nothing_was_sent(
    outcome, status, get, post, post_if_told
):
    assert (pause_s(clients(), outcome, status) is not None) is get
    assert (pause_s(clients(), outcome, status, is_post=True) is not None) is post
    assert (pause_s(clients(post=True), outcome, status, is_post=True) is not None) is post_if_told


def test_attempts_and_time_have_an_end():
    assert pause_s(clients(), "reset", sends=2) is not None and pause_s(clients(), "reset", sends=3) is None
    plain = {"backoff_base_s": 0.0}
    assert pause_s(clients(**plain), "reset", elapsed_s=9.9) == 0.0 and pause_s(clients(**plain), "reset", elapsed_s=10.0) is None
    told = clients(deadline_ms=2000.0, **plain)  # who waits no longer does not ask again
    assert pause_s(told, "reset", elapsed_s=1.9) == 0.0 and pause_s(told, "reset", elapsed_s=2.0) is None
    assert clients().limit_s(0.0) == 10.0 and clients(attempt_s=4.0).limit_s(0.0) == 4.0
    assert clients(attempt_s=4.0).limit_s(7.0) == 3.0


def test_who_asks_again_when_the_deadline_has_passed_says_zero_and_nothing_negative_which_is_refused(monkeypatch):
    sent = []

    class Line:
        def get_socket(self):
            return self

        def sendall(self, head):
            sent.append(head.split(b"\r\n"))
            raise ConnectionResetError

        def release_socket(self, _):
            pass

    target = Target("http://127.0.0.1:9", 1.0, 1, deadline_ms=200.0)
    monkeypatch.setattr(target, "_pool", Line())
    for waited_s in (0.0, 0.15, 0.2004):
        assert target.ask(1, 0.01, "k", send=2, waited_s=waited_s).outcome == "reset"
    assert [head[3] for head in sent] == [b"X-Aegis-Deadline-Ms: 200", b"X-Aegis-Deadline-Ms: 50", b"X-Aegis-Deadline-Ms: 0"]


def test_pauses_have_full_jitter_by_seed_and_request():
    who, again = clients(max_attempts=9, backoff_base_s=0.1, backoff_max_s=0.3), clients(max_attempts=9, backoff_max_s=0.3)
    for sends, most in ((1, 0.1), (2, 0.2), (3, 0.3), (7, 0.3)):
        drawn = [pause_s(who, "reset", sends=sends, request_id=n) for n in range(2000)]
        assert drawn == [pause_s(again, "reset", sends=sends, request_id=n) for n in range(2000)]
        assert min(drawn) >= 0 and most * 0.99 < max(drawn) <= full_jitter_s(sends, 0.1, 0.3, 1.0) + 1e-12
        assert np.mean(drawn) == pytest.approx(most / 2, rel=0.06)
    assert pause_s(clients(seed=2), "reset") != pause_s(clients(seed=1), "reset")


def test_the_budget_is_a_ratio_of_the_requests_of_the_last_seconds():
    who = clients(budget=0.1, backoff_base_s=0.0)
    assert pause_s(who, "reset") is None
    for n in range(100):
        who.on_request(n / 100)
    assert [pause_s(who, "reset", now=1.0, request_id=n) is not None for n in range(12)] == [True] * 10 + [False] * 2
    assert pause_s(who, "reset", now=30.0, elapsed_s=1.0) is None  # it does not save up


# -- what comes of it


def asking(load=0.5, *, router=None, ledger="always", **settings):
    """Three replicas, and a router that tries once."""
    config = configured(load, replicas=3, requests=2000, mean_ms=20.0, policy={"name": "round_robin"})
    config.router = router or RouterConfig(retry=RetrySettings(max_attempts=1))
    config.router.health.enabled = config.router.ejection.enabled = False
    config.load.timeout_s, config.ledger = 10.0, ledger
    config.load.retries = ClientRetrySettings(**{"max_attempts": 3, "backoff_base_s": 0.0, **settings})
    return config


def columns(stack):
    records = stack.records
    return (np.frombuffer(getattr(records, name), dtype) for name, dtype in (("sends", np.int16), ("outcome", np.int8)))


def error(rate=1.0, at_s=0.0, for_s=1000.0):
    return [Fault(at_s=at_s, action="error", target=f"r{n}", for_s=for_s, rate=rate) for n in (1, 2, 3)]


def test_a_request_fails_only_if_its_last_attempt_did_and_takes_as_long_as_all_of_them():
    stack = run(asking(), error(0.5))
    sends, outcome = columns(stack)
    failed = outcome == HTTP_ERROR
    assert set(sends) == {1, 2, 3} and (sends[failed] == 3).all()
    assert failed.mean() == pytest.approx(1 / 8, abs=0.03)  # three times in a row: each attempt draws anew
    assert (sends > 1).mean() == pytest.approx(1 / 2, abs=0.04)
    rows = pd.DataFrame(stack.work, columns=list(WORK_COLUMNS))
    assert (rows.groupby("request_id")["send"].max().to_numpy() == sends).all() and len(rows) == sends.sum()
    answered = rows[rows["end"] == "answered"].set_index("request_id")
    took = np.frombuffer(stack.records.completed_s)[answered.index] - answered["ended_s"]
    assert np.allclose(took, 0.0, atol=2e-6) and (answered["send"].to_numpy() == sends[answered.index]).all()


def test_an_attempt_that_takes_too_long_is_given_up_and_all_of_them_end_by_the_time_out():
    config = asking(attempt_s=0.5, max_attempts=10)
    config.load.timeout_s = 1.75
    stack = run(config, [Fault(at_s=5.0, action="hang", target=f"r{n}", for_s=1000.0) for n in (1, 2, 3)])
    sends, outcome = columns(stack)
    took = stack.load.sojourn_s()
    assert set(sends[outcome == TIMEOUT]) == {4} and np.allclose(took[outcome == TIMEOUT], 1.75)
    rows = pd.DataFrame(stack.work, columns=list(WORK_COLUMNS)).query("end == 'cancelled'")
    assert np.allclose(rows["ended_s"] - rows["taken_s"], np.where(rows["send"] == 4, 0.25, 0.5), atol=1e-5)
    config = asking(attempt_s=0.5)
    took = run(config, [Fault(at_s=5.0, action="hang", target=f"r{n}", for_s=1000.0) for n in (1, 2, 3)]).load.sojourn_s()
    assert max(took) == pytest.approx(1.5)  # three attempts, no pause


def test_a_post_is_sent_again_only_where_nobody_listened():
    config = asking()
    config.workload.post_share = 0.5
    planned = build_schedule(config.workload, config.seed)
    is_post = (planned["method"] == "POST").to_numpy()
    sends, _ = columns(run(config, error(0.5), planned))
    assert (sends[is_post] == 1).all() and (sends[~is_post] > 1).any()
    config.load.retries.post = True
    sends, _ = columns(run(config, error(0.5), planned))
    assert (sends[is_post] > 1).any()
    config.load.retries = ClientRetrySettings(max_attempts=9)
    sends, outcome = columns(run(config, [Fault(at_s=5.0, action="kill", target="router", for_s=3.0)], planned))
    assert (sends[is_post] > 1).any() and (outcome[is_post & (sends > 1)] != REFUSED).any()


def test_without_retries_nothing_is_as_it_would_not_have_been():
    plain, asked_once = asking(), asking()
    plain.load.retries = asked_once.load.retries = ClientRetrySettings()
    asked_once.load.retries = ClientRetrySettings(max_attempts=2, budget=0.0)
    first, second = run(plain, error(0.3)), run(asked_once, error(0.3))
    assert not hasattr(first.records, "sends") and set(second.records.sends) == {1}
    for name in ("completed_s", "outcome", "status", "replica"):
        assert getattr(first.records, name) == getattr(second.records, name)


# -- what others have reported


@pytest.mark.parametrize(("budget", "growth"), [(None, 3.0), (0.1, 1.1)])
def test_three_attempts_triple_a_load_that_is_refused_and_a_client_side_budget_of_a_tenth_leaves_1_1(budget, growth):
    """Google, Site Reliability Engineering (2016), chapter 21: "just below 3X" of what was asked with three attempts a
    request, and 1.1 with a retry ratio of 10 % for each client."""
    stack = run(asking(ledger="never", budget=budget), error())
    sends, outcome = columns(stack)
    assert set(outcome) == {HTTP_ERROR}
    assert sends.mean() == pytest.approx(growth, rel=0.01)


def in_layers(attempts):
    """Attempts at a database that answers nothing but errors, for each request: client, router and the router of a second
    tier try so often each, and know nothing of each other."""
    retry = RetrySettings(max_attempts=attempts, budget_ratio=10.0, budget_min_per_s=1e6)
    config = asking(0.01, router=RouterConfig(retry=retry), ledger="never", max_attempts=attempts)
    config.workload.duration_s = 60.0
    config.tier = TierConfig(replicas=4, router=RouterSettings(retry=retry), replica=ReplicaConfig(1000, 1000))
    config.tier.router.health.enabled = config.tier.router.ejection.enabled = False
    stack = run(config, [Fault(at_s=0.0, action="error", target=f"b{n}", for_s=1000.0, rate=1.0) for n in range(1, 5)])
    return stack.tier.calls()["attempts"] / stack.load.asked


@pytest.mark.parametrize(("attempts", "at_the_database"), [(1, 1), (3, 27), (4, 64)])
def test_three_layers_of_retries_multiply(attempts, at_the_database):
    """Google, Site Reliability Engineering (2016), chapter 22: three layers of four attempts make 64 (4^3) of one action;
    Brooker, Timeouts, retries and backoff with jitter (Amazon Builders' Library, 2019): five of three make 243 (3^5), so
    that three make 27."""
    assert in_layers(attempts) == at_the_database


def storm(rate_rps, **retries):
    """Goodput over offered before, and in the last 30 s: ten servers of 10 a second, whose clients try three times for
    1 s each, and 10 s with a fifth of the capacity; a server does not notice that its client has gone."""
    config = configured(
        rate_rps / 100, replicas=10, mean_ms=100.0, requests=rate_rps * 120, policy={"name": "random"}, on_hangup="finish",
    )  # fmt: skip
    config.router = RouterConfig(retry=RetrySettings(max_attempts=1), timeouts=TimeoutSettings(attempt_s=30, overall_s=30))
    config.router.ejection.enabled = False
    config.load.timeout_s = 30.0
    config.router.limits.standing_share = 0.0  # which would end it
    config.load.retries = ClientRetrySettings(**{"max_attempts": 3, "attempt_s": 1.0, "backoff_base_s": 0.0, **retries})
    faults = [Fault(at_s=30, action="slow", target=f"r{n}", for_s=10, factor=5.0) for n in range(1, 11)]
    ok = np.frombuffer(run(config, faults).records.outcome, np.int8) == OK
    asked = np.linspace(0, 120, len(ok))
    return ok[(asked > 10) & (asked < 30)].mean(), ok[asked > 90].mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate_rps", "retries", "recovers"),
    [(25.0, {}, True), (40.0, {}, False), (50.0, {}, False), (50.0, {"budget": 0.1}, True)],
)
def test_clients_keep_a_fleet_down_above_its_hidden_capacity_unless_they_have_a_budget(rate_rps, retries, recovers):
    """Bronson et al., Metastable failures in distributed systems, HotOS 2021: where work is amplified threefold, a fleet
    of 100 requests a second is vulnerable above 33.3, its hidden capacity, and stays down though the trigger is gone."""
    before, after = storm(rate_rps, **retries)
    assert before > 0.95
    assert (after > 0.95) if recovers else (after < 0.5)
