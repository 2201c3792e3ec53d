"""The scaler by Erlang's formula, against published values of it, and the service time that it finds."""

import math

import pytest

from services.manager import scalers
from services.manager.erlang import MOST, fewest, in_system, load_of, waits
from services.manager.scalers import Observation, ReplicaLoad


@pytest.mark.parametrize(
    ("servers", "load", "share"),
    [(1, 0.5, 0.5), (2, 1.0, 1 / 3), (3, 2.0, 4 / 9), (5, 4.0, 0.5541), (10, 7.0, 0.2217), (10, 0.0, 0.0)],
)
def test_the_share_that_waits_is_erlangs(servers, load, share):
    # Published tables; (2, 1) and (3, 2) by hand.
    assert waits(servers, load) == pytest.approx(share, abs=1e-4)


def test_means_are_the_known_ones_and_are_found_back():
    assert in_system(2, 1.0) == pytest.approx(4 / 3)
    assert in_system(1, 0.9) == pytest.approx(9.0)
    for servers, load in ((1, 0.9), (4, 3.5), (12, 2.0)):
        assert load_of(servers, in_system(servers, load)) == pytest.approx(load)
    assert load_of(4, 1e6) == pytest.approx(4.0, rel=1e-4), "a line without end: all are busy"


def test_the_fewest_is_the_first_that_keeps_the_objective():
    # Load 2, 50 ms of service, 20 ms of waiting: 70, 92 and 98 % at three, four and five.
    in_time = [1 - waits(n, 2.0) * math.exp(-(n - 2.0) * 0.02 / 0.05) for n in (3, 4, 5)]
    assert [round(share, 2) for share in in_time] == [0.7, 0.92, 0.98]
    assert fewest(2.0, 0.05, 0.02, 0.95, 1) == 5
    assert fewest(2.0, 0.05, 0.02, 0.95, 2) == 3, "of two slots each"
    assert fewest(2.0, 0.05, 0.02, 0.7, 1) == 3


@pytest.mark.parametrize("load", [99_999.0, 1e6, 1e15])
def test_a_load_that_nobody_can_serve_is_answered_at_once(load):
    """Where hardly anything is served, the service time that is found has no end: the loop must not go that far."""
    assert fewest(load, 1.0, 0.02, 0.95, 2) == MOST // 2


def test_replicas_that_all_hang_ask_for_as_many_as_there_may_be_and_hold_nobody_up():
    scaler = scalers.create("queueing", {"window_s": 4.0})
    scaler.decide(seen(2, None, None), 0.0)
    wishes = [scaler.decide(seen(2, 100.0 * (now - 0.5), 100.0 + 1e-9), float(now)) for now in range(1, 9)]
    assert all(each is None or each >= 2 for each in wishes)


def seen(replicas, in_flight, rate_rps, slots=1):
    loads = [ReplicaLoad(f"r{n}", None, slots, True) for n in range(replicas)]
    return Observation(loads, replicas, in_flight, rate_rps)


def wish(replicas, in_flight, rate_rps, **options):
    scaler = scalers.create("queueing", options)
    scaler.decide(seen(replicas, None, None), 0.0)
    return [scaler.decide(seen(replicas, load, rate_rps), float(now)) for now, load in enumerate(in_flight, 1)][-1]


def test_with_the_service_time_it_wants_what_the_formula_says():
    assert wish(5, [2.0] * 9, 40.0, service_ms=50.0) == 5
    assert wish(5, [2.0] * 9, 80.0, service_ms=50.0) == 7


@pytest.mark.parametrize("replicas", [3, 4, 8])
def test_it_finds_the_service_time_from_the_line(replicas):
    # 40 a second of 50 ms: the number does not depend on how many there are now.
    assert wish(replicas, [in_system(replicas, 2.0)] * 9, 40.0) == 5


def test_it_finds_the_service_time_in_a_line_that_grows_without_end():
    # One server of 50 ms does 20 of the 40 a second: twenty more wait every second.
    assert wish(1, [10 + 20 * n for n in range(9)], 40.0) == 5


def test_without_requests_it_wants_nobody_and_without_numbers_it_cannot_tell():
    assert wish(3, [0.0] * 5, 0.0) == 0.0
    assert wish(3, [None] * 5, 1.0) is None
    assert wish(0, [1.0] * 5, 1.0) is None
