"""What may be in flight: Gradient2 by hand, and what a client hears beyond a limit."""

import heapq
import random
from collections import deque

import pytest

from services.router import policies
from services.router.dispatch import Dispatcher
from services.router.fleet import Fleet
from services.router.limits import Gradient2, SlowStart
from services.router.policies.late_binding import FOUND
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


def found(slots, windows):
    """The limit after each window of a replica all of whose `slots` are taken, and that is asked for more."""
    limit, values = SlowStart(LimitSettings(adaptive=True, initial=2, least=1, most=1000, queue=1)), []
    for _ in range(windows):
        in_flight = int(limit.value)
        limit.update(0.1 * max(1.0, in_flight / slots), in_flight)
        values.append(limit.value)
    return values


def test_a_limit_that_begins_far_too_low_doubles_until_latency_rises_and_falls_back_to_what_there_is():
    """By hand, of ten slots: sixteen at a time take 1.6 times as long, which two windows must say; then there is room for
    one more than latency says, and a fifth of one a window, as Gradient2 has it."""
    assert found(10, 7) == pytest.approx([4, 8, 16, 16, 11, 11.2, 11.4])
    assert found(200, 12)[6:9] == [256, 512, 512] and 201 < found(200, 12)[9] < 209  # 1.28 times counted as usual
    assert found(1, 4) == pytest.approx([4, 4, 3, 3.2])


def test_a_limit_that_is_not_reached_does_not_grow_and_one_slow_window_ends_nothing():
    limit = SlowStart(LimitSettings(adaptive=True, initial=2, least=1, most=1000, queue=1))
    for latency_s, in_flight, value in [(0.1, 2, 4), (0.1, 3, 4), (0.2, 4, 4), (0.1, 4, 8), (0.2, 8, 8), (0.2, 8, 5)]:
        limit.update(latency_s, in_flight)
        assert limit.value == pytest.approx(value, abs=1e-12)


def test_a_slow_second_long_after_the_start_costs_a_limit_no_more_than_gradient2_takes():
    """By hand: sixteen slots are found, then twelve are used for 500 s. Of two windows ten times as long, which reach the
    limit, the second is a fault: long 0.1 + 0.9 * 2 / 601, g = 0.5, so 0.8 * 16 + 0.2 (8 + 1)."""
    limit = SlowStart(LimitSettings(adaptive=True, initial=2, least=1, most=1000, queue=1))
    for in_flight in [2, 4, 8] + 1000 * [12]:
        limit.update(0.1, in_flight)
    for latency_s, in_flight, value in [(1.0, 12, 16), (1.0, 12, 16), (1.0, 16, 16), (1.0, 16, 14.6), (0.1, 14, 14.8)]:
        limit.update(latency_s, in_flight)
        assert limit.value == pytest.approx(value)


def test_a_fault_amid_the_start_takes_no_more_than_doubling_may_have_been_too_much():
    limit = SlowStart(LimitSettings(adaptive=True, initial=2, least=1, most=1000, queue=1))
    for latency_s, in_flight, value in [(0.1, 2, 4), (0.1, 4, 8), (0.1, 8, 16), (9.0, 16, 16), (9.0, 16, 16 / 3 + 1)]:
        limit.update(latency_s, in_flight)
        assert limit.value == pytest.approx(value)


def waits_in_line(limit, seconds, *, slots=64, rate=400, service_s=0.05, slow=(20.0, 22.0)):
    """Of one replica behind a line: the longest wait in the line, seconds, of those that came in each second."""
    rng, line, under_way, busy = random.Random(1), deque(), [], []
    waits, arrives = [0.0] * seconds, 0.0
    while arrives < seconds:
        if not under_way or arrives <= under_way[0][0]:
            now, arrives = arrives, arrives + rng.expovariate(rate)
            line.append(now)
        else:
            now, began = heapq.heappop(under_way)
            limit.on_answer(now - began, len(under_way) + 1, now)
        while line and limit.admits(len(under_way)):
            came = line.popleft()
            waits[int(came)] = max(waits[int(came)], now - came)
            begins = now if len(busy) < slots else max(now, heapq.heappop(busy))
            ends = begins + service_s * (10 if slow[0] <= begins < slow[1] else 1)
            heapq.heappush(busy, ends)
            heapq.heappush(under_way, (ends, now))
    return waits


def test_two_slow_seconds_of_a_replica_with_a_found_limit_are_over_soon_after_them():
    """20 of its 64 slots are used. It caps at its 64 what the line sends for those two seconds; then that is drained."""
    limit = SlowStart(FOUND)
    waits = waits_in_line(limit, 30)
    assert max(waits[5:20]) < 0.01 and 1 < max(waits[20:23]) < 1.5, "what the fault does"
    assert max(waits[23:]) < 0.01 and 64 < limit.value < 80


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
