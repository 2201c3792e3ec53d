"""Retry budgets do the sums of those that they are named after, on a clock of the test's own."""

import random

import pytest

from services.router import policies
from services.router.budgets import ConcurrentBudget, ThrottleBudget, WindowBudget
from services.router.dispatch import Dispatcher, NoReplicaError
from services.router.fleet import Fleet
from services.router.settings import RetrySettings, RouterSettings


def spent(budget, now, most=1000):
    return next(count for count in range(most) if not budget.take(now))


@pytest.mark.parametrize(
    ("ratio", "min_per_s", "requests", "balance"),
    [(0.2, 10, 0, 100), (0.2, 10, 50, 110), (0.5, 0, 10, 5), (2.0, 0, 3, 6), (0.1, 1, 25, 12), (0.0, 1, 25, 10)],
)
def test_the_window_is_finagles_balance(ratio, min_per_s, requests, balance):
    """RetryBudget(ttl = 10 s): floor((reserve + deposits) / withdrawal), where a deposit is 1,000, a withdrawal 1,000 /
    percentCanRetry and the reserve minRetriesPerSec x 10 withdrawals."""
    budget = WindowBudget(ratio, min_per_s, 10.0)
    for _ in range(requests):
        budget.on_request(0.0)
    assert spent(budget, 0.5) == balance


@pytest.mark.parametrize(("under_way", "allowed"), [(0, 3), (10, 3), (15, 3), (20, 4), (24, 4), (100, 20)])
def test_the_concurrent_one_is_envoys_share_of_what_is_under_way(under_way, allowed):
    """max(budget_percent / 100 x active, min_retry_concurrency), in whole retries, with Envoy's 20 % and 3."""
    budget = ConcurrentBudget(0.2, 3)
    for _ in range(under_way):
        budget.on_start()
    assert spent(budget, 0.0) == allowed
    budget.on_finish("ok", is_retry=True)
    budget.on_start()
    assert spent(budget, 0.0) == 1  # one has ended, one may come


def test_the_throttle_lets_none_pass_from_half_of_the_tokens_on():
    """gRFC A6 with maxTokens 10, tokenRatio 0.1: five failures stop it, one success after that is not enough by itself
    once more failed."""
    budget = ThrottleBudget(10.0, 0.1)
    for left in (9, 8, 7, 6):
        budget.on_finish("error", is_retry=False)
        assert budget.tokens == left and budget.take(0.0)
    budget.on_finish("overloaded", is_retry=False)
    assert budget.tokens == 5 and not budget.take(0.0)
    budget.on_finish("ok", is_retry=False)
    assert budget.tokens == pytest.approx(5.1) and budget.take(0.0)
    budget.on_finish("cancelled", is_retry=True)
    assert budget.tokens == pytest.approx(5.1)
    for _ in range(100):
        budget.on_finish("ok", is_retry=False)
    assert budget.tokens == 10


def test_the_throttle_judges_a_retry_after_the_failure_that_it_would_follow():
    """grpc/grpc, test/core/client_channel/retry_throttle_test.cc: 4 tokens and 1.6 a success."""
    made, _ = dispatcher(budget="throttle", throttle_tokens=4, throttle_ratio=1.6)
    answers = []
    for outcome in ["error", "ok", "error", "error", "error", "error", "error", "ok", "ok", "error", "error", "ok", "error"]:
        attempts = made.open(0.0, idempotent=True)
        replica, _ = made.choose(attempts, "1", None, 0.0)
        if outcome == "error":
            answers.append(made.follows(attempts, outcome, 0.0, sent=True, replayable=True))
        made.finish(replica, outcome, 0.1, 0.0)
    assert answers == [True, True, False, False, False, False, True, False, False]


def test_a_retry_that_fails_makes_room_for_the_next_one_of_its_request():
    """As Envoy does: it takes back its own before it asks whether another fits (`RetryStateImpl::shouldRetry`)."""
    made, _ = dispatcher(budget="concurrent", budget_min_concurrent=1)
    attempts = made.open(0.0, idempotent=True)
    for number in (1, 2, 3):
        replica, _ = made.choose(attempts, "1", None, 0.0)
        again = made.follows(attempts, "error", 0.0, sent=True, replayable=True, is_retry=number > 1)
        made.finish(replica, "error", 0.1, 0.0, is_retry=number > 1)
        assert again is (number < 3)  # max_attempts


def dispatcher(replicas=2, **retry):
    settings = RouterSettings(retry=RetrySettings(**retry))
    fleet = Fleet(settings.health, settings.ejection, lambda *_, **__: None)
    for number in range(1, replicas + 1):
        fleet.put(f"r{number}", 0.0, url=f"http://r{number}")
        fleet.on_check(f"r{number}", True, 0.0)
    return Dispatcher(settings, fleet, policies.create("round_robin", {}, random.Random(1)), random.Random(1)), fleet


def failing(made, fleet, requests):
    """So many requests fail at once; those that may be tried again."""
    attempts = [made.open(0.0, idempotent=True) for _ in range(requests)]
    replicas = [made.choose(each, "1", None, 0.0)[0] for each in attempts]
    again = [made.follows(each, "error", 0.0, sent=True, replayable=True) for each in attempts]
    for replica in replicas:
        made.finish(replica, "error", 0.1, 0.0)
    return [each for each, may in zip(attempts, again, strict=True) if may]


def test_a_retry_that_is_never_made_is_given_back():
    made, fleet = dispatcher(budget="concurrent", budget_ratio=0.0, budget_min_concurrent=3)
    waiting = failing(made, fleet, 10)
    assert len(waiting) == 3
    assert failing(made, fleet, 10) == []
    for id_ in list(fleet.replicas):
        fleet.remove(id_, 0.0)
    for attempts in waiting:
        with pytest.raises(NoReplicaError):
            made.choose(attempts, "1", None, 0.0)
        attempts.forgo()
        attempts.forgo()  # twice costs nothing
    fleet.put("r9", 0.0, url="http://r9")
    fleet.on_check("r9", True, 0.0)
    assert len(failing(made, fleet, 10)) == 3


def test_retries_that_have_ended_make_room_for_others():
    made, fleet = dispatcher(budget="concurrent", budget_ratio=0.0, budget_min_concurrent=3)
    for attempts in failing(made, fleet, 10):
        replica, _ = made.choose(attempts, "1", None, 0.0)
        made.finish(replica, "ok", 0.1, 0.1, is_retry=True)
    assert len(failing(made, fleet, 10)) == 3


def test_the_pauses_before_retries_double_and_end_before_the_request_does():
    made, _ = dispatcher(max_attempts=10, backoff_base_s=1.0, backoff_max_s=4.0, budget_min_per_s=1000.0)
    pauses = {}
    for _ in range(300):
        attempts = made.open(0.0, idempotent=True)
        for number in range(1, 5):
            made.choose(attempts, "1", None, 0.0)
            assert made.follows(attempts, "error", 0.0, sent=True, replayable=True)
            pauses.setdefault(number, []).append(attempts.pause_s)
        assert not made.follows(attempts, "error", 0.0, sent=True, replayable=True)  # one waits already
        made.choose(attempts, "1", None, 7.99)
        late = [made.follows(attempts, "error", 7.99, sent=True, replayable=True), attempts.pause_s]
        assert late[0] is (7.99 + late[1] < 8.0)
    assert [max(pauses[number]) for number in (1, 2, 3, 4)] == pytest.approx([1, 2, 4, 4], rel=0.05)
    assert [min(pauses[number]) for number in (1, 2, 3, 4)] == pytest.approx([0, 0, 0, 0], abs=0.05)


@pytest.mark.parametrize(("other_replica", "same"), [(True, {False}), (False, {False, True})])
def test_a_retry_goes_elsewhere_or_to_whomever_the_policy_picks(other_replica, same):
    seen = set()
    for others_between in (0, 1):
        made, _ = dispatcher(other_replica=other_replica)
        attempts = made.open(0.0, idempotent=True)
        first, _ = made.choose(attempts, "1", None, 0.0)
        assert made.follows(attempts, "error", 0.0, sent=True, replayable=True)
        for _ in range(others_between):
            made.choose(made.open(0.0, idempotent=True), "2", None, 0.0)
        seen.add(made.choose(attempts, "1", None, 0.0)[0] is first)
    assert seen == same
