"""The retry budget and the rules of one request's attempts, on a clock of the test's own."""

import pytest

from services.router.retries import IDEMPOTENT, Attempts, RetryBudget
from services.router.settings import RetrySettings, RouterSettings, TimeoutSettings


def budget(**settings):
    return RetryBudget(RetrySettings(**settings))


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
        ({"others": False}, False),
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
    assert not request.may_retry("error", 0.1, sent=True, replayable=True, others=False)
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
