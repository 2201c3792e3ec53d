"""The offset of a clock, with made-up clocks and ways."""

import random
import time

import pytest

from experiments.runner import clocks
from experiments.runner.clocks import Offset, as_entry, estimate


def asked(true_offset_s, there_s, back_s, at_s=100.0):
    """An exchange with a clock that is `true_offset_s` ahead, over ways that take so long."""
    return at_s, at_s + there_s + true_offset_s, at_s + there_s + back_s


@pytest.mark.parametrize("true_offset_s", [-3600.0, -0.004, 0.0, 0.015, 86_400.0])
def test_the_true_offset_is_never_outside_the_bound_however_uneven_the_ways(true_offset_s):
    rng = random.Random(1)
    for _ in range(200):
        found = estimate([asked(true_offset_s, rng.expovariate(500), rng.expovariate(500)) for _ in range(8)])
        assert abs(found.seconds - true_offset_s) <= found.uncertainty_s + 1e-9


def test_one_quick_exchange_among_slow_ones_decides():
    slow = [asked(0.5, 0.200, 0.001), asked(0.5, 0.001, 0.300)]
    found = estimate([*slow, asked(0.5, 0.001, 0.001), *slow])
    assert (found.seconds, found.uncertainty_s) == pytest.approx((0.5, 0.001))


def test_a_time_of_day_that_is_set_during_the_run_is_a_step(monkeypatch):
    before = clocks.wall_clock()
    none = clocks.wall_clock().since(before)
    assert abs(none.seconds) <= none.uncertainty_s + 1e-6
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 0.25)
    step = clocks.wall_clock().since(before)
    assert step.seconds == pytest.approx(-0.25, abs=step.uncertainty_s + 1e-6)


def test_a_clock_that_does_not_answer_is_null_in_the_manifest():
    assert as_entry("router", "end", None) == {
        "clock": "router",
        "at": "end",
        "offset_ms": None,
        "uncertainty_ms": None,
    }
    assert as_entry("router", "end", Offset(-0.0015, 0.0002))["offset_ms"] == -1.5
