"""The scenarios that expect something of the router: what each says of itself is so, simulated, over three seeds."""

import pytest
import yaml

from experiments.plan.installed import CONF
from tests.running import run

EXPECTING = sorted(
    path.stem for path in (CONF / "scenario").glob("*.yaml") if yaml.safe_load(path.read_text()).get("expect")
)
QUIET = ("engine=sim", "summary=never", "tracking.enabled=false", "hydra/launcher=basic")


def test_there_are_some():
    assert {"check_outage", "gray_failure", "hang", "lying_health", "rolling_restart"} <= set(EXPECTING)


@pytest.mark.parametrize("scenario", EXPECTING)
def test_the_default_router_does_what_the_scenario_expects(tmp_path, scenario):
    done = run("-m", f"+scenario={scenario}", "seed=11,12,13", *QUIET, f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


@pytest.mark.parametrize(
    ("scenario", "without"),
    [
        ("blackhole", ["policy=round_robin"]),
        (
            "cache_loss",
            ["router=default", "router@tier.router=default", "router.limits.standing_share=0", "tier.router.limits.standing_share=0"],
        ),
        ("check_outage", ["router.health.panic_threshold=0"]),
        ("cold_start", ["policy=least_request"]),
        ("correlated", ["router=no_retries"]),
        ("fast_fail", ["router=no_retries"]),
        ("flapping", ["router=no_retries"]),
        ("gray_failure", ["policy=least_request"]),
        ("hang", ["policy=round_robin"]),
        ("heterogeneous", ["policy=round_robin"]),
        ("lying_health", ["router=no_retries"]),
        ("tail_at_scale", ["tier.router.hedging.enabled=false"]),
        ("slow_dependency", ["scaler.metric=rate_rps", "scaler.target=10"]),
        ("starved", ["router=no_retries", "router.timeouts.attempt_s=0.5"]),
        ("partition", ["policy=round_robin"]),
        ("stale_connections", ["router=no_retries"]),
        ("late_membership", ["router=no_retries"]),
        ("overload", ["router.limits.standing_share=0"]),
        ("probe_overload", ["router.limits.standing_share=0"]),
        ("retry_storm", ["router=default", "router.limits.standing_share=0"]),
        ("rolling_restart", ["router=no_retries", "faults=[{at_s: 8, action: kill, target: r1, for_s: 1}]"]),
    ],
)
def test_the_expectation_is_one_that_can_fail(tmp_path, scenario, without):
    done = run(f"+scenario={scenario}", *without, *QUIET, "counterfactual=never", f"hydra.run.dir={tmp_path}")
    assert done.returncode == 4, done.stdout[-3000:] + done.stderr
