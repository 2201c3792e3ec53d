"""Every scaler drives the virtual manager: the rate triples for a while, each adds replicas and takes them away again."""

import pytest
from hydra import compose, initialize_config_dir

from experiments.plan import store
from experiments.plan.resolve import resolve
from experiments.plan.schedule import build_schedule
from experiments.simulator.stack import VirtualStack
from experiments.sweep.dry_run import sweep_of
from experiments.sweep.jobs import spread
from tests.running import ROOT

COMMAND = (
    "+scenario=autoscale engine=sim workload.rate_rps=24 workload.duration_s=90 workload.warmup_s=5 "
    "workload.demand.mean_ms=50 replica.concurrency=1 replicas=2 autoscaling.min_replicas=1 autoscaling.max_replicas=12"
)
"""24 requests a second of 50 ms are 1.2 in flight, 72 are 3.6."""
FAST = "scaler.time_factor=30"
"""Windows of 300 s become ten."""
OPTIONS = {
    "hpa": [FAST],
    "keda": [FAST, "scaler.threshold=12"],
    "knative": ["scaler.time_factor=5", "scaler.target=1"],
    "predictive": [],
    "queueing": [],
    "threshold": [FAST],
}


def played(scaler, *overrides):
    """The numbers that it came to, by moment."""
    store.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        plan = resolve(compose("config", overrides=[*COMMAND.split(), f"scaler={scaler}", *overrides]))
    changes = [(0.0, plan.config.replicas)]

    def sink(source, event, now, **detail):
        if event == "scaling_decision":
            changes.append((now, detail["desired"]))

    stack = VirtualStack(plan.config, plan.faults, build_schedule(plan.config.workload, plan.config.seed), sink)
    stack.run(lambda _: True)
    assert stack.records.ended == stack.load.asked
    return changes


@pytest.mark.parametrize("scaler", OPTIONS)
def test_it_follows_a_rate_that_triples_and_falls_back(scaler):
    numbers = [number for _, number in played(scaler, *OPTIONS[scaler])]
    most = max(numbers)
    assert 4 <= most <= 12, numbers
    assert numbers[-1] < most and min(numbers) >= 1, numbers


@pytest.mark.slow
def test_an_option_of_several_scalers_or_policies_is_typed_as_that_of_one():
    """Hydra would set it in the scenario's own, which may not have it."""
    store.register()
    typed = ["-m", "+scenario=autoscale", "engine=sim", "scaler=hpa,keda", "scaler.time_factor=15", "policy.choices=3"]
    assert spread(typed) == [text if "time_factor" not in text else "scaler.time_factor=choice(15)" for text in typed]
    jobs = sweep_of(spread(typed[:-1])).jobs
    assert [(job.config.scaler["name"], job.config.scaler["time_factor"]) for job in jobs] == [("hpa", 15), ("keda", 15)]
    assert all("scaler.time_factor=15" in job.arm for job in jobs)
    for alone in (["-m", "scaler=hpa", "scaler.time_factor=1,2"], ["-m", "scaler=hpa,keda", "scaler.target=]"], ["--help"]):
        assert spread(alone) == alone
