"""A real run with a second tier, from the command line to the files."""

import pandas as pd

from tests.running import PATIENT, UNREFUSED, events, lost, manifest, metrics, run_until


def test_a_replica_of_the_second_tier_that_fails_and_one_that_dies_lose_no_request(tmp_path):
    def heard(events):
        return {(event["source"], event["event"], event.get("replica", event.get("target"))) for event in events}

    overrides = [
        "+scenario=routed", "replicas=2", "tier.replicas=3", "tier.fanout=2", "tier.demand.mean_ms=2", "summary=never",
        "workload.demand.mean_ms=10", "workload.rate_rps=20", "workload.warmup_s=1", "counterfactual=never",
        "tracking.enabled=false", UNREFUSED, f"tier.{UNREFUSED}", PATIENT,
        "faults=[{at_s: 2, action: lie, target: b2, for_s: 3}, {at_s: 2, action: kill, target: b3}]",
    ]  # fmt: skip
    is_out = ("tier", "ejected", "b3")
    folder, _ = run_until(lambda told: is_out in heard(told), tmp_path, lambda _: overrides, (9, 40))
    told = heard(events(folder))
    assert {("runner", "fault_injected", "b2"), ("runner", "fault_injected", "b3"), is_out} <= told
    assert not [each for each in told if each[1] == "fault_failed"]
    assert lost(folder).empty
    found, calls = metrics(folder), manifest(folder)["tier"]
    answered = (pd.read_parquet(folder / "requests.parquet")["outcome"] == "ok").sum()
    assert calls["calls"] == found["tier_calls"] >= 2 * answered > 200
    assert found["tier_attempts_per_call"] > 1
