"""Two attempts of one request, on a clock of the test's own: who answers, what ends, and how often."""

import errno
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.router.settings import (
    EjectionSettings,
    HedgingSettings,
    LimitSettings,
    RetrySettings,
    RouterSettings,
    TimeoutSettings,
)
from tests.services.router.staged import Stage

HEDGING = HedgingSettings(enabled=True, budget_ratio=1.0)
ADAPTIVE = TimeoutSettings(adaptive_factor=2.0, adaptive_percentile=0.9, adaptive_floor_s=0.05)
AFTER_S = 0.11
"""What has taken 0.1 s so far is hedged by then, and not before 0.1 s."""


def hedging(monkeypatch, replicas=3, **sections):
    defaults: dict[str, Any] = {"hedging": HEDGING, "ejection": EjectionSettings(enabled=False)}
    made = Stage(monkeypatch, RouterSettings(**(defaults | sections)), replicas)
    made.learns()
    return made


def totals(stage):
    return {name: stage.proxy.totals[name] for name in ("hedges", "hedge_wins", "retries", "cancelled")}


def test_a_slow_one_is_asked_elsewhere_and_the_first_answer_wins(monkeypatch):
    stage = hedging(monkeypatch)
    client = stage.ask()
    stage.passes(client, 0.09)
    assert len(stage.under_way) == 1
    stage.passes(client, AFTER_S - 0.09)
    first, second = stage.under_way
    assert first.url != second.url and b"X-Aegis-Attempt: 2" in second.sent
    second.answers()
    assert client.ends == 1 and b" 200 " in client.transport.written
    assert b"X-Aegis-Attempts: 2" in client.transport.written and b"X-Aegis-Hedge: won" in client.transport.written
    assert (first.fate, second.fate) == ("closed", "released")
    assert sorted(outcome for _, outcome in stage.ends) == ["cancelled", "ok"] and stage.in_flight == 0
    assert totals(stage) == {"hedges": 1, "hedge_wins": 1, "retries": 0, "cancelled": 0}


def test_the_first_may_still_win_and_the_second_is_cancelled(monkeypatch):
    stage = hedging(monkeypatch)
    client = stage.ask()
    stage.passes(client, AFTER_S)
    first, second = stage.under_way
    first.answers()
    assert client.ends == 1 and b"X-Aegis-Hedge: lost" in client.transport.written
    assert (first.fate, second.fate) == ("released", "closed") and stage.in_flight == 0
    assert totals(stage)["hedge_wins"] == 0


def test_an_error_is_no_answer_while_the_other_may_bring_a_good_one(monkeypatch):
    stage = hedging(monkeypatch, retry=RetrySettings(max_attempts=2))
    client = stage.ask()
    stage.passes(client, AFTER_S)
    first, second = stage.under_way
    second.answers(500)
    assert client.ends == 0
    first.answers()
    assert client.ends == 1 and b" 200 " in client.transport.written and stage.in_flight == 0


def test_where_both_fail_there_is_one_answer(monkeypatch):
    stage = hedging(monkeypatch, retry=RetrySettings(max_attempts=2))
    client = stage.ask()
    stage.passes(client, AFTER_S)
    first, second = stage.under_way
    first.breaks()
    assert client.ends == 0
    second.answers(500)
    assert client.ends == 1 and client.transport.written.count(b"HTTP/1.1 ") == 1
    assert b" 500 " in client.transport.written and stage.in_flight == 0
    assert sorted(outcome for _, outcome in stage.ends) == ["error", "error"]


def test_the_losers_replica_is_not_blamed(monkeypatch):
    stage = hedging(monkeypatch, replicas=2, ejection=EjectionSettings(consecutive_failures=1))
    for _ in range(5):
        client = stage.ask()
        stage.passes(client, AFTER_S)
        stage.under_way[1].answers()
    assert {replica.state for replica in stage.fleet.replicas.values()} == {"ready"}
    assert sum(replica.failures_total for replica in stage.fleet.replicas.values()) == 0


@pytest.mark.parametrize(
    ("asked", "settings"),
    [
        ({"method": b"POST"}, {}),
        ({"method": b"PUT", "body": b"x" * 100}, {"retry": RetrySettings(max_body_bytes=10)}),
        ({}, {"retry": RetrySettings(max_attempts=1)}),
        ({}, {"replicas": 1}),
        ({}, {"hedging": HedgingSettings(enabled=True, budget_ratio=0.0)}),
        ({}, {"hedging": HedgingSettings()}),
    ],
    ids=["a POST", "a body that is not kept", "one attempt", "one replica", "no budget", "off"],
)
def test_who_gets_no_second_attempt(monkeypatch, asked, settings):
    stage = hedging(monkeypatch, **settings)
    client = stage.ask(**asked)
    stage.passes(client, 1.0)
    assert len(stage.under_way) == 1
    stage.under_way[0].answers()
    assert client.ends == 1 and b"X-Aegis-Hedge" not in client.transport.written


def test_a_body_that_is_kept_goes_to_both(monkeypatch):
    stage = hedging(monkeypatch)
    client = stage.ask(b"PUT", b"the whole of it")
    stage.passes(client, AFTER_S)
    assert all(connection.sent.endswith(b"the whole of it") for connection in stage.under_way)
    assert len(stage.under_way) == 2


def test_hedges_are_a_share_of_the_requests(monkeypatch):
    """Each of 200 requests is slow: with Finagle's sum of 5 % one in twenty of the last ten seconds' is asked twice."""
    stage = hedging(monkeypatch, hedging=HedgingSettings(enabled=True, percentile=0.5, budget_ratio=0.05))
    clients = [stage.ask() for _ in range(200)]
    for client in clients:
        stage.passes(client, 0.0)
    stage.clock.now += AFTER_S
    for client in clients:
        stage.passes(client, 0.0)
    assert stage.proxy.totals["hedges"] == (200 + 40) // 20
    for connection in stage.under_way:
        if connection.asker is not None:
            connection.answers()
    assert stage.in_flight == 0 and all(client.ends == 1 for client in clients)


def adaptive(monkeypatch, **sections):
    return hedging(monkeypatch, **({"hedging": HedgingSettings(), "timeouts": ADAPTIVE} | sections))


def test_an_attempt_that_takes_twice_as_long_as_nine_in_ten_is_made_elsewhere(monkeypatch):
    stage = adaptive(monkeypatch)
    client = stage.ask()
    stage.passes(client, 0.19)
    assert len(stage.pool.made) == 1
    stage.passes(client, 0.03)
    first, second = stage.pool.made
    assert first.fate == "closed" and second.asker is not None
    second.answers()
    assert client.ends == 1 and sorted(outcome for _, outcome in stage.ends) == ["error", "ok"]


@pytest.mark.parametrize("asked", [{"method": b"POST"}, {}], ids=["a POST", "no attempt is left"])
def test_one_that_may_not_be_made_again_keeps_its_whole_time(monkeypatch, asked):
    retry = RetrySettings(max_attempts=3 if asked else 1)
    stage = adaptive(monkeypatch, retry=retry)
    client = stage.ask(**asked)
    stage.passes(client, 1.99)
    assert len(stage.pool.made) == 1 and client.ends == 0
    stage.passes(client, 0.02)
    assert client.ends == 1 and b" 504 " in client.transport.written


def test_a_retry_waits_for_its_pause_and_a_client_that_hangs_up_meanwhile_ends_it(monkeypatch):
    retry = RetrySettings(backoff_base_s=1.0, backoff_max_s=1.0, budget="concurrent", budget_min_concurrent=1)
    for hangs_up in (False, True):
        stage = hedging(monkeypatch, hedging=HedgingSettings(), retry=retry)
        client = stage.ask()
        stage.under_way[0].breaks()
        assert stage.under_way == [] and client.ends == 0 and stage.in_flight == 0
        if hangs_up:
            client.hang_up()
        stage.passes(client, 1.0)
        assert len(stage.under_way) == (0 if hangs_up else 1)
        if not hangs_up:
            stage.under_way[0].answers()
            assert client.ends == 1
        other = stage.ask()  # the budget of one is free again
        stage.under_way[0].breaks()
        assert other.ends == 0
        other.hang_up()


@pytest.mark.parametrize(
    ("sections", "spent"),
    [
        ({"limits": LimitSettings(replica_requests=1), "replicas": 2}, 0),
        ({"retry": RetrySettings(budget_ratio=0.0, budget_min_per_s=0.0)}, 0),
        ({}, 1),
    ],
    ids=["no replica has room", "the budget of retries is spent", "one that is made"],
)
def test_a_hedge_that_is_not_made_is_neither_told_of_nor_paid_for(monkeypatch, sections, spent):
    stage = hedging(monkeypatch, **sections)
    first, _ = stage.ask(), stage.ask()
    stage.passes(first, AFTER_S)
    dispatcher = stage.proxy._means.dispatcher
    assert dispatcher._patience._budget._retries == dispatcher._budget._retries == stage.proxy.totals["hedges"] == spent
    stage.under_way[0].answers()
    assert first.ends == 1 and (b"X-Aegis-Hedge: lost" in first.transport.written) is bool(spent)


@pytest.mark.parametrize(("budget", "attempts"), [("throttle", 1), ("concurrent", 3)])
def test_the_budgets_of_others_decide_as_there_once_an_attempt_has_failed(monkeypatch, budget, attempts):
    """Two tokens (gRPC): the first failure leaves one, which is not more than half. One retry at a time (Envoy)."""
    retry = RetrySettings(budget=budget, throttle_tokens=2, budget_min_concurrent=1)
    stage = hedging(monkeypatch, hedging=HedgingSettings(), retry=retry)
    client = stage.ask()
    while client.exchange is not None:
        stage.under_way[0].breaks()
    assert b"X-Aegis-Attempts: %d\r\n" % attempts in client.transport.written


@pytest.mark.parametrize(
    "ends",
    [{"timeouts": ADAPTIVE}, {"retry": RetrySettings(backoff_base_s=0.02)}],
    ids=["given up early", "after a pause"],
)
def test_a_retry_that_finds_every_slot_taken_waits_in_line_until_its_deadline_and_no_longer(monkeypatch, ends):
    stage = Stage(monkeypatch, RouterSettings(ejection=EjectionSettings(enabled=False), **ends), 2, "late_binding")
    for replica in stage.fleet.replicas.values():
        replica.concurrency = 1
    stage.learns()
    clients = [stage.ask() for _ in range(4)]  # two have a slot, two wait
    if "retry" in ends:
        stage.under_way[0].breaks()
    stage.passes(clients[0], 0.5)
    assert stage.proxy.waiting == 2 and clients[0].deadline.at <= stage.clock.now + 8.0
    stage.passes(clients[0], 10.0)
    assert clients[0].ends == 1 and b"HTTP/1.1 50" in clients[0].transport.written


def test_a_second_attempt_keeps_its_time_though_the_router_had_no_descriptor_for_the_first(monkeypatch):
    stage = hedging(monkeypatch, retry=RetrySettings(max_attempts=2))
    idle, calls = stage.pool.idle, itertools.count()
    monkeypatch.setattr(stage.pool, "idle", lambda url: idle(url) if next(calls) > 0 else None)
    client = stage.ask()
    stage.passes(client, AFTER_S)
    (then,) = stage.pool.waiting
    then(OSError(errno.EMFILE, "too many open files"))
    assert client.deadline.at == client.exchange.attempt.due == pytest.approx(stage.clock.now + 2.0, abs=0.02)
    stage.passes(client, 1.95)  # more than 2 s after the first
    stage.under_way[0].answers()
    assert client.ends == 1 and b" 200 " in client.transport.written


STEP = st.one_of(
    st.tuples(st.just("passes"), st.sampled_from([0.0, 0.05, 0.11, 0.25, 0.6, 2.5])),
    st.tuples(st.sampled_from(["answers", "answers 500", "answers 503", "breaks"]), st.integers(0, 1)),
    st.tuples(st.sampled_from(["hang up", "leave", "refuse"]), st.integers(0, 1)),
)
ASKED = st.sampled_from([(b"GET", b""), (b"PUT", b"kept"), (b"POST", b""), (b"POST", b"kept")])


@given(asked=ASKED, script=st.lists(STEP, max_size=12), backoff_s=st.sampled_from([0.0, 0.2]), refused=st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_each_attempt_ends_once_and_the_request_once(monkeypatch, asked, script, backoff_s, refused):
    """And a POST of which anything was sent is sent to nobody else."""
    stage = hedging(
        monkeypatch,
        retry=RetrySettings(backoff_base_s=backoff_s, budget="concurrent"),
        timeouts=TimeoutSettings(adaptive_factor=5.0, adaptive_percentile=0.9),
        ejection=EjectionSettings(consecutive_failures=2),
    )
    if refused:
        stage.pool.refusing = {"http://r1", "http://r2"}
    with monkeypatch.context():
        client = stage.ask(*asked)
        has_gone = False
        for step, about in script:
            under_way = stage.under_way
            if client.exchange is None:
                break
            if step == "passes":
                stage.passes(client, about)
            elif step == "hang up":
                has_gone = True
                client.hang_up()
            elif step == "refuse":
                stage.pool.refuse()
            elif step == "leave":
                stage.fleet.remove(f"r{about + 1}", stage.clock.now)
                stage.proxy.leave(f"r{about + 1}", [client])
            elif about < len(under_way):
                what, _, status = step.partition(" ")
                getattr(under_way[about], what)(*[int(status)] if status else [])
            exchange = client.exchange
            counted = [] if exchange is None else [each for each in (exchange.attempt, exchange.other) if each]
            assert len(counted) <= 2 and len({id(each.replica) for each in counted}) == len(counted)
        if client.exchange is not None:
            stage.passes(client, 60.0)
    assert client.exchange is None and client.ends == (0 if has_gone else 1)
    begun = sum(stage.fleet.picks.values()) - 40
    assert len(stage.ends) == begun <= 3 and stage.under_way == []
    assert stage.in_flight == 0 and stage.proxy.in_flight == 0
    if asked[0] == b"POST":
        assert sum(connection.sent != b"" for connection in stage.pool.made) <= 1
    budget = stage.proxy._means.dispatcher._budget
    assert (budget._attempts, budget._retries) == (0, 0)
