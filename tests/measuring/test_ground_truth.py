"""The live system against what must come out."""

import pytest

from tests.measuring.measured import valid_run

SHORT = ("workload.duration_s=16", "workload.warmup_s=3")


def without_a_stall(found):
    return found["exact_error_p99_ms"] <= 10


@pytest.mark.parametrize("scenario", ["mm1", "mmc"])
def test_every_request_takes_as_long_as_the_queue_implies(tmp_path, scenario):
    """But for what an answer costs on this machine: 3 ms, or what it costs where nobody queues, measured beside it."""
    found = valid_run(tmp_path / "loaded", f"+scenario={scenario}", *SHORT, holds=without_a_stall)
    allowed_ms = 3.0
    if found["exact_error_p50_ms"] > allowed_ms:
        idle = valid_run(tmp_path / "idle", f"+scenario={scenario}", "workload.utilisation=0.05", *SHORT)
        allowed_ms = 1.25 * idle["exact_error_p50_ms"]
    assert found["exact_error_p50_ms"] <= allowed_ms
    assert found["exact_error_p99_ms"] <= 10
    assert found["latency_p99_ms"] == pytest.approx(found["exact_latency_p99_ms"], abs=12)
    assert found["failed_requests"] == 0


def test_a_full_queue_turns_away_whom_it_must(tmp_path):
    found = valid_run(tmp_path, "+scenario=mmck", *SHORT)
    assert found["exact_blocked_share"] > 0.02
    assert found["error_rate"] == pytest.approx(found["exact_blocked_share"], abs=0.02)
    assert found["exact_blocked_share"] == pytest.approx(found["theory_blocked_share"], abs=0.06)
