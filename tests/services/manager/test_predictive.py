"""The forecasting scaler: its smoothing against a published example, and how far ahead it looks."""

import random

import pytest

from services.manager import scalers
from services.manager.scalers import Observation, ReplicaLoad
from services.manager.scalers.predictive import Smoothing


def test_the_smoothing_is_that_of_a_published_example():
    # NIST/SEMATECH e-Handbook of Statistical Methods, 6.4.3.4: alpha .3623, gamma 1, first trend .8; periods 11 to 15.
    smoothing = Smoothing(0.3623, 1.0, 1.0, 0.0, 0)
    smoothing.begin(6.4, 0.8)
    for value in (5.6, 7.8, 8.8, 11.0, 11.6, 16.7, 15.3, 21.6, 22.4):
        smoothing.add(value)
    ahead = [smoothing.ahead(steps) for steps in range(1, 6)]
    assert ahead == pytest.approx([25.8, 28.7, 31.7, 34.6, 37.6], abs=0.06)


def test_by_hand_with_damping():
    smoothing = Smoothing(0.5, 0.5, 0.5, 0.0, 0)
    for value in (10.0, 12.0, 14.0):
        smoothing.add(value)
    # levels 10, 11, 12.625; trends 0, .5, .5 x 1.625 + .5 x .25 = .9375; ahead 2: + (.5 + .25) x .9375
    assert smoothing.ahead(2) == pytest.approx(12.625 + 0.75 * 0.9375)
    assert Smoothing(0.5, 0.5, 0.5, 0.0, 0).ahead(1) is None


def test_a_season_is_learnt():
    smoothing = Smoothing(0.3, 0.1, 0.9, 0.5, 4)
    for _ in range(40):
        for value in (10.0, 20.0, 10.0, 0.0):
            smoothing.add(value)
    assert [smoothing.ahead(steps) for steps in (1, 2, 3, 4)] == pytest.approx([10, 20, 10, 0], abs=0.5)


def seen(in_flight, startup_s=None, replicas=2):
    loads = [ReplicaLoad(f"r{n}", None, 2, True) for n in range(replicas)]
    return Observation(loads, replicas, in_flight, None, startup_s)


def wishes(loads, **more):
    scaler = scalers.create("predictive", {"target": 0.5, "damping": 1.0, "startup_s": 0.0, "step_s": 1.0})
    scaler.decide(seen(None), 0.0)
    return [scaler.decide(seen(load, **more), float(now)) for now, load in enumerate(loads, 1)]


def test_a_rising_load_is_met_before_it_is_there():
    rising = [float(n) for n in range(1, 60)]
    # one request in flight more a second, one a replica: ten seconds ahead it is ten more
    assert wishes(rising, startup_s=10.0)[-1] == pytest.approx(59 + 10, abs=0.5)
    assert wishes(rising, startup_s=2.0)[-1] == pytest.approx(59 + 2, abs=0.5)
    assert wishes(rising)[-1] == pytest.approx(59, abs=0.5)


def test_a_falling_forecast_takes_nobody_away_who_is_needed_now():
    assert wishes([100.0 - n for n in range(60)], startup_s=10.0)[-1] == pytest.approx(41.0)


def test_steps_are_means_however_long_the_looks_are():
    slow = scalers.create("predictive", {"step_s": 2.0, "startup_s": 4.0, "damping": 1.0, "target": 0.5})
    fast = scalers.create("predictive", {"step_s": 2.0, "startup_s": 4.0, "damping": 1.0, "target": 0.5})
    slow.decide(seen(None), 0.0)
    fast.decide(seen(None), 0.0)
    for number in range(1, 121):
        last = fast.decide(seen(0.25 * number), 0.5 * number)
        if number % 8 == 0:
            rare = slow.decide(seen(0.25 * (number - 3.5)), 0.5 * number)
    assert last is not None and rare is not None
    assert last == pytest.approx(30.0 + 2.0, abs=0.6)
    assert rare == pytest.approx(last, rel=0.1)


@pytest.mark.parametrize("look_s", [1.0, 3.0, 20.0])
def test_however_rare_the_looks_are_a_rising_load_is_met_before_it_is_there(look_s):
    """One request in flight more a second, one a replica, and a start of two looks; in steps of a second."""
    scaler = scalers.create("predictive", {"target": 0.5, "damping": 1.0})
    scaler.decide(seen(None), 0.0)
    for number in range(1, 60):
        wish = scaler.decide(seen(look_s * number, startup_s=2 * look_s), look_s * number)
    assert wish == pytest.approx(look_s * (59 + 2), rel=0.01)


@pytest.mark.parametrize("startup_s", [2.0, 10.0, 60.0, 300.0])
def test_without_a_step_a_rising_load_is_met_however_long_a_start_takes(startup_s):
    """One request in flight more a second, one a replica."""
    scaler = scalers.create("predictive", {"target": 0.5, "damping": 1.0})
    scaler.decide(seen(None), 0.0)
    last = int(40 * startup_s)
    for number in range(1, last):
        # Until one has been measured, it is taken for 5 s.
        wish = scaler.decide(seen(number - 0.5, startup_s=startup_s if number > 5 else None), float(number))
    assert wish == pytest.approx(last + startup_s, rel=0.02)


def test_noise_that_is_shorter_than_a_start_is_no_trend():
    """Ten in flight now and then, as of few long requests: of a minute's start it makes a third of what it does by seconds."""
    rng = random.Random(1)
    loads = [rng.choice((0.0, 0.0, 10.0)) for _ in range(600)]
    most = {}
    for step_s in (0.0, 1.0):
        scaler = scalers.create("predictive", {"target": 0.5, "step_s": step_s})
        scaler.decide(seen(None), 0.0)
        wishes = [scaler.decide(seen(load, startup_s=60.0), float(n)) for n, load in enumerate(loads, 1)]
        most[step_s] = max(wishes[60:])
    assert most[0.0] < 10.0 and most[1.0] > 2 * most[0.0]


def test_a_trend_is_as_much_a_second_when_steps_get_longer():
    smoothing = Smoothing(0.5, 0.5, 1.0, 0.0, 0)
    smoothing.begin(10.0, 2.0)
    smoothing.stretch(3.0)
    assert smoothing.ahead(2) == 10.0 + 2 * 3 * 2.0
    smoothing.add(16.0)
    assert smoothing.ahead(1) == 22.0, "as it was expected"


def test_nothing_seen_is_cannot_tell():
    assert wishes([None, None]) == [None, None]


@pytest.mark.parametrize("season_s", [1.0, 10.4, 0.5])
def test_a_season_that_is_no_whole_number_of_steps_is_refused(season_s):
    with pytest.raises(ValueError, match=rf"scaler\.season_s={season_s:g}: must be two or more whole steps of"):
        scalers.create("predictive", {"season_s": season_s, "step_s": 1.0})
