"""A recorded load, live: a run is as long as it was to be, however early the last request comes."""

import json

import pandas as pd

from tests.running import run


def test_what_is_planned_for_a_quiet_end_happens(tmp_path):
    asked = pd.DataFrame({"scheduled_s": [0.1, 0.2, 0.9, 1.0], "demand_s": 0.01, "key": "k"})
    asked.to_csv(tmp_path / "t.csv", index=False)
    done = run(
        "+scenario=routed", "replicas=2", f"workload.trace={tmp_path / 't.csv'}", "workload.duration_s=5",
        "workload.warmup_s=0", "tracking.enabled=false", "summary=never", "counterfactual=never",
        "faults=[{at_s: 3, action: slow, target: r1, for_s: 1, factor: 2}]", f"hydra.run.dir={tmp_path / 'run'}",
    )  # fmt: skip
    assert "nothing is asked in the last 3 s" in done.stderr, done.stdout + done.stderr
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events if "fault" in event] == ["fault_injected", "fault_healed"]
    samples = (tmp_path / "run" / "samples.jsonl").read_text().splitlines()
    assert len(samples) == 5
    rows = pd.read_parquet(tmp_path / "run" / "requests.parquet").sort_values("request_id")
    assert rows["scheduled_s"].tolist() == asked["scheduled_s"].tolist() and (rows["outcome"] == "ok").all()
