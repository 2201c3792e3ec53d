"""Verdicts where the right one is known before, on the live system.

Those that ask what a policy or a full queue decides are in tests/experiments/test_known_verdicts.py, on the simulator:
it decides the same (tests/measuring/test_agreement.py).
"""

import random

from tests.measuring.measured import primary, sweep

PRECISE = (
    "replicas=1", "workload.rate_rps=20", "workload.duration_s=4", "workload.warmup_s=1", "workload.arrivals=uniform",
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


def test_an_arm_against_itself_is_neither_better_nor_worse(tmp_path):
    # One in twenty such comparisons may err by chance, two in a row one in four hundred.
    for attempt in range(2):
        rows = sweep(
            tmp_path / str(attempt), "+scenario=aa", "seed=1,2,3", "replicas=2", "workload.rate_rps=48",
            "workload.duration_s=7", "workload.warmup_s=2",
        )  # fmt: skip
        verdict = primary(rows)["arm=b"]["verdict"]
        if verdict in ("equivalent", "inconclusive"):
            break
    assert verdict in ("equivalent", "inconclusive")


def test_a_closed_loop_hides_a_stall_that_an_open_loop_shows(tmp_path):
    row = primary(sweep(tmp_path, "+scenario=omission", "workload.duration_s=14"))["load.loop=open"]
    assert row["reference"] == "load.loop=closed"
    assert row["ratio"] > 50
    assert row["arm_value"] > 1500
