"""The retry budget and the rules of one request's attempts, on a clock of the test's own."""

import random

import pytest

from services.router import policies
from services.router.budgets import budget_of
from services.router.dispatch import Dispatcher
from services.router.fleet import Fleet
from services.router.retries import IDEMPOTENT, Attempts
from services.router.settings import EjectionSettings, RetrySettings, RouterSettings, TimeoutSettings


def budget(**settings):
    return budget_of(RetrySettings(**settings))


def spent(held, now, most=10_000):
    return next(count for count in range(most) if not held.take(now))


@pytest.mark.parametrize("requests", [0, 50, 1000])
def test_retries_are_a_fifth_of_the_windows_requests_plus_the_floor(requests):
    held = budget(budget_ratio=0.2, budget_min_per_s=3.0, budget_window_s=10.0)
    for index in range(requests):
        held.on_request(index * 9 / max(requests, 1))
    assert spent(held, 9.0) == requests // 5 + 30


def test_requests_and_retries_leave_the_budget_with_the_window():
    held = budget(budget_ratio=0.2, budget_min_per_s=0.0, budget_window_s=10.0)
    for _ in range(100):
        held.on_request(0.0)
    assert spent(held, 1.0) == 20
    assert not held.take(9.0)
    assert not held.take(12.0)  # the requests are gone, too
    for _ in range(100):
        held.on_request(12.0)
    assert spent(held, 12.5) == 20


def test_a_steady_stream_of_failures_costs_a_fifth_more_and_no_storm():
    held, retries = budget(budget_min_per_s=0.0), 0
    for index in range(10_000):
        now = index / 100
        held.on_request(now)
        retries += held.take(now)
    assert retries == pytest.approx(2000, rel=0.05)


def attempts(idempotent=True, now=0.0, held=None, **timeouts):
    return Attempts(
        RetrySettings(max_attempts=3), TimeoutSettings(**timeouts), held or budget(), idempotent=idempotent, now=now
    )


def test_an_attempt_never_outlasts_the_whole_request():
    request = attempts(attempt_s=2.0, overall_s=3.0)
    assert request.begin("r1", 0.0) == 2.0
    assert request.begin("r2", 2.0) == pytest.approx(1.0)
    assert not request.may_retry("error", 3.0, sent=True, replayable=True, others=True)


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ({}, True),
        ({"outcome": "overloaded"}, True),
        ({"outcome": "ok"}, False),
        ({"outcome": "cancelled"}, False),
        ({"replayable": False}, False),
        ({"others": False}, True),
        ({"outcome": "overloaded", "others": False}, False),
    ],
)
def test_when_an_idempotent_request_is_sent_again(changed, again):
    request = attempts()
    request.begin("r1", 0.0)
    what = {"outcome": "error", "sent": True, "replayable": True, "others": True} | changed
    assert request.may_retry(what.pop("outcome"), 0.1, **what) is again


def test_a_post_is_sent_again_only_while_nothing_was_sent():
    request = attempts(idempotent=False)
    request.begin("r1", 0.0)
    assert not request.may_retry("error", 0.1, sent=True, replayable=True, others=True)
    assert request.may_retry("error", 0.1, sent=False, replayable=True, others=True)


def test_three_attempts_are_the_most():
    request = attempts()
    for number in range(1, 4):
        request.begin(f"r{number}", 0.0)
        assert request.may_retry("error", 0.1, sent=True, replayable=True, others=True) is (number < 3)


def test_a_refused_retry_is_not_paid_for():
    held = budget(budget_min_per_s=0.1, budget_ratio=0.0)  # one in ten seconds
    request = attempts(held=held)
    request.begin("r1", 0.0)
    assert not request.may_retry("overloaded", 0.1, sent=True, replayable=True, others=False)
    assert request.may_retry("error", 0.1, sent=True, replayable=True, others=True)
    assert not request.may_retry("error", 0.1, sent=True, replayable=True, others=True)


def test_the_idempotent_methods_are_rfc_9110s():
    assert {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"} == IDEMPOTENT


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("health", "interval_s", 0),
        ("ejection", "max_share", 1.5),
        ("retry", "max_attempts", 0),
        ("timeouts", "idle_s", -1),
    ],
)
def test_settings_out_of_bounds_are_refused_by_name(section, name, value):
    settings = RouterSettings()
    setattr(getattr(settings, section), name, value)
    with pytest.raises(ValueError, match=rf"router\.{section}\.{name}={value:g}: must be between"):
        settings.validate()


@pytest.mark.parametrize(
    ("section", "values", "words"),
    [
        ("timeouts", {"attempt_s": 60.0}, r"router\.timeouts\.attempt_s=60: .* router\.timeouts\.overall_s=8"),
        ("timeouts", {"overall_s": 1.0}, r"router\.timeouts\.attempt_s=2: .* router\.timeouts\.overall_s=1;"),
        ("ejection", {"base_s": 30.0}, r"router\.ejection\.base_s=30: .* router\.ejection\.max_s=20"),
        ("ejection", {"max_share": 0.0}, r"router\.ejection\.max_share=0: .*router\.ejection\.enabled=false"),
    ],
)
def test_a_setting_that_another_one_would_cap_without_a_word_is_refused(section, values, words):
    settings = RouterSettings()
    for name, value in values.items():
        setattr(getattr(settings, section), name, value)
    with pytest.raises(ValueError, match=words):
        settings.validate()


def tried(max_attempts, replicas, outcome="error"):
    """The replicas that a request is sent to that always fails, in order."""
    settings = RouterSettings(
        retry=RetrySettings(max_attempts=max_attempts, budget_min_per_s=1000.0), ejection=EjectionSettings(enabled=False)
    )
    fleet = Fleet(settings.health, settings.ejection, lambda *_, **__: None)
    for number in range(1, replicas + 1):
        fleet.put(f"r{number}", 0.0, url=f"http://r{number}")
        fleet.on_check(f"r{number}", True, 0.0)
    dispatcher = Dispatcher(settings, fleet, policies.create("round_robin", {}, random.Random(1)))
    attempts, again, chosen = dispatcher.open(0.0, idempotent=True), True, []
    while again:
        replica, _ = dispatcher.choose(attempts, "1", None, 0.0)
        again = dispatcher.follows(attempts, outcome, 0.0, sent=True, replayable=True)
        dispatcher.finish(replica, outcome, 0.01, 0.0, "reset")
        chosen.append(replica.id)
    return chosen


@pytest.mark.parametrize(("max_attempts", "replicas"), [(1, 3), (3, 1), (3, 3), (10, 4)])
def test_a_failing_request_is_sent_as_often_as_it_says_and_to_every_replica_first(max_attempts, replicas):
    chosen = tried(max_attempts, replicas)
    assert len(chosen) == max_attempts
    assert len(set(chosen[:replicas])) == min(max_attempts, replicas)


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_replica_that_says_it_is_full_is_not_asked_again(replicas):
    assert sorted(tried(10, replicas, "overloaded")) == [f"r{number}" for number in range(1, replicas + 1)]


def test_nobody_in_rotation_is_no_reason_to_spend_the_budget():
    settings = RouterSettings()
    fleet = Fleet(settings.health, settings.ejection, lambda *_, **__: None)
    fleet.put("r1", 0.0, url="http://r1")
    fleet.on_check("r1", True, 0.0)
    dispatcher = Dispatcher(settings, fleet, policies.create("round_robin", {}, random.Random(1)))
    attempts = dispatcher.open(0.0, idempotent=True)
    dispatcher.choose(attempts, "1", None, 0.0)
    fleet.remove("r1", 0.1)
    assert not dispatcher.follows(attempts, "error", 0.1, sent=True, replayable=True)  # its own answer is passed on
