"""What a replica tells of its load, against what was done."""

import pytest

from services.backend.load import KEEP_S, Load


def test_a_steady_load_is_told_as_it_is():
    """Twenty requests a second of 50 ms on two slots, one in four failing: 15 of them work, 0.375 of the slots."""
    load = Load(2)
    for step in range(200):
        now = step * 0.05
        if step % 4:
            load.served(1, 0.06, 0.05, now)
        else:
            load.failed(now)
    busy, per_s, errors = load.rates(200 * 0.05)
    assert per_s == pytest.approx(20, rel=0.05) and errors == pytest.approx(5, rel=0.15)
    assert busy == pytest.approx(0.375, rel=0.1)
    assert per_s / busy == pytest.approx(20 / 0.375, rel=0.1)  # what A58 makes of it: slots over time per request


def test_at_the_beginning_it_tells_of_the_time_that_there_was():
    load = Load(1)
    assert load.rates(5.0) == (0.0, 0.0, 0.0)
    for step in range(1, 6):
        load.served(0, 0.1, 0.1, 5.0 + step * 0.1)
    assert load.rates(5.5).requests_per_s == pytest.approx(10, rel=0.35)


def test_what_is_long_ago_does_not_count():
    load = Load(1)
    load.served(0, 0.2, 0.2, 0.0)
    assert load.rates(20.0).requests_per_s < 1e-6
    assert load.latency_s(0, KEEP_S) == 0.2 and load.latency_s(0, KEEP_S + 0.1) is None


def test_the_latency_to_expect_is_that_of_requests_that_met_as_many_others():
    load = Load(1)
    for found in range(20):
        for _ in range(1 if found % 2 else 2):
            load.served(found, 0.1 * (found + 1), 0.1, found * 0.01)
    assert load.latency_s(0, 1.0) == pytest.approx(0.3, abs=0.11)
    assert load.latency_s(19, 1.0) == pytest.approx(1.8, abs=0.11)
    assert load.latency_s(100, 1.0) == load.latency_s(19, 1.0)
