"""`scaler.time_factor`, of every scaler: its seconds pass faster, those of load and starts do not."""

import pytest

from services.manager import scalers
from services.manager.deciding import Deciding
from services.manager.limits import Limits
from services.manager.pacing import turned
from services.manager.scalers import SCALERS, Observation, ReplicaLoad
from services.manager.settings import ScalingSettings, SignalSettings

LOADS = [2.0] * 8 + [9.0] * 10 + [6.0] * 4 + [1.0] * 60
"""Requests in flight at looks that are 15 s of the scaler apart: a quarter of an hour and more."""
OPTIONS: dict[str, dict[str, object]] = {"queueing": {"service_ms": 200.0, "window_s": 60.0}, "predictive": {"step_s": 15.0}}


def decided(name, factor, look_s, startup_s, **signal):
    """The numbers at each look, as `Deciding` has them; looks and starts in the run's seconds."""
    settings = ScalingSettings(max_replicas=20, interval_s=look_s, stabilization_down_s=120.0, stabilization_up_s=20.0)
    settings.signal = SignalSettings(**signal)
    scaler = scalers.create(name, {**OPTIONS.get(name, {}), "time_factor": factor})
    deciding, numbers = Deciding(scaler, Limits(settings), 2), []
    for number, load in enumerate([None, *LOADS]):
        at, fleet = look_s * number, range(deciding.desired)
        rate = None if load is None else 5 * load
        each = [ReplicaLoad(f"r{n}", None if load is None else load / len(fleet), 1, True) for n in fleet]
        deciding.decide(Observation(each, deciding.desired, load, rate, startup_s), at, at)
        numbers.append(deciding.desired)
    return numbers


@pytest.mark.parametrize("signal", [{}, {"resolution_s": 45.0, "delay_s": 30.0}], ids=["true", "late"])
@pytest.mark.parametrize("name", SCALERS.usable())
def test_at_fifteen_times_a_quarter_of_an_hour_is_a_minute_for_every_scaler(name, signal):
    """The same metrics at looks a second apart, starts of two seconds: number by number as in fifteen times the time."""
    fast = decided(name, 15.0, 1.0, 2.0, **signal)
    assert fast == decided(name, 1.0, 15.0, 30.0, **signal)
    assert name == "none" or len(set(fast)) > 1, "it scales"


def test_the_windows_of_the_wrapper_pass_as_fast_and_its_looks_do_not():
    numbers = decided("target_tracking", 15.0, 1.0, 2.0)
    last = 18  # the last look that wants 15
    assert numbers[last + 8] == 15 > numbers[last + 9], "120 s at fifteen a look are eight looks"


@pytest.mark.parametrize("factor", [1.0, 15.0])
def test_a_start_that_is_measured_is_as_long_as_it_was(factor):
    """Two requests in flight more a second, and a start of five seconds: ten more, however fast the steps pass."""
    options = {"target": 1.0, "damping": 1.0, "step_s": factor, "startup_s": 5.0, "time_factor": factor}
    known, unknown = scalers.create("predictive", options), scalers.create("predictive", options)
    for second in range(60):
        load = None if second == 0 else 2.0 * second
        there = [ReplicaLoad("r1", load, 1, True)]
        measured = known.decide(Observation(there, 1, load, startup_s=5.0), float(second))
        guessed = unknown.decide(Observation(there, 1, load), float(second))
    assert measured == guessed == pytest.approx(118 + 10, abs=0.5)
    assert "in 5.0 s" in known.why


@pytest.mark.parametrize("factor", [1.0, 15.0])
def test_a_line_that_grows_does_so_in_the_runs_seconds(factor):
    """One server of 50 ms does 20 of the 40 a second: twenty more wait every second."""
    scaler = scalers.create("queueing", {"wait_ms": 20.0, "window_s": 5.0 * factor, "time_factor": factor})
    for second in range(10):
        load = None if second == 0 else 10.0 + 20.0 * (second - 1)
        loads = [ReplicaLoad("r1", load, 1, True)]
        wish = scaler.decide(Observation(loads, 1, load, None if second == 0 else 40.0), float(second))
    assert wish == 5


def test_what_is_counted_a_second_stays_the_loads():
    seen = Observation([], 1, 3.0, 40.0, startup_s=2.0, offered_rps=50.0, age_s=1.0, window_s=4.0)
    fast = turned(seen, 15.0)
    assert (fast.rate_rps, fast.offered_rps, fast.in_flight) == (40.0, 50.0, 3.0)
    assert (fast.age_s, fast.window_s, fast.startup_s, fast.time_factor) == (15.0, 60.0, 30.0, 15.0)
    assert turned(seen, 1.0) is seen


@pytest.mark.parametrize("factor", [0.0, 1001.0, float("nan"), "fast", True])
def test_a_factor_that_is_none_is_refused_by_its_key(factor):
    with pytest.raises(ValueError, match=r"^scaler\.time_factor=.*must be"):
        scalers.create("none", {"time_factor": factor})


def test_an_option_that_a_scaler_has_not_is_refused_with_the_one_of_all():
    with pytest.raises(ValueError, match=r"^scaler\.target: none takes time_factor; target goes with"):
        scalers.create("none", {"target": 1.0})
