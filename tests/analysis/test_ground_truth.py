"""A run against theory: exact where it can be, silent where it cannot."""

import json
from typing import Any

import numpy as np
import pytest

from analysis.metrics import ground_truth
from analysis.metrics.queueing import sojourn_s
from record.reading import read
from tests.analysis import synthetic

CONFIG: dict[str, Any] = {
    "replicas": 1,
    "router": None,
    "replica": {"kind": "sleep", "concurrency": 1, "queue_limit": 1000, "speeds": []},
    "workload": {
        "rate_rps": 40.0, "duration_s": 25.0, "warmup_s": 0.0, "arrivals": "poisson", "profile": "constant",
        "demand": {"mean_ms": 20.0, "distribution": "exponential", "replica_noise": 0.0},
    },
}  # fmt: skip


def made(folder, *, late_s=0.0, config=None, **about):
    """A run whose answers came `late_s` after the exact sojourn."""
    config = {**CONFIG, **(config or {})}
    rng = np.random.default_rng(5)
    arrivals, demand = np.sort(rng.uniform(0, 25, 1000)), rng.exponential(0.02, 1000)
    replicas = config["replicas"]
    exact = np.full(1000, np.nan)
    for number in range(replicas):
        speed = config["replica"]["speeds"][number] if config["replica"]["speeds"] else 1.0
        mine = slice(number, None, replicas)
        exact[mine] = sojourn_s(
            arrivals[mine], demand[mine] / speed, config["replica"]["concurrency"], config["replica"]["queue_limit"]
        )
    table = synthetic.even_requests(25.0, 40, 0.0).assign(scheduled_s=arrivals, sent_s=arrivals)
    table["completed_s"] = arrivals + np.where(np.isnan(exact), 0.001, exact) + late_s
    table["outcome"] = np.where(np.isnan(exact), "http_error", "ok")
    planned = synthetic.schedule_at(arrivals, demand)
    synthetic.write(folder, table, about=synthetic.manifest(config=config, **about), schedule=planned)
    return ground_truth.assess(read(folder))


@pytest.mark.parametrize("replicas", [1, 3])
def test_what_the_live_system_adds_to_the_exact_sojourn_is_found(tmp_path, replicas):
    config = {"replicas": replicas, "replica": {**CONFIG["replica"], "speeds": [1.0, 0.5, 2.0][:replicas]}}
    found = made(tmp_path, late_s=0.002, config=config)
    assert found["exact_error_p50_ms"] == pytest.approx(2.0, abs=1e-6)
    assert found["exact_error_p99_ms"] == pytest.approx(2.0, abs=1e-6)
    assert (found["theory_latency_mean_ms"] is None) == (replicas > 1)


def test_the_closed_form_is_that_of_one_server(tmp_path):
    found = made(tmp_path)
    assert found["theory_latency_mean_ms"] == pytest.approx(1e3 / (50 - 40))
    assert found["theory_latency_p99_ms"] == pytest.approx(1e3 * np.log(100) / 10)
    assert found["theory_blocked_share"] == pytest.approx(0.0, abs=1e-9)


def test_requests_that_find_the_queue_full_are_a_share_of_their_own(tmp_path):
    found = made(tmp_path, config={"replica": {**CONFIG["replica"], "queue_limit": 0}})
    assert found["theory_blocked_share"] == pytest.approx(0.8 / 1.8)
    assert found["exact_blocked_share"] == pytest.approx(0.8 / 1.8, abs=0.05)
    assert found["theory_latency_mean_ms"] is None
    assert found["exact_error_p99_ms"] == pytest.approx(0.0, abs=1e-6)


WITHOUT: dict[str, dict[str, Any]] = {
    "a router": {"config": {"router": {}}},
    "cpu work": {"config": {"replica": {**CONFIG["replica"], "kind": "cpu"}}},
    "clients that ask again": {"config": {"load": {"retries": {"max_attempts": 3}}}},
    "a fault": {"faults": [{"at_s": 1.0, "action": "slow", "target": "r1"}]},
    "replica noise": {
        "config": {"workload": {**CONFIG["workload"], "demand": {**CONFIG["workload"]["demand"], "replica_noise": 0.5}}}
    },
}


@pytest.mark.parametrize("changes", WITHOUT.values(), ids=WITHOUT)
def test_a_run_that_has_no_exact_truth_claims_none(tmp_path, changes):
    assert set(made(tmp_path, **changes).values()) == {None}


@pytest.mark.parametrize(
    "workload", [{"arrivals": "uniform"}, {"profile": "spike"}, {"demand": {"distribution": "constant"}}]
)
def test_a_queue_that_is_not_markovian_has_no_closed_form_but_an_exact_one(tmp_path, workload):
    demand = {**CONFIG["workload"]["demand"], **workload.pop("demand", {})}
    found = made(tmp_path, config={"workload": {**CONFIG["workload"], **workload, "demand": demand}})
    assert found["theory_latency_mean_ms"] is None
    assert found["exact_error_p99_ms"] is not None
    assert json.dumps(found)


def test_a_trace_is_exact_but_has_no_closed_form_whatever_arrivals_were_configured(tmp_path):
    config = {"workload": {**CONFIG["workload"], "trace": "/somewhere/requests.csv"}}
    found = made(tmp_path, config=config)
    assert found["exact_error_p99_ms"] == pytest.approx(0.0, abs=1e-6)
    assert found["theory_latency_p99_ms"] is None and found["theory_blocked_share"] is None
