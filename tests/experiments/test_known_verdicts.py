"""Verdicts where the right one is known before, on the simulator: a policy that is better, and losses of two kinds."""

from tests.measuring.measured import primary, sweep


def test_a_policy_that_avoids_the_slow_replica_is_better_than_one_that_does_not(tmp_path):
    rows = sweep(
        tmp_path, "-m", "+scenario=routed", "seed=range(3)", "policy=round_robin,peak_ewma",
        "replica.speeds=[1,1,0.2]", "workload.duration_s=10", "workload.warmup_s=3", "engine=sim",
    )  # fmt: skip
    row = primary(rows)["policy=peak_ewma"]
    assert row["reference"] == "policy=round_robin"
    assert row["verdict"] == "better"
    assert row["high"] < 1


def test_an_arm_that_refuses_a_quarter_of_its_requests_is_worse_however_fast_it_answers_the_rest(tmp_path):
    rows = sweep(
        tmp_path, "-m", "+scenario=routed", "seed=61,62,63", "replica.queue_limit=100,0", "workload.rate_rps=140",
        "workload.duration_s=9", "workload.warmup_s=2", "router=no_retries", "engine=sim",
    )  # fmt: skip
    row = primary(rows)["replica.queue_limit=0"]
    assert row["overall"] == "worse" and "faster where it answers" in row["sentence"]
    assert row["verdict"] == "not identified" and row["known"]["replica.queue_limit=0"] == 0
    lost = next(r for r in rows if r["metric"] == "error_rate")
    assert lost["verdict"] == "worse" and 0.15 < lost["difference"] < 0.35


def test_two_arms_that_both_run_into_the_time_out_are_not_equivalent(tmp_path):
    rows = sweep(
        tmp_path, "-m", "+scenario=routed", "seed=61,62,63", "replica.speeds=[1,1,1,1],[0.8,0.8,0.8,0.8]",
        "load.timeout_s=0.25", "workload.rate_rps=125", "workload.duration_s=9", "workload.warmup_s=2", "engine=sim",
    )  # fmt: skip
    (row,) = primary(rows).values()
    assert row["verdict"] == "not identified" and row["overall"] != "equivalent"
    assert any(beyond is not None for beyond in row["beyond"].values())
    half = next(r for r in rows if r["metric"] == "latency_p50_ms")
    assert half["ratio"] > 1.2
