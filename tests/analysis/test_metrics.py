import json

import numpy as np
import pandas as pd
import pytest

from analysis.metrics import table as metrics
from analysis.metrics import timeline
from analysis.summary import summarise
from record.files import dump
from record.latency import ranked_ms
from record.reading import read
from tests.analysis import synthetic


def compute(folder, requests, **more):
    run = read(synthetic.write(folder, requests, **more))
    return metrics.compute(run, timeline.build(run))


def test_the_numbers_of_an_even_run_are_those_counted_by_hand(tmp_path):
    found = compute(tmp_path, synthetic.even_requests())
    # 10 s x 10 requests/s, of which 2 s are warm-up; 100 ms each, so that the window completes 80, too.
    assert found["window_s"] == 8
    assert found["offered_requests"] == found["sent_requests"] == 80
    assert found["offered_rps"] == found["achieved_rps"] == found["goodput_rps"] == 10
    assert found["failed_requests"] == found["error_rate"] == found["dropped"] == 0
    assert found["latency_p50_ms"] == found["latency_p99_ms"] == found["latency_max_ms"] == pytest.approx(100)
    assert found["client_service_p50_ms"] == pytest.approx(99)
    assert found["lateness_p50_ms"] == found["lateness_p99_ms"] == pytest.approx(1)
    assert found["queue_p99_ms"] == 10
    assert found["service_p50_ms"] == found["service_mean_ms"] == 50
    assert found["router_overhead_p50_ms"] == found["router_overhead_p99_ms"] == 0.5
    assert found["attempts_per_request"] == 1
    assert found["retried_requests"] == 0
    assert found["share_r1"] == found["share_r2"] == 0.5
    assert found["replica_seconds"] == 40
    assert found["replicas_min"] == found["replicas_max"] == 4
    assert found["cpu_router_cores"] == 0.2
    assert found["slo_violation_s"] == 0
    assert found["detection_s"] is found["recovery_s"] is found["recovered"] is found["faults_undetected"] is None
    assert found["valid"] is True
    assert found["invalid_reasons"] == []


def test_latency_counts_from_the_scheduled_moment(tmp_path):
    requests = synthetic.even_requests()
    late = requests["request_id"] >= 90
    requests.loc[late, "sent_s"] = requests["scheduled_s"] + 0.5
    requests.loc[late, "completed_s"] = requests["scheduled_s"] + 2.0
    found = compute(tmp_path, requests)
    assert found["latency_max_ms"] == found["latency_served_max_ms"] == pytest.approx(2000)
    assert found["latency_mean_ms"] == found["latency_served_mean_ms"] == pytest.approx((70 * 100 + 10 * 2000) / 80)
    assert found["served_share"] == 70 / 80  # the others beyond slo.p99_ms, 1,000 ms


def failing(outcome, after_s, share=8):
    """One in `share` ends as `outcome` after `after_s`, the others are ok after 100 ms."""
    requests = synthetic.even_requests()
    fails = requests["request_id"] % share == 3
    requests.loc[fails, "completed_s"] = requests["sent_s"] + after_s
    requests.loc[fails, "outcome"] = outcome
    return requests


@pytest.mark.parametrize(("outcome", "after_s"), [("refused", 0.001), ("http_error", 0.002), ("timeout", 10.0)])
def test_a_quantile_among_the_failed_is_no_number_however_fast_they_failed(tmp_path, outcome, after_s):
    found = compute(tmp_path, failing(outcome, after_s))
    assert found["latency_p50_ms"] == pytest.approx(100)
    assert found["latency_p50_beyond_ms"] is None
    for name in ("p90", "p99"):
        assert found[f"latency_{name}_ms"] is found[f"latency_{name}_ms_steady"] is None
        assert found[f"latency_{name}_beyond_ms"] == found[f"latency_{name}_beyond_ms_steady"] == pytest.approx(100)
        assert found[f"latency_{name}_beyond_ms_fault"] is None  # no request, hence no quantile
    assert found["latency_p999_ms"] is found["latency_p999_beyond_ms"] is None  # too few requests
    assert found["latency_mean_ms"] is found["latency_max_ms"] is None
    for name in ("p50", "p99", "mean", "max"):
        assert found[f"latency_served_{name}_ms"] == pytest.approx(100)
    assert found["served_share"] == 1 - found["error_rate"] == 70 / 80
    assert found["client_service_p99_ms"] == pytest.approx(99)  # stages, too, are of the served


def test_turning_a_request_away_never_lowers_a_quantile(tmp_path):
    requests = synthetic.even_requests()
    requests["completed_s"] = requests["sent_s"] + np.random.default_rng(1).exponential(0.1, len(requests))
    before = compute(tmp_path / "all", requests)
    slowest = (requests["completed_s"] - requests["scheduled_s"]).nlargest(20).index
    requests.loc[slowest, "completed_s"] = requests["sent_s"] + 0.001
    requests.loc[slowest, "outcome"] = "http_error"
    after = compute(tmp_path / "some", requests)
    assert after["latency_p50_ms"] >= before["latency_p50_ms"]
    assert after["latency_p90_ms"] is after["latency_p99_ms"] is None
    assert after["served_share"] < before["served_share"] == 1


def test_where_no_request_was_served_the_quantiles_are_beyond_nothing(tmp_path):
    found = compute(tmp_path, failing("refused", 0.001, share=1).assign(outcome="refused"))
    assert found["latency_p50_ms"] is None
    assert found["latency_p50_beyond_ms"] == found["latency_p99_beyond_ms"] == found["served_share"] == 0.0
    assert found["latency_served_p99_ms"] is found["latency_served_max_ms"] is None


def test_a_runs_latencies_are_in_the_order_of_time_and_infinite_where_not_served(tmp_path):
    requests = synthetic.even_requests()
    requests["completed_s"] = requests["scheduled_s"] + 0.1 + requests["request_id"] / 1e4
    requests.loc[25, "outcome"] = "reset"
    planned = requests["scheduled_s"].to_numpy()
    run = read(synthetic.write(tmp_path, requests.sample(frac=1, random_state=1), planned=planned))
    expected = 100 + np.arange(20, 100) / 10
    expected[5] = np.inf
    assert run.latencies == pytest.approx(expected)
    assert run.latencies.dtype == "float64"


def test_outcomes_have_their_shares(tmp_path):
    requests = synthetic.even_requests()
    late = requests["request_id"] >= 90
    requests.loc[late, "completed_s"] = requests["sent_s"] + 10.0
    requests.loc[late, "outcome"] = "timeout"
    found = compute(tmp_path, requests)
    assert found["failed_requests"] == 10
    assert found["error_rate"] == found["error_rate_timeout"] == 10 / 80
    assert found["error_rate_reset"] == 0


def test_quantiles_interpolate_between_order_statistics(tmp_path):
    requests = synthetic.even_requests(12, 10, 2)
    # The 100 requests outside warm-up take 100, 99, ... 1 ms.
    requests["completed_s"] = requests["scheduled_s"] + (120 - requests["request_id"]) / 1000
    about = synthetic.manifest(config={"workload": {"duration_s": 12.0, "warmup_s": 2.0}})
    found = compute(tmp_path, requests, about=about)
    assert found["latency_p50_ms"] == pytest.approx(50.5)
    assert found["latency_p90_ms"] == pytest.approx(90.1)
    assert found["latency_p99_ms"] == pytest.approx(99.01)


@pytest.mark.parametrize(("n", "defined"), [(3687, False), (3688, True)])
def test_p999_is_null_below_3688_requests(n, defined):
    requests = synthetic.even_requests(n / 1000, 1000, 0)
    assert len(requests) == n
    assert (metrics._latencies(ranked_ms(requests), "")["latency_p999_ms"] is not None) is defined


def test_a_dropped_request_has_no_latency_but_is_counted_as_failed(tmp_path):
    requests = synthetic.even_requests()
    gone = requests["request_id"].isin([5, 50, 51])
    requests.loc[gone, ["sent_s", "completed_s"]] = np.nan
    requests.loc[gone, "outcome"] = "dropped"
    found = compute(tmp_path, requests)
    assert found["dropped"] == 3  # the one in warm-up, too
    assert found["failed_requests"] == 2
    assert found["error_rate_dropped"] == 2 / 80
    assert found["sent_requests"] == 78
    assert found["latency_max_ms"] is None
    assert found["latency_served_max_ms"] == found["latency_p99_beyond_ms"] == pytest.approx(100)


def test_phases_have_their_own_quantiles_and_error_rates(tmp_path):
    requests = synthetic.even_requests()
    fault = requests["scheduled_s"].between(5, 7, inclusive="left")
    requests.loc[fault, "phase"] = "fault"
    requests.loc[fault, "completed_s"] = requests["scheduled_s"] + 0.4
    requests.loc[requests["request_id"] == 55, "outcome"] = "http_error"
    found = compute(tmp_path, requests)
    assert found["latency_p99_ms_steady"] == pytest.approx(100)
    assert found["latency_p50_ms_fault"] == pytest.approx(400)
    assert (found["requests_steady"], found["requests_fault"], found["requests_recovery"]) == (60, 20, 0)
    assert found["error_rate_fault"] == 0.05
    assert found["latency_p50_ms_recovery"] is None
    assert found["error_rate_recovery"] is None


def test_retries_and_shares_count_requests_outside_warm_up_only(tmp_path):
    requests = synthetic.even_requests()
    requests.loc[requests["request_id"] < 30, "attempts"] = 3
    requests.loc[requests["request_id"].between(20, 39), "replica"] = "r9"
    found = compute(tmp_path, requests)
    assert found["retried_requests"] == 10
    assert found["attempts_per_request"] == (10 * 3 + 70) / 80
    assert found["share_r9"] == 0.25


def test_without_a_router_its_numbers_are_null_and_not_zero(tmp_path):
    requests = synthetic.even_requests()
    requests[["attempts", "router_s"]] = np.nan
    found = compute(tmp_path, requests)
    for key in ("retried_requests", "attempts_per_request", "router_overhead_p50_ms", "router_overhead_p99_ms"):
        assert found[key] is None
    assert found["valid"]


def test_a_backlog_that_completes_after_the_window_lowers_the_achieved_rate(tmp_path):
    requests = synthetic.even_requests()
    requests.loc[requests["scheduled_s"] >= 6, "completed_s"] = 11.0
    found = compute(tmp_path, requests)
    assert found["offered_rps"] == 10
    assert found["achieved_rps"] == found["goodput_rps"] == 41 / 8  # 40 of the window, and the last of warm-up
    assert found["error_rate"] == 0


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([(1.0, 2), (2.0, 2), (3.0, 4)], 8.0),
        ([(0.5, 2), (2.5, 1)], 3.0),
        ([(1.0, 2), (2.0, None), (3.0, 1)], 5.0),
        ([(1.0, None), (2.0, 3)], 6.0),
        ([(1.0, None)], None),
        ([], None),
    ],
)
def test_replica_seconds_integrate_ready_replicas_over_time(samples, expected):
    assert metrics.replica_seconds(samples) == expected


def test_slo_violation_counts_slow_and_failing_seconds_once(tmp_path):
    requests = synthetic.even_requests()
    second = requests["scheduled_s"].astype(int)
    requests.loc[second.isin([0, 4, 5]), "completed_s"] = requests["scheduled_s"] + 0.6  # 0 is warm-up
    requests.loc[requests["request_id"].isin([55, 77]), "outcome"] = "http_error"
    about = synthetic.manifest(config={"slo": {"p99_ms": 500.0, "error_rate": 0.05}})
    assert compute(tmp_path / "a", requests, about=about)["slo_violation_s"] == 3  # seconds 4, 5 and 7
    assert compute(tmp_path / "b", requests)["slo_violation_s"] == 2  # the default is 1,000 ms and 1 %


def test_a_second_whose_p99_lies_among_the_failed_is_outside_the_objective(tmp_path):
    requests = synthetic.even_requests(rate=100)
    requests.loc[requests["request_id"] == 555, "outcome"] = "http_error"  # 1 %, which slo.error_rate allows
    run = read(synthetic.write(tmp_path, requests))
    rows = timeline.build(run)
    assert rows["p99_ms"].isna().tolist() == timeline.is_beyond(rows, "p99_ms").tolist() == [s == 5 for s in range(10)]
    assert rows["p50_ms"].tolist() == pytest.approx([100] * 10)
    assert metrics.compute(run, rows)["slo_violation_s"] == 1


def test_the_timeline_counts_by_second_and_survives_a_broken_last_one(tmp_path):
    requests = synthetic.even_requests(2.5, 10, 0)
    requests.loc[3, "outcome"] = "reset"
    about = synthetic.manifest(config={"workload": {"duration_s": 2.5, "warmup_s": 0.0}})
    samples = [synthetic.sample(1.004, 2, 3, router=0.5), synthetic.sample(2.001, None, 3)]
    rows = timeline.build(read(synthetic.write(tmp_path, requests, about=about, samples=samples)))
    assert rows["second"].tolist() == [0, 1, 2]
    assert rows["offered_rps"].tolist() == [10, 10, 10]
    assert rows["goodput_rps"].tolist() == [9, 10, 10]
    assert rows["errors"].tolist() == [1, 0, 0]
    assert rows["achieved_rps"].tolist() == [9, 10, 10]  # the request due at 0.9 completes at 1.0
    assert rows["p50_ms"].tolist() == pytest.approx([100] * 3)
    assert rows["replicas_ready"].tolist()[0] == 2
    assert rows["replicas_ready"].isna().tolist() == [False, True, True]
    assert rows["cpu_router_cores"].tolist()[:2] == [0.5, 0.2]


@pytest.mark.slow  # pictures
def test_metrics_json_is_sorted_free_of_nan_and_the_same_every_time(tmp_path):
    requests = synthetic.even_requests(10, 10)
    requests[["queue_s", "service_s", "router_s", "attempts"]] = np.nan
    folder = synthetic.write(tmp_path, requests, samples=[])
    summarise(folder)
    first = (folder / "metrics.json").read_text()
    timeline_before = pd.read_parquet(folder / "timeline.parquet")
    picture = (folder / "summary.png").read_bytes()
    summarise(folder)
    assert (folder / "metrics.json").read_text() == first
    assert (folder / "summary.png").read_bytes() == picture
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "timeline.parquet"), timeline_before)

    def refuse(text):
        raise AssertionError(f"{text} in metrics.json")

    content = json.loads(first, parse_constant=refuse)
    assert list(content) == sorted(content)
    assert content["queue_p50_ms"] is content["cpu_router_cores"] is content["service_mean_ms"] is None


def test_a_nan_that_slips_through_is_an_error_and_not_written():
    with pytest.raises(ValueError, match="Out of range"):
        dump({"x": float("nan")})


def test_calls_are_unknown_where_their_router_took_its_counts_with_it_unless_it_was_simulated(tmp_path):
    counts = {"calls": 300, "attempts": 330, "hedged": 3, "failed": 1}
    requests = synthetic.even_requests()
    known = compute(tmp_path / "known", requests, about=synthetic.manifest(tier=counts))
    assert (known["tier_calls"], known["tier_calls_per_request"], known["tier_attempts_per_call"]) == (300, 3.0, 1.1)
    restarted = [synthetic.injected(0, 5.0, "tier_router", "restart")]
    lost = compute(tmp_path / "lost", requests, about=synthetic.manifest(tier=counts), events=restarted)
    assert lost["tier_calls"] is lost["tier_calls_per_request"] is lost["tier_attempts_per_call"] is None
    assert "restart of tier_router at 5.0 s took what it had counted" in " ".join(lost["warnings"])
    virtual = synthetic.manifest(tier=counts, virtual_time=True)
    assert compute(tmp_path / "virtual", requests, about=virtual, events=restarted)["tier_calls_per_request"] == 3.0


def test_starts_that_failed_and_replicas_that_ended_are_counted_where_something_scales(tmp_path):
    told = [("start_failed", 3.0), ("start_failed", 4.0), ("replica_ended", 5.0)]
    events = [{"t_s": at, "source": "manager", "event": event, "replica": "r2"} for event, at in told]
    scaled = synthetic.manifest(config={"scaler": {"name": "hpa"}})
    found = compute(tmp_path / "scaled", synthetic.even_requests(), about=scaled, events=events)
    assert (found["failed_starts"], found["ended_replicas"]) == (2, 1)
    found = compute(tmp_path / "fixed", synthetic.even_requests())
    assert found["failed_starts"] is found["ended_replicas"] is None
