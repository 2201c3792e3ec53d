"""Whether a run had settled, and what a reader is told where it had not."""

import numpy as np
import pandas as pd
import pytest

from analysis.metrics import table as metrics
from analysis.metrics import timeline
from analysis.metrics.queueing import sojourn_s
from record.reading import Run
from tests.analysis import synthetic

pytestmark = pytest.mark.slow

DEMAND_S = 0.02


def queue_run(rho, *, seed=1, duration_s=60.0, warmup_s=10.0, speeds=(), router=None, **config):
    """A run of one replica with one slot under Poisson arrivals; times are those of the exact queue."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(DEMAND_S / rho, int(duration_s * rho / DEMAND_S * 1.5)))
    arrivals = arrivals[arrivals < duration_s]
    demand = rng.exponential(DEMAND_S, len(arrivals))
    requests = synthetic.even_requests(duration_s, 1).iloc[[0] * len(arrivals)].reset_index(drop=True)
    requests["request_id"] = np.arange(len(arrivals))
    requests["scheduled_s"] = requests["sent_s"] = arrivals
    requests["completed_s"] = arrivals + sojourn_s(arrivals, demand, 1)
    requests["phase"] = np.where(arrivals < warmup_s, "warmup", "steady")
    workload = {"duration_s": duration_s, "warmup_s": warmup_s, "profile": "constant", "rate_rps": rho / DEMAND_S}
    about = synthetic.manifest(
        config={
            "replicas": 1, "router": router, "scaler": {"name": "none"}, "workload": workload,
            "replica": {"concurrency": 1, "kind": "sleep", "speeds": list(speeds)}, **config,
        }
    )  # fmt: skip
    samples = [synthetic.sample(float(second)) for second in range(1, int(duration_s) + 1)]
    return Run(None, about, requests, [], samples, pd.Series(arrivals), pd.Series(demand))


def moment_ratio(alpha, spread):
    """E[X^2] / E[X]^2 of the bounded Pareto distribution, by numerical integration of its quantiles."""
    quantiles = (1 - (np.arange(2_000_000) + 0.5) / 2_000_000 * (1 - spread**-alpha)) ** (-1 / alpha)
    return (quantiles**2).mean() / quantiles.mean() ** 2


def compute(run):
    return metrics.compute(run, timeline.build(run))


def test_a_settled_queue_is_steady_and_nothing_is_noted():
    found = compute(queue_run(0.5))
    assert found["steady"] is True
    assert found["utilisation"] == pytest.approx(0.5, abs=0.05)
    assert found["relaxation_s"] == pytest.approx(DEMAND_S / (1 - 0.5**0.5) ** 2, rel=0.15)
    assert found["warnings"] == []


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_a_settled_queue_is_hardly_ever_called_unsteady(rho):
    verdicts = [compute(queue_run(rho, seed=seed, duration_s=40))["steady"] for seed in range(60)]
    assert verdicts.count(False) <= 3
    assert verdicts.count(True) > 40


def test_a_queue_that_grows_is_not_steady_and_its_load_is_named():
    found = compute(queue_run(1.3))
    assert found["steady"] is False
    assert found["relaxation_s"] is None
    assert found["valid"] is True
    assert any("not steady: the load offered is 1.3" in text for text in found["warnings"])


def test_latency_that_drifts_is_not_steady_though_the_load_is_low():
    run = queue_run(0.5)
    run.requests["completed_s"] += 0.01 * (run.requests["scheduled_s"] - 10).clip(lower=0)
    found = compute(run)
    assert found["steady"] is False
    assert any(text.startswith("not steady: mean latency went from") for text in found["warnings"])


def test_a_warm_up_that_is_too_short_for_the_load_is_noted():
    found = compute(queue_run(0.9, warmup_s=1.0))
    assert any("the warm-up of 1 s is short" in text for text in found["warnings"])


def test_a_slower_replica_counts_by_its_speed():
    assert compute(queue_run(0.4, speeds=[0.5]))["utilisation"] == pytest.approx(0.8, abs=0.08)


@pytest.mark.parametrize(
    "config",
    [{"scaler": {"name": "target_tracking"}}, {"replica": {"concurrency": 1, "kind": "cpu", "speeds": []}}],
    ids=["a fleet that scales", "work that burns CPU"],
)
def test_where_nothing_can_be_said_nothing_is_said(config):
    found = compute(queue_run(0.5, **config))
    assert found["steady"] is found["utilisation"] is found["relaxation_s"] is None


def test_few_requests_a_busy_router_and_a_closed_loop_are_noted():
    run = queue_run(0.5, duration_s=12, warmup_s=4, router={}, load={"loop": "closed"})
    run.samples[:] = [synthetic.sample(float(second), router=0.95) for second in range(1, 13)]
    run.requests = run.requests.iloc[:-5]
    text = " / ".join(compute(run)["warnings"])
    assert "its 95 % interval needs 368" in text
    assert "the router used 0.95 cores" in text
    assert "closed loop: 5 planned requests were never asked" in text


@pytest.mark.parametrize(
    ("demand", "factor"),
    [
        ({"distribution": "hyperexponential", "cv": 3.0}, 5.0),
        ({"distribution": "pareto", "alpha": 1.5, "spread": 1000.0}, moment_ratio(1.5, 1000.0) / 2),
        ({"distribution": "pareto", "alpha": 2.0, "spread": 50.0}, moment_ratio(2.0, 50.0) / 2),
        ({"distribution": "constant"}, 1.0),
    ],
)
def test_a_queue_with_longer_demands_remembers_longer(demand, factor):
    plain, found = queue_run(0.5), queue_run(0.5)
    found.manifest["config"]["workload"]["demand"] = demand
    ratio = compute(found)["relaxation_s"] / compute(plain)["relaxation_s"]
    assert ratio == pytest.approx(factor, rel=1e-3)


def test_of_a_trace_it_is_not_said_whether_it_was_steady():
    run = queue_run(0.5)
    run.manifest["config"]["workload"]["trace"] = "/somewhere/requests.csv"
    assert compute(run)["steady"] is None
