"""Scaling in virtual time, by the very decisions of the live manager: the right number, and no other."""

import pytest
from hydra import compose, initialize_config_dir

from experiments.plan import store
from experiments.plan.config import ConfigError
from experiments.plan.resolve import resolve
from experiments.plan.schedule import build_schedule
from experiments.simulator.stack import VirtualStack
from tests.running import ROOT

COMMAND = (
    "+scenario=routed policy=round_robin scaler=target_tracking scaler.target=0.25 replicas=2 autoscaling.min_replicas=1 "
    "autoscaling.max_replicas=16 autoscaling.max_up=64 autoscaling.stabilization_down_s=15 replica.concurrency=4 "
    "workload.arrivals=uniform workload.rate_rps=38 workload.demand.mean_ms=200 "
    "workload.demand.distribution=constant workload.duration_s=40 workload.warmup_s=3 engine=sim"
)
"""38 requests a second of 0.2 s are 7.6 in flight; a target of 0.25 on four slots is one a replica: eight."""


def planned(*overrides):
    store.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return resolve(compose("config", overrides=[*COMMAND.split(), *overrides]))


def played(*overrides):
    """The stack after its run, and every decision that changed the number: moment, before, after."""
    plan, changes = planned(*overrides), []

    def sink(source, event, now, **detail):
        if event == "scaling_decision":
            changes.append((now, detail["previous"], detail["desired"]))

    stack = VirtualStack(plan.config, plan.faults, build_schedule(plan.config.workload, plan.config.seed), sink)
    stack.run(lambda _: True)
    return stack, changes


def ready(stack):
    """Replicas in rotation, second by second."""
    return {round(sample["t_s"]): sample["replicas_ready"] for sample in stack.samples}


def test_constant_load_leads_to_the_number_that_it_needs_and_stays_there():
    stack, changes = played()
    # The first second's mean is that of a load which begins: 6.86 in flight.
    assert [(before, after) for _, before, after in changes] == [(2, 7), (7, 8)]
    assert changes[-1][0] <= 2.0
    assert ready(stack)[40] == 8
    seen = [d["observation"]["in_flight"] for d in stack.manager.deciding.decisions(0)["decisions"]]
    # While replicas join, too: the way to a replica and back is the 0.02 over 7.6.
    assert seen[4:-1] == pytest.approx([7.62] * len(seen[4:-1]), abs=0.02)


@pytest.mark.parametrize(("rate_rps", "window_s"), [(36.0, 0), (38.0, 0), (43.0, 15)])
def test_a_rolling_restart_under_constant_load_leads_to_no_decision(rate_rps, window_s):
    # Without a window one wrong look is a decision for fewer; 43 a second are 8.62, within tolerance of eight.
    restarts = ",".join(f"{{at_s: {10 + 2 * n}, action: restart, target: r{n}}}" for n in range(1, 9))
    stack, changes = played(
        f"faults=[{restarts}]", f"workload.rate_rps={rate_rps}", "replicas=8",
        f"autoscaling.stabilization_down_s={window_s}",
    )  # fmt: skip
    assert [change for change in changes if change[0] > 5] == []
    assert stack.manager.deciding.desired == 8


def test_where_requests_wait_at_the_router_the_number_grows_beyond_a_target_of_one_a_slot():
    """60 a second of 0.2 s are 12 in flight; 1.2 a slot of four are 2.5 replicas."""
    stack, _ = played(
        "policy=late_binding", "scaler.target=1.2", "replicas=1", "workload.rate_rps=60", "workload.duration_s=20",
    )  # fmt: skip
    assert 3 <= ready(stack)[20] <= 16


def test_replicas_that_leave_do_not_take_their_work_out_of_the_count():
    _, changes = played(
        "replicas=16", "workload=step", "workload.rate_rps=15.2", "workload.step.at=0.5", "workload.step.factor=0.5",
        "workload.demand.mean_ms=1000", "autoscaling.max_down=64", "autoscaling.stabilization_down_s=0",
    )  # fmt: skip
    # Requests of a second: in the one in which the rate halves, 11.4 are in flight on average, and 7.6 from then on,
    # some of them for a while at those that drain.
    assert [(before, after) for now, before, after in changes if 5 < now <= 40] == [(16, 12), (12, 8)]


MINUTE = [
    "engine.delays.startup.median_ms=60000", "engine.delays.startup.sigma=0", "engine.startup_timeout_s=60",
    "workload.duration_s=190",
]  # fmt: skip


def test_wanted_replicas_start_side_by_side():
    stack, changes = played(*MINUTE)
    assert [(before, after) for _, before, after in changes] == [(2, 7), (7, 8)]
    at = ready(stack)
    assert (at[60], at[62], at[64]) == (2, 7, 8)


def test_no_more_start_at_once_than_may():
    stack, _ = played(*MINUTE, "autoscaling.max_starting=2")
    at = ready(stack)
    assert [at[second] for second in (61, 62, 121, 122, 181, 182)] == [2, 4, 4, 6, 6, 8]


def test_a_start_takes_an_hour_at_most_and_other_delays_a_minute():
    hour = planned("engine.delays.startup.median_ms=3600000", "engine.startup_timeout_s=3600")
    assert hour.config.engine.delays.startup.median_s == 3600
    for wrong in ("startup.median_ms=3600001", "replica.median_ms=60001"):
        with pytest.raises(ConfigError, match=wrong.split("=")[0].replace(".", r"\.")):
            planned(f"engine.delays.{wrong}")


def test_a_start_that_would_be_given_up_live_is_not_simulated():
    with pytest.raises(ConfigError, match=r"startup\.median_ms=60000: must be at most engine\.startup_timeout_s=20 s"):
        planned("engine.delays.startup.median_ms=60000")


def test_a_manager_reads_one_router_whatever_the_scenario():
    with pytest.raises(ConfigError, match=r"router\.count=2: must be 1 where something scales"):
        planned("router.count=2")


def test_how_many_start_at_once_has_bounds():
    with pytest.raises(ConfigError, match=r"autoscaling\.max_starting=0: must be between 1 and"):
        planned("autoscaling.max_starting=0")
