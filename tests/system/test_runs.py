"""Real runs, from the command line to the files."""

import json

import numpy as np
import pandas as pd
import pytest

from services.backend.draws import demand_ms
from services.backend.settings import ReplicaSettings
from services.draws import uniform
from tests.running import AT_MOST_S, PATIENT, SHORT, UNREFUSED, events, lost, manifest, metrics, run, run_until

FILES = {
    "manifest.json", "schedule.parquet", "requests.parquet", "events.jsonl", "samples.jsonl", "timeline.parquet",
    "metrics.json", "summary.png", "counterfactual.json", "work.parquet",
}  # fmt: skip


@pytest.fixture(scope="module")
def failover(tmp_path_factory):
    def is_through(told):
        healed = [e["t_s"] for e in told if e["event"] == "fault_healed"]
        back = [e["t_s"] for e in told if e["event"] == "readmitted" and e.get("replica") == "r2"]
        return healed and back and max(back) > healed[0]

    overrides = [
        "+scenario=failover", "tracking.enabled=false", "workload.warmup_s=2",
        "faults=[{at_s: 4, action: kill, target: r2, for_s: 2}]", "workload.demand.replica_noise=0.5",
        "workload.demand.distribution=lognormal", "workload.demand.sigma=0.5", PATIENT,
    ]  # fmt: skip
    return run_until(is_through, tmp_path_factory.mktemp("failover"), lambda _: overrides, (14, 60))


def test_failover_leaves_every_file_of_the_contract(failover):
    folder, done = failover
    assert {path.name for path in folder.iterdir() if path.is_file()} == FILES
    assert str(folder) in done.stdout
    assert "summary.png" in done.stdout


def test_failover_is_noticed_and_the_replica_that_is_back_serves_again(failover):  # how soon: tests/measuring
    folder, _ = failover
    told = {event["event"]: event["t_s"] for event in events(folder) if event["source"] == "runner"}
    killed, healed = told["fault_injected"], told["fault_healed"]
    about_r2 = [(e["event"], e["t_s"]) for e in events(folder) if e["source"] == "router" and e.get("replica") == "r2"]
    out = next(t_s for word, t_s in about_r2 if word == "ejected" and t_s > killed)
    assert metrics(folder)["detection_s"] == pytest.approx(out - killed, abs=1e-3)
    back = next(t_s for word, t_s in about_r2 if word == "readmitted" and t_s > healed)
    rows = pd.read_parquet(folder / "requests.parquet")
    assert lost(folder)["attempts"].isin([1, 2, 3]).all() and len(lost(folder)) < 0.1 * len(rows)
    served = rows[(rows["replica"] == "r2") & (rows["outcome"] == "ok")]
    assert (served["completed_s"] > back).any() and not served["sent_s"].between(out, healed).any()


def test_without_the_failure_handling_more_of_the_same_requests_would_be_lost(failover):  # agreement: tests/measuring
    folder, done = failover
    about, found = manifest(folder), json.loads((folder / "counterfactual.json").read_text())
    assert found["schedule_hash"] == about["schedule_hash"]
    handled, unhandled = (found[side]["metrics"] for side in ("handled", "unhandled"))
    assert handled["offered_requests"] == unhandled["offered_requests"] == metrics(folder)["offered_requests"]
    assert unhandled["failed_requests"] > handled["failed_requests"]
    assert "simulated with them: " in done.stdout and "; measured: " in done.stdout


def test_the_clocks_are_compared_before_and_after_the_load(failover):
    folder, _ = failover
    clocks = manifest(folder)["clocks"]
    assert [(entry["clock"], entry["at"]) for entry in clocks] == [
        ("router", "start"),
        ("router", "end"),
        ("wall", "end"),
    ]
    assert all(abs(entry["offset_ms"]) <= entry["uncertainty_ms"] for entry in clocks[:2])
    assert metrics(folder)["clock_offset_max_ms"] == max(abs(entry["offset_ms"]) for entry in clocks)


def test_every_planned_request_is_in_the_data_with_its_phase(failover):
    folder, _ = failover
    rows, planned = (pd.read_parquet(folder / name) for name in ("requests.parquet", "schedule.parquet"))
    assert rows["request_id"].tolist() == planned["request_id"].tolist()
    assert set(rows["phase"]) == {"warmup", "steady", "fault", "recovery"}
    assert (rows["sent_s"] >= rows["scheduled_s"]).all()


def test_what_replicas_add_repeats_from_the_manifest_also_in_one_that_was_restarted(failover):
    folder, _ = failover
    about, planned = manifest(folder), pd.read_parquet(folder / "schedule.parquet")["demand_s"]
    rows = pd.read_parquet(folder / "requests.parquet")
    rows = rows[rows["outcome"] == "ok"]
    settings = ReplicaSettings(demand_distribution="lognormal", demand_sigma=0.5)
    expected, noisy = [], []
    for request, replica, attempts in zip(rows["request_id"], rows["replica"], rows["attempts"], strict=True):
        key = (about["seed"], str(request), replica, str(int(attempts)))
        noisy.append(uniform(*key, "noise") < 0.5)
        expected.append(demand_ms(settings, uniform(*key, "demand")) / 1e3 if noisy[-1] else planned[request])
    longer_s = rows["service_s"] - expected
    assert (longer_s > -2e-6).all()  # a process that is starved of CPU gives its jobs the lost time
    as_drawn, is_noisy = longer_s < 2e-6, np.array(noisy)
    assert as_drawn[is_noisy].mean() > 0.5 and as_drawn[~is_noisy].mean() > 0.5
    healed = next(event["t_s"] for event in events(folder) if event["event"] == "fault_healed")
    assert as_drawn[(rows["replica"] == "r2") & (rows["scheduled_s"] > healed)].any()
    assert 0.4 < sum(noisy) / len(noisy) < 0.6


def test_baseline_and_routed_share_a_schedule(tmp_path):
    hashes = {}
    for name, overrides in (
        ("baseline", ["+scenario=baseline"]),
        ("routed", ["+scenario=routed", "policy=round_robin", "load.workers=2", "replica.weights=[3,1]", UNREFUSED]),
    ):
        done = run(*overrides, *SHORT, "workload.duration_s=4", f"hydra.run.dir={tmp_path / name}")
        assert done.returncode in (0, 3), done.stderr
        hashes[name] = manifest(tmp_path / name)["schedule_hash"]
        assert lost(tmp_path / name).empty
    assert hashes["baseline"] == hashes["routed"]
    assert all(0 < manifest(tmp_path / name)["first_start_s"] < AT_MOST_S for name in hashes)
    rows = pd.read_parquet(tmp_path / "baseline" / "requests.parquet")
    ids = rows["replica"].str[1:].astype(int)
    assert (ids == rows["request_id"] % 2 + 1).all()
    assert len(manifest(tmp_path / "routed")["generator"]) == 2
    shares = pd.read_parquet(tmp_path / "routed" / "requests.parquet")["replica"].value_counts()
    assert shares["r1"] > 2 * shares["r2"] > 0
    if not {"ejected", "expired"} & {event["event"] for event in events(tmp_path / "routed")}:
        assert abs(shares["r1"] - 3 * shares["r2"]) <= 4  # a round that is begun and not ended


def test_autoscale_goes_up_and_comes_down_again(tmp_path):
    def is_through(told):
        words = [e["event"] for e in told if e.get("replica", "r3") == "r3" == e.get("target", "r3")]
        return "fault_healed" in words and "drained" in words[words.index("fault_healed") :]

    overrides = [
        "+scenario=autoscale", "tracking.enabled=false", "summary=never", "workload.spike.at=0.1", "workload.spike.lasts=0.4",
        "autoscaling.stabilization_down_s=3", "autoscaling.max_replicas=3", UNREFUSED, PATIENT,
        "faults=[{at_s: 1, action: latency, target: all, added_ms: 1}, {at_s: 2, action: error, target: r3, rate: 0, for_s: 2}]",
    ]  # fmt: skip
    folder, _ = run_until(is_through, tmp_path, lambda _: overrides, (34, 100))
    timeline = pd.read_parquet(folder / "timeline.parquet")
    ready = timeline["replicas_ready"]
    assert ready.max() >= 3 and timeline["replicas_provisioned"].max() >= 3
    assert ready.iloc[-1] < ready.max()
    decisions = [event for event in events(folder) if event["event"] == "scaling_decision"]
    assert all(decision["reason"] for decision in decisions)
    assert {"router", "manager", "wall"} == {entry["clock"] for entry in manifest(folder)["clocks"]}
    assert 0 < manifest(folder)["first_start_s"] < AT_MOST_S
    # Before the new replicas are there a queue may be full (503). Nothing is lost on the way down.
    down = next(d["t_s"] for d in decisions if d["desired"] < d["previous"])
    assert set(lost(folder)["status"]) <= {503} and lost(folder)["sent_s"].lt(down).all()
    told = [event for event in events(folder) if event["event"].startswith("fault_")]
    on_all = {event["target"]: event for event in told if (event["event"], event["action"]) == ("fault_injected", "latency")}
    assert on_all["r1"]["planned_s"] == 1 and {"r2", "r3"} <= on_all.keys()  # those that started later have it, too
    assert all(event["planned_s"] is None and event["waited_s"] > 0 for id_, event in on_all.items() if id_ != "r1")
    assert {e["target"] for e in told if e["event"] == "fault_spared"} == {f"r{n}" for n in (1, 2, 3)} - on_all.keys()
    injected, healed = (event for event in told if event["action"] == "error")
    assert (injected["event"], healed["event"]) == ("fault_injected", "fault_healed")
    assert injected["planned_s"] is None and injected["waited_s"] > 0  # until r3 was there; it lasts from then on
    assert healed["t_s"] - injected["t_s"] >= 2
