"""Short live runs with POST requests, a killed replica, cut connections and clients that ask again: the ledger has it all."""

import pandas as pd
import pytest

from tests.running import SHORT, events, manifest, metrics, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("live") / "run"
    faults = (
        "faults=[{at_s: 2, action: kill, target: r1, for_s: 1}, {at_s: 4, action: reset, target: r2, for_s: 1, share: 0.7}]"
    )
    done = run(
        "+scenario=routed", *SHORT, "replicas=3", "workload.rate_rps=60", "workload.post_share=0.5", faults,
        "policy=random", "router.ejection.enabled=false", "counterfactual=never", f"hydra.run.dir={place}",
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return place


def test_a_post_that_was_sent_is_never_made_again_and_the_replicas_bear_it_out(folder):
    requests, schedule = pd.read_parquet(folder / "requests.parquet"), pd.read_parquet(folder / "schedule.parquet")
    is_post = schedule["method"] == "POST"
    assert (requests.loc[~is_post, "attempts"] > 1).any()
    work = pd.read_parquet(folder / "work.parquet")
    assert work.groupby("request_id")["method"].first().eq(schedule["method"]).reindex(work["request_id"]).all()
    # What was sent to r1 or r2 and lost there shows in the ledger as one row, and in the answer as a 502.
    lost = requests[is_post & (requests["status"] == 502)]
    assert len(lost) and (lost["attempts"] == 1).all()
    said = metrics(folder)
    assert said["post_requests"] > 0 and said["failed_post_requests"] > 0
    assert said["duplicate_posts"] == 0


def test_every_attempt_of_an_answered_request_is_in_the_ledger_and_a_killed_replica_leaves_what_it_had_begun(folder):
    requests, work = pd.read_parquet(folder / "requests.parquet"), pd.read_parquet(folder / "work.parquet")
    served = requests[requests["outcome"] == "ok"].set_index("request_id")
    answered = work[work["end"] == "answered"].groupby("request_id").last()
    answered = answered.loc[served.index]  # raises where one is missing
    assert (answered["replica"] == served["replica"]).all() and (answered["attempt"] <= served["attempts"]).all()
    assert (answered["ended_s"] - answered["began_s"] - served["service_s"]).abs().max() < 1e-3
    assert (answered["taken_s"] >= served["sent_s"] - 1e-3).all()
    assert (answered["taken_s"] <= served["completed_s"]).all()
    assert {"answered", "failed"} <= set(work["end"]) and work.loc[work["end"] == "failed", "began_s"].isna().all()
    killed = work[work["end"] == "killed"]
    landed = next(e["t_s"] for e in events(folder) if e["event"] == "fault_injected" and e["action"] == "kill")
    assert (killed["replica"] == "r1").all() and (killed["ended_s"] == landed).all()
    assert manifest(folder)["config"]["ledger"] == "auto" and not (folder / "raw").exists()


def test_what_clients_send_again_is_in_the_rows_and_in_the_ledger(tmp_path):
    done = run(
        "+scenario=routed", *SHORT, "workload.duration_s=4", "workload.post_share=0.3", "router=no_retries",
        "load.retries.max_attempts=3", "load.retries.backoff_base_s=0.01",
        "faults=[{at_s: 1, action: error, target: all, for_s: 3, rate: 0.5}]", "counterfactual=never",
        f"hydra.run.dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stdout + done.stderr
    requests, work = pd.read_parquet(tmp_path / "requests.parquet"), pd.read_parquet(tmp_path / "work.parquet")
    is_post = pd.read_parquet(tmp_path / "schedule.parquet")["method"] == "POST"
    assert set(requests.loc[~is_post, "sends"]) == {1, 2, 3} and set(requests.loc[is_post, "sends"]) == {1}
    assert (requests.loc[(requests["outcome"] == "http_error") & ~is_post, "sends"] == 3).all()
    answered = requests[requests["status"].notna()]
    sent = work.groupby("request_id")["send"].agg(["max", "count"]).loc[answered["request_id"]]
    assert (sent["max"].to_numpy() == answered["sends"]).all() and (sent["count"].to_numpy() == answered["sends"]).all()
    said = metrics(tmp_path)
    assert said["sends_per_request"] > 1.1 and said["amplification"] > 1.1 and said["duplicate_posts"] == 0
