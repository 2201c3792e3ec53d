"""Pauses before retries stay within what AWS's full jitter allows."""

import pytest

from services.backoff import full_jitter_s


@pytest.mark.parametrize(("number", "most_s"), [(1, 0.025), (2, 0.05), (3, 0.1), (4, 0.2), (5, 0.25), (60, 0.25)])
def test_a_pause_lies_anywhere_between_nothing_and_the_doubled_base_up_to_the_cap(number, most_s):
    """sleep = random(0, min(cap, base * 2 ** attempt)) (AWS), with Envoy's base of 25 ms and cap of ten times that."""
    assert full_jitter_s(number, 0.025, 0.25, 0.0) == 0.0
    assert full_jitter_s(number, 0.025, 0.25, 0.5) == pytest.approx(most_s / 2)
    assert full_jitter_s(number, 0.025, 0.25, 1.0) == pytest.approx(most_s)
