"""What a run says of the router's decisions, by hand; and the gate on a router that had no core."""

import numpy as np
import pandas as pd
import pytest

from analysis.metrics import decisions
from analysis.metrics.measured import in_numbers
from record.metrics import value_of
from tests.analysis.synthetic import even_requests, healed, injected, manifest, router, sample, schedule_at, write
from tests.running import run

LINES = {
    "replicas": 2,
    "replica": {"kind": "sleep", "concurrency": 1},
    "workload": {"rate_rps": 10.0, "duration_s": 10.0, "warmup_s": 0.0, "demand": {"replica_noise": 0.0}},
}


def sent_to(replicas, moments, demands, attempts=None, queue_s=None, sends=None):
    """Requests that were answered by these replicas, in a run of two with one slot each."""
    count = len(replicas)
    rows = pd.DataFrame(
        {
            "request_id": np.arange(count),
            "scheduled_s": np.array(moments, float),
            "sent_s": np.array(moments, float),
            "completed_s": np.array(moments, float) + 5.0,
            "status": 200,
            "outcome": "ok",
            "replica": replicas,
            "attempts": attempts or [1] * count,
            "queue_s": queue_s or [0.0] * count,
            "service_s": np.array(demands, float),
            "router_s": 0.0,
            "phase": "steady",
        }
    )
    if sends is not None:
        rows["sends"] = sends
    return rows, schedule_at(np.array(moments, float), np.array(demands, float))


def regrets(tmp_path, replicas, moments, demands, events=(), **more):
    rows, schedule = sent_to(replicas, moments, demands, **more)
    folder = write(tmp_path / "run", rows, about=manifest(config=LINES), schedule=schedule, events=list(events))
    found = decisions.regrets_ms(in_numbers(folder).run)
    return None if found is None else found.tolist()


def test_regret_is_what_the_best_line_would_have_saved_this_request(tmp_path):
    """r1 works until 2 s. The second request joins it for a second more: at r2 it would end at 1.5 and not 3."""
    assert regrets(tmp_path, ["r1", "r1", "r2"], [0, 0.5, 1], [2, 1, 1]) == pytest.approx([0, 1500, 0])


def test_who_takes_the_shorter_line_regrets_nothing_and_a_slow_replica_is_a_longer_one(tmp_path):
    assert regrets(tmp_path / "short", ["r1", "r2", "r2"], [0, 0.1, 0.2], [2, 1, 1]) == pytest.approx([0, 0, 0])
    slow = [injected(0, 0.0, "r2", "slow", parameters={"factor": 10.0})]
    assert regrets(tmp_path / "slow", ["r2", "r1"], [1, 1], [0.5, 0.5], slow) == pytest.approx([4500, 0])


@pytest.mark.parametrize("again", [{"attempts": [2, 1]}, {"sends": [2, 1]}], ids=["by the router", "by its client"])
def test_a_request_that_was_sent_again_fills_a_line_and_is_no_decision(tmp_path, again):
    # it came to r1 at 5 - 0 - 2 = 3 s; who joins it there waits for its end at 5 s
    found = regrets(tmp_path, ["r1", "r1"], [0, 4], [2, 1], **again)
    assert found == pytest.approx([1000])


def test_a_simulated_run_has_more_regret_where_nobody_looks_at_the_lines(tmp_path):
    told = []
    for policy in ("round_robin", "least_request"):
        quiet = ("summary=never", "tracking.enabled=false", "workload.duration_s=12", "workload.rate_rps=110")
        folder = tmp_path / policy
        done = run("+scenario=routed", "engine=sim", f"policy={policy}", *quiet, f"hydra.run.dir={folder}")
        assert done.returncode == 0, done.stderr
        told.append(in_numbers(folder).metrics)
    assert 0 < 2 * told[1]["regret_mean_ms"] < told[0]["regret_mean_ms"]
    assert value_of(told[0], "pick_share_turn") == value_of(told[1], "pick_share_least") == 1.0
    assert told[0]["false_ejections"] == told[0]["time_in_panic_s"] == 0


def test_time_in_panic_and_false_ejections_are_counted_from_events(tmp_path):
    events = [
        router("panic", 1.0), router("panic_over", 2.5), router("panic", 8.0),  # until the end, at 10 s
        injected(0, 3.0, "r2", "kill"), healed(0, 4.0, "r2", "kill"),
        router("ejected", 3.5, "r2"), router("ejected", 6.9, "r2"),  # its fault, within 3 s of its end
        router("ejected", 3.5, "r1"), router("ejected", 7.1, "r2"), router("ejected", -0.5, "r3"),
        router("ejected", 5.0, "b1", source="tier"),
    ]  # fmt: skip
    metrics = in_numbers(write(tmp_path / "run", even_requests(), about=manifest(), events=events)).metrics
    assert (metrics["time_in_panic_s"], metrics["false_ejections"]) == (3.5, 2)
    bare = in_numbers(write(tmp_path / "bare", even_requests(), about=manifest(config={"router": None}))).metrics
    assert bare["time_in_panic_s"] is bare["false_ejections"] is bare["regret_mean_ms"] is None


def test_a_reasons_name_is_one_that_every_store_of_metrics_takes(tmp_path):
    about = manifest(picks={"least": 3, "by my|own": 1})
    metrics = in_numbers(write(tmp_path / "run", even_requests(), about=about)).metrics
    assert value_of(metrics, "pick_share_least") == 0.75 and value_of(metrics, "pick_share_by_my_own") == 0.25


# -- the router's loop


def lagging(tmp_path, lag_ms, cores, events=()):
    samples = [sample(float(second), router=cores) for second in range(1, 11)]
    for each in samples:
        each["router_lag_ms"] = lag_ms
    about = manifest(faults=[])
    return in_numbers(write(tmp_path / "run", even_requests(), about=about, samples=samples, events=events)).metrics


def test_a_router_that_had_no_core_makes_the_run_invalid(tmp_path):
    metrics = lagging(tmp_path, 80.0, 0.4)
    assert metrics["router_starved_ms"] == metrics["router_lag_ms"] == 80.0 and not metrics["valid"]
    assert "the router's loop stood still for 80 ms of a mean second without a core" in metrics["invalid_reasons"][0]


def test_a_router_that_has_used_its_core_up_is_a_finding(tmp_path):
    metrics = lagging(tmp_path, 80.0, 0.97)
    assert metrics["valid"] and (metrics["router_lag_ms"], metrics["router_starved_ms"]) == (80.0, 0.0)
    assert "its own saturation is part of the result" in " ".join(metrics["warnings"])


def test_a_little_lag_and_what_is_done_to_the_router_itself_invalidate_nothing(tmp_path):
    assert lagging(tmp_path / "little", 20.0, 0.4)["valid"]
    # The last second before it is asked of a router that has been stopped.
    stopped = [injected(0, 3.003, "router", "pause"), healed(0, 10.0, "router", "pause")]
    metrics = lagging(tmp_path / "stopped", 900.0, 0.1, stopped)
    assert metrics["router_starved_ms"] is None and not any("stood still" in why for why in metrics["invalid_reasons"])
