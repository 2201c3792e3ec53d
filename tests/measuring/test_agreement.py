"""The simulator against the live system, on the same schedules."""

import json

from analysis.metrics.counterfactual import disagreement
from experiments.agreement import compare
from record.files import find
from tests.measuring.measured import valid_run
from tests.running import metrics

SHORT = ("workload.duration_s=14", "workload.warmup_s=4")


def test_latencies_of_a_routed_run_come_out_within_a_tenth(tmp_path):
    for seed in (1, 2, 3):
        valid_run(tmp_path / str(seed), "+scenario=routed", f"seed={seed}", "workload.utilisation=0.7", *SHORT)
    arms = compare(find([tmp_path]))
    assert len(arms) == 1
    for metric in ("latency_p50_ms", "latency_p99_ms"):
        found = arms[0].ratio(metric)
        assert 0.9 < found.mean < 1.1, (metric, found)


def test_a_killed_replica_is_noticed_within_two_seconds_and_costs_hardly_a_request_in_both(tmp_path):
    fault = "faults=[{at_s: 6, action: kill, target: r2, for_s: 3}]"
    live = valid_run(tmp_path, "+scenario=failover", fault, *SHORT)
    [arm] = compare(find([tmp_path]))
    assert live["error_rate"] < 0.01 and live["detection_s"] < 2
    assert abs(arm.difference("detection_s").mean) < 0.6  # one check and its jitter
    assert abs(arm.difference("error_rate").mean) < 0.01
    live = max(find([tmp_path]), key=lambda folder: int(folder.name))  # the one that was valid
    handled = json.loads((live / "counterfactual.json").read_text())["handled"]["metrics"]
    assert disagreement(handled, metrics(live)) is None
