"""Verdicts where the right one is known before: on the live system, and on the simulator where losses decide.

What is lost is the same live and simulated (tests/measuring/test_agreement.py), and says the same to the comparison.
"""

import random

from tests.measuring.measured import primary, sweep

PRECISE = (
    "replicas=1", "workload.rate_rps=20", "workload.duration_s=6", "workload.warmup_s=1", "workload.arrivals=uniform",
    "workload.demand.mean_ms=40", "workload.demand.distribution=constant", "comparison.primary=latency_p50_ms",
    "comparison.smallest_effect=0.02",
)  # fmt: skip
EFFECTS = (0.0, 0.05, 0.1, 0.2)


def test_effects_of_5_10_and_20_percent_are_found_blind_and_one_of_0_is_not(tmp_path):
    # The fleet as it is stands first; which arm is slower by how much, only this test knows.
    effects = {f"[{1 / (1 + effect):.6f}]": effect for effect in EFFECTS}
    speeds = ["[1.000001]", *random.Random().sample(sorted(effects), len(effects))]
    rows = sweep(tmp_path, "-m", "+scenario=routed", "seed=1,2,3,4", f"replica.speeds={','.join(speeds)}", *PRECISE)
    found = {arm.removeprefix("replica.speeds=").replace(" ", ""): row for arm, row in primary(rows).items()}
    assert len(found) == len(EFFECTS)
    for text, effect in effects.items():
        row = next(r for label, r in found.items() if abs(float(label.strip("[]")) * (1 + effect) - 1) < 1e-3)
        wanted = ("equivalent", "inconclusive") if effect == 0 else ("worse",)
        assert row["verdict"] in wanted, (text, row)
        # What the router and the client add is not slower, so that a little less than the effect is seen.
        assert 0.6 * effect - 0.02 < row["ratio"] - 1 < effect + 0.02, (text, row)


def test_a_policy_that_avoids_the_slow_replica_is_better_than_one_that_does_not(tmp_path):
    rows = sweep(
        tmp_path, "-m", "+scenario=routed", "seed=range(3)", "policy=round_robin,peak_ewma",
        "replica.speeds=[1,1,0.2]", "workload.duration_s=10", "workload.warmup_s=3",
    )  # fmt: skip
    row = primary(rows)["policy=peak_ewma"]
    assert row["reference"] == "policy=round_robin"
    assert row["verdict"] == "better"
    assert row["high"] < 1


def test_an_arm_that_refuses_a_quarter_of_its_requests_is_worse_however_fast_it_answers_the_rest(tmp_path):
    rows = sweep(
        tmp_path, "-m", "+scenario=routed", "seed=61,62,63", "replica.queue_limit=100,0", "workload.rate_rps=140",
        "workload.duration_s=9", "workload.warmup_s=2", "router=no_retries",
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


def test_an_arm_against_itself_is_neither_better_nor_worse(tmp_path):
    # One in twenty such comparisons may err by chance, two in a row one in four hundred.
    for attempt in range(2):
        rows = sweep(
            tmp_path / str(attempt), "+scenario=aa", "seed=1,2,3", "replicas=2", "workload.rate_rps=48",
            "workload.duration_s=9",
        )  # fmt: skip
        verdict = primary(rows)["arm=b"]["verdict"]
        if verdict in ("equivalent", "inconclusive"):
            break
    assert verdict in ("equivalent", "inconclusive")


def test_a_closed_loop_hides_a_stall_that_an_open_loop_shows(tmp_path):
    row = primary(sweep(tmp_path, "+scenario=omission"))["load.loop=open"]
    assert row["reference"] == "load.loop=closed"
    assert row["ratio"] > 50
    assert row["arm_value"] > 1500
