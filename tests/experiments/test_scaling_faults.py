"""Scaling on bad days, in virtual time: a slow dependency, a replica that answers nothing, a load that swings."""

from itertools import pairwise

import pytest
from hydra import compose, initialize_config_dir

from experiments.plan import store
from experiments.plan.resolve import resolve
from experiments.plan.schedule import build_schedule
from experiments.simulator.stack import VirtualStack
from tests.running import ROOT

pytestmark = pytest.mark.slow


def played(*overrides):
    """The stack after its run, and every decision: moment, wanted number, what the scaler asked for."""
    store.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        plan = resolve(compose("config", overrides=["engine=sim", *overrides]))
    schedule = build_schedule(plan.config.workload, plan.config.seed)
    stack = VirtualStack(plan.config, plan.faults, schedule, lambda *_, **__: None)
    stack.run(lambda _: True)
    return stack, [(d["monotonic_s"], d["desired"], d["raw_desired"]) for d in stack.manager.deciding.decisions(0)["decisions"]]


def changes(decisions):
    """The numbers one after another, each once."""
    numbers = [number for _, number, _ in decisions]
    return [number for place, number in enumerate(numbers) if place == 0 or numbers[place - 1] != number]


# -- Slack's morning


SLOW = "+scenario=slow_dependency"
AS_CPU = ("scaler.metric=rate_rps", "scaler.target=10")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_slow_dependency_shrinks_a_fleet_that_follows_what_it_burns_and_not_one_that_follows_what_waits(seed):
    """30 a second hold a slot for 120 ms, then for 480: 3.6 in flight become 14.4, 0.6 a slot of two are 3 and 12."""
    number = {}
    for name, more in (("right", ()), ("wrong", AS_CPU)):
        _, decisions = played(SLOW, f"seed={seed}", *more)
        before = [desired for at, desired, _ in decisions if 10 <= at < 15]
        meanwhile = [desired for at, desired, _ in decisions if 20 <= at < 45]
        assert set(before) <= {3, 4}, (name, before)  # the two agree as long as nothing is slow
        number[name] = meanwhile
    assert min(number["right"]) >= 10
    assert max(number["wrong"]) <= 4 and min(number["wrong"]) <= 2, "it took some away while more were needed"


def test_the_numbers_fall_back_when_the_dependency_is_well_again():
    _, decisions = played(SLOW)
    assert decisions[-1][1] <= 4


def test_with_a_quota_the_right_signal_asks_for_what_cannot_be_provisioned():
    """As Slack asked for 1,200 servers, of which few came."""
    # Nobody is refused: whoever refuses what is too much asks for no more than it lets in.
    stack, decisions = played(SLOW, "autoscaling.starts.supply=4", "router.limits.standing_share=0")
    assert max(desired for _, desired, _ in decisions) == 12
    assert max(sample["replicas_ready"] for sample in stack.samples) == 4
    asked = [asked for at, _, asked in decisions if asked is not None and 30 <= at < 45]
    assert max(asked) > 20, "the line of those that wait asks for more and more"


# -- a replica that answers nothing, and is healthy


HUNG = (
    "+scenario=autoscale", "workload=constant", "workload.rate_rps=24", "workload.duration_s=60", "workload.warmup_s=5",
    "replicas=3", "autoscaling.max_replicas=12", "faults=[{at_s: 15, action: hang, target: r2, for_s: 30}]",
)  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_replica_that_hangs_and_is_healthy_does_not_drive_the_number_up(seed):
    _, hung = played(*HUNG, f"seed={seed}")
    _, well = played(*HUNG, f"seed={seed}", "faults=[]")
    most = max(number for _, number, _ in well)
    assert max(number for _, number, _ in hung) <= most + 1, changes(hung)


def test_it_does_where_nobody_notices():
    """The control: round robin, no retries, no ejection; what hangs there stays under way, and is taken for work."""
    blind = ("policy=round_robin", "router=no_retries", "router.ejection.enabled=false", "router.timeouts.attempt_s=20",
             "router.timeouts.overall_s=20", "load.timeout_s=20")  # fmt: skip
    _, hung = played(*HUNG, *blind)
    assert max(number for _, number, _ in hung) >= 7, changes(hung)


# -- a load that swings


def swinging(period_s, window_s, scaler="target_tracking"):
    """Up and down between one and five replicas' worth, ten times; windows in the scaler's own words."""
    options = [f"autoscaling.stabilization_down_s={window_s}"]
    if scaler == "hpa":
        options = [f"++scaler.behavior.scaleDown.stabilizationWindowSeconds={window_s}"]
    duration_s = 10 * period_s
    return played(
        "+scenario=autoscale", f"scaler={scaler}", *options, "workload=diurnal", "workload.diurnal.periods=10",
        "workload.diurnal.amplitude=0.8", "workload.rate_rps=72", "workload.arrivals=uniform",
        "workload.demand.distribution=constant", f"workload.duration_s={duration_s}", "workload.warmup_s=0",
        "replicas=2", "autoscaling.min_replicas=1", "autoscaling.max_replicas=10", "autoscaling.max_down=10",
    )[1]  # fmt: skip


def downs(decisions):
    numbers = [number for _, number, _ in decisions]
    return sum(after < before for before, after in pairwise(numbers))


@pytest.mark.parametrize("scaler", ["target_tracking", "hpa"])
def test_a_load_that_swings_within_the_window_takes_nobody_away(scaler):
    """Kubernetes: of all recommendations of the window the highest is taken, so that dips within it do not show.

    From the first peak on, where the window holds one, the number is that of the peak; one swing costs no action."""
    decisions = swinging(20, 30, scaler)
    settled = [entry for entry in decisions if entry[0] >= 30]
    assert downs(settled) == 0, changes(settled)
    assert len(changes(settled)) <= 2, changes(settled)
    assert any(asked is not None and asked < number - 1 for _, number, asked in settled) or scaler == "hpa", "it did swing"


@pytest.mark.parametrize("scaler", ["target_tracking", "hpa"])
def test_one_that_swings_slower_than_the_window_is_followed_and_the_control_flaps(scaler):
    """The control: a window far shorter than the period shows every dip; at most one way down and up a period."""
    decisions = swinging(60, 5, scaler)
    assert downs(decisions) >= 9, changes(decisions)
    assert downs(decisions) <= 10 * 6, "no more steps a period than there are replicas to take"
