"""What may be in flight: Gradient2 by hand, and what a client hears beyond a limit."""

import random

import pytest

from services.router import policies
from services.router.dispatch import Dispatcher
from services.router.fleet import Fleet
from services.router.limits import Gradient2
from services.router.settings import LimitSettings, RouterSettings
from services.router.waiting import UnboundError


def test_the_limit_moves_as_its_source_computes_it():
    """By hand, after Gradient2Limit.java: 0.8 l + 0.2 (g l + 4), g = 1.5 long / last, within 0.5 and 1."""
    limit = Gradient2(LimitSettings(adaptive=True, least=1))
    for latency_s, in_flight, value in [
        (0.1, 20, 20.8),  # g = 1
        (0.1, 20, 21.6),
        (0.4, 20, 21.32),  # long 0.2: g = 0.75
        (2.0, 20, 19.988),  # long 0.65: g = 0.5 at least
        (0.1, 9, 19.988),  # less than half is used: it does not grow
        (0.1, 20, 20.788),  # long 2.8 / 6, more than twice the last: g = 1
    ]:
        limit.update(latency_s, in_flight)
        assert limit.value == pytest.approx(value, abs=1e-9)
    assert limit.admits(19) and not limit.admits(20)


def test_after_its_warm_up_the_long_mean_forgets_exponentially():
    limit = Gradient2(LimitSettings(adaptive=True, least=1, long_windows=599))
    for _ in range(10):
        limit.update(0.1, 20)
    assert limit.value == pytest.approx(28.0)
    limit.update(0.4, 20)  # long 0.1 + 0.3 * 2 / 600 = 0.101: g = max(0.5, 0.37875)
    assert limit.value == pytest.approx(28.0 + 0.2 * (14.0 + 4.0 - 28.0))


def test_the_limit_stays_within_its_bounds_whatever_latency_does():
    limit = Gradient2(LimitSettings(adaptive=True, initial=20, least=10, most=25))
    for _ in range(50):
        limit.update(0.1, 25)
    assert limit.value == 25
    for number in range(1, 50):
        limit.update(0.1 * 2**number, 25)
    assert limit.value == 10


def test_a_window_is_averaged_and_one_of_a_few_answers_goes_on_until_they_are_enough():
    limit = Gradient2(LimitSettings(adaptive=True))
    for number in range(10):
        limit.on_answer(0.1, 20, number * 0.01)
    assert limit.value == 20, "the window has not ended"
    limit.on_answer(0.1, 20, 1.0)
    assert limit.value == pytest.approx(20.8)
    for number in range(5):
        limit.on_answer(0.1, 20, 1.0 + number)
    assert limit.value == pytest.approx(20.8)
    for number in range(5):
        limit.on_answer(0.1, 20, 6.0 + number)
    assert limit.value == pytest.approx(21.6), "ten answers in nine seconds: a service so slow has a limit that moves, too"


def dispatching(**limits):
    settings = RouterSettings(limits=LimitSettings(**limits))
    fleet = Fleet(settings.health, settings.ejection, lambda *_, **__: None)
    for id_ in ("r1", "r2"):
        fleet.put(id_, 0.0, url=f"http://{id_}", state="ready")
        fleet.on_check(id_, True, 0.0)
    return Dispatcher(settings, fleet, policies.create("least_request", {}, random.Random(1))), fleet


def test_beyond_the_limit_new_requests_are_refused_and_retries_are_not():
    dispatcher, _ = dispatching(adaptive=True, initial=3, least=3)
    begun = []
    for _ in range(3):
        attempts = dispatcher.open(0.0, idempotent=True)
        begun.append((attempts, dispatcher.choose(attempts, "1", None, 0.0)[0]))
    with pytest.raises(UnboundError) as refused:
        dispatcher.choose(dispatcher.open(0.0, idempotent=True), "2", None, 0.0)
    assert refused.value.reason == "limit"
    dispatcher.choose(begun[0][0], "1", None, 0.0)  # its second attempt
    for _ in range(2):
        dispatcher.finish(begun.pop()[1], "ok", 0.1, 0.1)
    dispatcher.choose(dispatcher.open(0.1, idempotent=True), "3", None, 0.1)


def test_a_replica_with_all_it_may_have_is_left_out_and_where_all_have_it_a_request_is_refused():
    dispatcher, fleet = dispatching(replica_requests=2)
    for number in range(4):
        dispatcher.choose(dispatcher.open(0.0, idempotent=True), str(number), None, 0.0)
    assert [replica.in_flight for replica in fleet.replicas.values()] == [2, 2]
    with pytest.raises(UnboundError) as refused:
        dispatcher.choose(dispatcher.open(0.0, idempotent=True), "5", None, 0.0)
    assert refused.value.reason == "full"
    dispatcher.finish(fleet.replicas["r2"], "ok", 0.1, 0.1)
    replica, _ = dispatcher.choose(dispatcher.open(0.1, idempotent=True), "6", None, 0.1)
    assert replica.id == "r2"


def test_limits_that_contradict_each_other_are_refused_with_both_keys():
    for limits in (LimitSettings(least=30), LimitSettings(initial=300)):
        with pytest.raises(ValueError, match=r"router\.limits\.(least=30.*initial=20|initial=300.*most=200)"):
            RouterSettings(limits=limits).validate()
