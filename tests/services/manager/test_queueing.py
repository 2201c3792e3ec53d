"""The scaler by Erlang's formula, against published values of it, and the service time that it finds."""

import math
from dataclasses import replace

import numpy as np
import pytest

from services.manager import scalers
from services.manager.erlang import MOST, fewest, in_system, load_of, waits
from services.manager.scalers import Observation, ReplicaLoad
from services.manager.scalers.queueing import REQUESTS


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
    assert wish(5, [2.0] * 9, 40.0, service_ms=50.0, wait_ms=20.0) == 5
    assert wish(5, [2.0] * 9, 80.0, service_ms=50.0, wait_ms=20.0) == 7


@pytest.mark.parametrize("replicas", [3, 4, 8])
def test_it_finds_the_service_time_from_the_line(replicas):
    # 40 a second of 50 ms: the number does not depend on how many there are now.
    assert wish(replicas, [in_system(replicas, 2.0)] * 9, 40.0, wait_ms=20.0) == 5


def test_it_finds_the_service_time_in_a_line_that_grows_without_end():
    # One server of 50 ms does 20 of the 40 a second: twenty more wait every second.
    assert wish(1, [10 + 20 * n for n in range(9)], 40.0, wait_ms=20.0) == 5


def test_ten_erlangs_and_calls_of_three_minutes_need_fourteen_agents():
    """The worked example of call centres (callcentrehelper.com, Erlang C Formula): 17.4 % wait, 88.8 % within 20 s."""
    assert waits(14, 10.0) == pytest.approx(0.1741, abs=1e-4)
    assert 1 - waits(14, 10.0) * math.exp(-4 * 20 / 180) == pytest.approx(0.888, abs=1e-3)
    assert wish(14, [10.0] * 9, 200 / 3600, service_ms=180_000.0, wait_ms=20_000.0, share=0.8) == 14


@pytest.mark.parametrize("service_s", [0.01, 0.1, 2.0, 60.0])
def test_without_an_objective_the_number_follows_from_the_load_however_long_requests_take(service_s):
    # By hand: of load 3 all but 10 % x e^-.6 wait no longer than a fifth of their service at six, 4 % x e^-.8 at seven.
    assert wish(5, [in_system(5, 3.0)] * 9, 3.0 / service_s) == 7
    assert wish(5, [in_system(5, 3.0)] * 9, 3.0 / service_s, wait_ms=1e3 * service_s) == 5


def test_an_objective_that_is_given_is_kept_as_it_is():
    short, long = ([wish(5, [in_system(5, 3.0)] * 9, 3.0 / s, wait_ms=100.0) for s in (0.1, 2.0)])
    assert (short, long) == (5, 7), "100 ms are as long as the one is served, and next to nothing for the other"


def test_a_stream_that_lasts_longer_than_the_window_is_not_taken_for_idleness():
    """dstackai/dstack #3825: by requests completed in a minute one that streams for longer asks for nobody."""
    scaler = scalers.create("queueing", {})
    scaler.decide(seen(1, None, None), 0.0)
    wishes = [scaler.decide(seen(1, 1.0, 1.0 if now == 1 else 0.0), float(now)) for now in range(1, 120)]
    assert wishes[0] >= 1 and all(each is None for each in wishes[5:]), "it cannot tell: the number stays"


def windows(rate_rps, startup_s, factor=1.0):
    """How long a second with a few more is still seen, in the run's seconds."""
    scaler = scalers.create("queueing", {"service_ms": 100.0, "time_factor": factor})
    for second in range(400):
        there = seen(4, None if second == 0 else 1.0, 1.3 * rate_rps if second == 200 else rate_rps)
        scaler.decide(replace(there, startup_s=startup_s), float(second))
        text = scaler.why.partition(" ")[0]
        if second > 200 and float(text) == pytest.approx(rate_rps, abs=0.005):
            return second - 200
    return None


@pytest.mark.parametrize(
    ("rate_rps", "startup_s", "window_s"),
    [(24.0, 60.0, 5), (5.0, 60.0, 20), (1.5, 60.0, 60), (1.5, 7.0, 7), (1.5, None, 5), (1.5, 2.0, 5)],
)
def test_the_window_holds_a_hundred_requests_but_is_no_longer_than_a_start(rate_rps, startup_s, window_s):
    assert windows(rate_rps, startup_s) == pytest.approx(window_s, abs=0.15 * window_s)


def test_the_windows_seconds_pass_faster_and_requests_come_as_they_do():
    assert windows(20.0, 60.0, factor=10.0) == 5, "a hundred requests: fifty seconds of the scaler"
    assert windows(20.0, 2.0, factor=10.0) == 2, "a start"


def test_over_a_hundred_requests_the_load_is_off_by_a_seventh_of_itself():
    """Riordan (1951): of calls that come as Poisson's the mean over T varies by sqrt(2 / calls), T far above theirs."""
    rng, load, span_s = np.random.default_rng(1), 3.0, 70.0
    means = []
    for _ in range(2000):
        begins = rng.uniform(-30.0, span_s, rng.poisson(load / 2.0 * (span_s + 30.0)))
        ends = begins + rng.exponential(2.0, len(begins))
        means.append((np.minimum(ends, span_s) - np.maximum(begins, 0.0)).clip(0.0).sum() / span_s)
    exact = math.sqrt(2 / (load / 2.0 * span_s) * (1 - 2.0 / span_s))
    assert np.std(means) / load == pytest.approx(exact, rel=0.06)
    assert exact == pytest.approx(math.sqrt(2 / REQUESTS), rel=0.05)


def test_without_requests_it_wants_nobody_and_without_numbers_it_cannot_tell():
    assert wish(3, [0.0] * 5, 0.0) == 0.0
    assert wish(3, [None] * 5, 1.0) is None
    assert wish(0, [1.0] * 5, 1.0) is None
