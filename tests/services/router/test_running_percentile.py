"""The percentile that hedges and time-outs follow: by hand, and beside numpy's; on a clock of the test's own."""

import numpy as np
import pytest

from services.router.running_percentile import BINS, LEAST_S, RATIO, RunningPercentile


def told(values, share, now=0.0):
    running = RunningPercentile(share)
    for value in values:
        running.add(value, now)
    return running.value(now)


def test_the_95th_percentile_of_twenty_is_the_nineteenth():
    """By hand: ceil(0.95 x 20) = 19; the twentieth, however long, is the one in twenty that is above."""
    values = [0.010 * number for number in range(1, 20)] + [60.0]
    assert told(values, 0.95) == pytest.approx(0.190, rel=RATIO - 1)
    assert told(values, 0.95) >= 0.190  # never below


def test_too_few_tell_nothing():
    assert told([0.1] * 19, 0.95) is None
    assert told([0.1] * 20, 0.95) is not None
    assert told([0.1] * 99, 0.99) is None


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99])
def test_it_is_numpys_within_two_per_cent(share):
    values = np.random.default_rng(1).lognormal(-3.0, 1.0, 5000)
    exact = np.quantile(values, share, method="inverted_cdf")
    assert exact <= told(values, share) <= exact * RATIO


def test_what_is_older_than_half_a_minute_is_forgotten():
    running = RunningPercentile(0.5)
    for _ in range(10):
        running.add(1.0, 5.0)
    assert running.value(5.0) > 0.99
    for _ in range(10):
        running.add(0.1, 29.0)
    assert running.value(29.9) == pytest.approx(0.1, rel=0.02)  # ten of twenty do not exceed it
    assert running.value(31.0) == pytest.approx(0.1, rel=0.02)
    assert running.value(60.0) is None


def test_latencies_without_bounds_take_no_more_room():
    running = RunningPercentile(0.5)
    for value in (0.0, 1e-9, 1e9, 1e300):
        running.add(value, 0.0)
    assert all(len(counts) == BINS for counts in running._counts)
    assert running.value(0.0) == LEAST_S
