"""What refusing costs: a limit that follows latency, and why it is not the default; and the rule that is."""

import numpy as np
import pytest

from experiments.plan.config import RouterConfig
from experiments.plan.schedule import build_schedule
from experiments.simulator.request import OK
from services.router.settings import EjectionSettings, LimitSettings
from tests.experiments.simulated import configured, run

LIMITS = LimitSettings(adaptive=True)


def served(config, *, sheds):
    """Of each request whether it was, and the moments at which they came, seconds."""
    assert config.router is not None
    config.router.limits.adaptive = sheds
    stack = run(config)
    return np.frombuffer(stack.records.outcome, np.int8) == OK, stack.load._schedule["scheduled_s"].to_numpy()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_busy_fleet_in_steady_state_loses_requests_to_the_limit_and_none_without(seed):
    """Utilisation 0.95, eight slots of 50 ms: the longest waits are those of chance, and look like an overload."""
    config = configured(0.95, replicas=4, slots=2, mean_ms=50.0, requests=6000, policy={"name": "adaptive"}, seed=seed)
    lost = [int((~served(config, sheds=sheds)[0]).sum()) for sheds in (False, True)]
    assert lost[0] == 0 and lost[1] > 20


def test_of_a_large_fleet_a_limit_that_begins_with_twenty_serves_what_littles_law_says():
    """150 replicas of two slots at 0.7 need 210 in flight. The limit begins with 20 and grows by smoothing times queue a
    window, so that after ten seconds at most 28 are, and of the requests as many in 210 are served."""
    config = configured(0.7, replicas=150, slots=2, mean_ms=50.0, requests=42_000, policy={"name": "adaptive"})
    config.router.limits = LimitSettings()
    assert served(config, sheds=False)[0].all()
    answered, at_s = served(config, sheds=True)
    grown = LIMITS.initial + LIMITS.smoothing * LIMITS.queue * at_s[-1] / LIMITS.window_s / 2
    assert answered.mean() == pytest.approx(grown / 210, rel=0.15)


def in_time(share, utilisation, seed):
    """Of each request whether it was served within a second, and of how many it was lost."""
    config = configured(
        utilisation, replicas=4, slots=2, mean_ms=50.0, requests=5000, policy={"name": "adaptive"}, seed=seed
    )
    config.router = RouterConfig(limits=LimitSettings(standing_share=share))
    stack = run(config)
    is_served = np.frombuffer(stack.records.outcome, np.int8) == OK
    return is_served & (stack.load.sojourn_s() <= 1.0), int((~is_served).sum())


@pytest.mark.parametrize(("utilisation", "seed"), [(0.9, 1), (0.95, 2), (0.98, 3)])
def test_the_default_refuses_next_to_nothing_of_a_busy_fleet_that_would_be_in_time(utilisation, seed):
    """Eight slots of 50 ms. What is refused of chance is made good by those who are earlier for it."""
    (without, lost), (default, _) = in_time(0.0, utilisation, seed), in_time(0.5, utilisation, seed)
    assert lost == 0
    assert default.sum() >= without.sum() - 1e-4 * len(default)


def test_of_a_quarter_too_much_the_default_serves_what_can_be_served_within_a_second():
    """Capacity is four of five. Without it the line grows until attempts time out."""
    (without, _), (default, lost) = in_time(0.0, 1.25, 1), in_time(0.5, 1.25, 1)
    assert without.mean() < 0.4
    assert default.mean() > 0.9 * 0.8 and lost == pytest.approx(0.2 * len(default), rel=0.35)


@pytest.mark.parametrize("policy", ["round_robin", "random"])
@pytest.mark.parametrize("speed", [0.3, 0.1])
def test_a_burst_is_over_also_where_a_policy_keeps_a_slow_replica_in_line(policy, speed):
    """Ten seconds' requests come within three; then half of what the others can do is asked, and one of four is slow."""
    config = configured(
        0.5, replicas=4, slots=2, mean_ms=50.0, requests=3200, policy={"name": policy}, speeds=(1, 1, 1, speed)
    )
    config.router = RouterConfig(ejection=EjectionSettings(enabled=False))
    schedule = build_schedule(config.workload, config.seed)
    at_s = schedule["scheduled_s"].to_numpy()
    at_s = np.where(at_s < 10, 0.3 * at_s, at_s - 7)
    lost = np.frombuffer(run(config, schedule=schedule.assign(scheduled_s=at_s)).records.outcome, np.int8) != OK
    assert lost[at_s < 4].mean() > 0.2 and lost[at_s >= 10].mean() < 0.01
