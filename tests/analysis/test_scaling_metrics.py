"""What metrics.json says of a run with a demand: by hand, where it lacks something, and between arms."""

import pandas as pd
import pytest

from analysis.comparison.arms import sort_into_arms
from analysis.comparison.comparison import compare
from analysis.comparison.front import front_of
from analysis.metrics import scaling
from analysis.metrics.measured import in_numbers
from analysis.summary import summarise
from analysis.tables.fronts import front_list, in_words
from services.manager.settings import StartSettings
from services.manager.starts import Starts
from tests.analysis import synthetic

NEEDED = [1, 1, 1, 1, 3, 3, 3, 1, 1, 1]
"""Of a run of ten seconds, the first two of which are its warm-up."""
READY = [1, 1, 1, 1, 1, 1, 3, 3, 3, 1]
WANTED = [1, 1, 1, 1, 3, 3, 3, 3, 1, 1]
SIM = {"name": "sim", "delays": {"startup": {"median_ms": 1500.0, "sigma": 0.1}}}


def decision(t_s, previous, desired):
    return {"t_s": t_s, "source": "manager", "event": "scaling_decision", "previous": previous, "desired": desired}


def joined(t_s, replica, cause="first_check"):
    return {"t_s": t_s, "source": "router", "event": "readmitted", "replica": replica, "cause": cause}


EVENTS = [decision(4.5, 1, 3), joined(6.5, "r2"), joined(7.0, "r3"), decision(8.5, 3, 1)]


def scaled(
    folder, *, needed=NEEDED, ready=READY, wanted=WANTED, provisioned=(None,) * 10, engine=SIM, events=EVENTS, seed=1,
    scaler="hpa", replicas=1, failing=(), first_start_s=None, **more
):  # fmt: skip
    """Write a run; `failing` are seconds in which every request fails."""
    about = synthetic.manifest(
        scenario="autoscale",
        seed=seed,
        virtual_time=engine is SIM,
        demand_source="analytic",
        first_start_s=first_start_s,
        config={
            "seed": seed,
            "engine": engine,
            "scaler": {"name": scaler},
            "replicas": replicas,
            "autoscaling": {"min_replicas": 1, "max_replicas": 4, "shortage_price": 10.0, **more},
        },
    )
    requests = synthetic.even_requests()
    failed = requests["scheduled_s"].astype(int).isin(list(failing))
    requests.loc[failed, "outcome"] = "http_error"
    counts = enumerate(zip(ready, wanted, provisioned, strict=True), 1)
    samples = [synthetic.sample(float(second), *numbers) for second, numbers in counts]
    synthetic.write(folder, requests, about=about, events=events, samples=samples)
    if needed is not None:
        rows = {"t_s": range(len(needed)), "rate_rps": [10.0] * len(needed), "replicas": needed}
        pd.DataFrame(rows).to_parquet(folder / "demand.parquet", index=False)
    return folder


def metrics_of(folder):
    return in_numbers(folder).metrics


def test_a_run_by_hand(tmp_path):
    found = metrics_of(scaled(tmp_path / "run", failing=(4, 5)))
    # Of the eight seconds after warm-up the demand is 1 1 3 3 3 1 1 1, ready are 1 1 1 1 3 3 3 1, paid 1 1 3 3 3 3 3 1.
    assert found["scaling_not_judged"] is None
    assert found["under_provisioning_accuracy"] == pytest.approx(2 * (2 / 3) / 8, abs=1e-6)
    assert found["over_provisioning_accuracy"] == pytest.approx(2 * 2 / 8)
    assert found["under_provisioning_resource_share"] == pytest.approx(4 / (8 * 4))
    assert found["over_provisioning_resource_share"] == pytest.approx(4 / (8 * 4))
    assert (found["under_provisioned_share"], found["over_provisioned_share"]) == (0.25, 0.25)
    assert found["scaling_jitter_per_min"] == 0.0
    assert found["scaling_instability_up_share"] == found["scaling_instability_down_share"] == pytest.approx(2 / 7, abs=1e-6)
    assert found["scaling_actions"] == 2
    assert (found["need_to_ready_s"], found["need_to_ready_max_s"], found["unmet_needs"]) == (2.0, 2.0, 0)
    assert (found["paid_replica_seconds"], found["shortage_replica_seconds"]) == (18.0, 4.0)
    # Hindsight: 1 1 3 3 3 1 1 1, two starts of 1.5 s.
    assert found["hindsight_startup_s"] == 1.5
    assert found["hindsight_replica_seconds"] == 14 + 2 * 1.5
    assert found["hindsight_shortage_replica_seconds"] == found["hindsight_under_provisioned_share"] == 0.0
    assert found["scaling_regret"] == pytest.approx((18 + 10 * 4) / 17, abs=1e-6)
    assert found["scaling_regret_replica_seconds"] == pytest.approx(58 - 17)
    assert (found["slo_violation_s"], found["slo_violation_share"]) == (2.0, 0.25)
    assert found["slo_violating_requests"] == 20


def test_replicas_that_are_kept_out_of_rotation_are_paid_for(tmp_path):
    pool = [max(both) + 2 for both in zip(READY, WANTED, strict=True)]
    found = metrics_of(scaled(tmp_path / "pool", provisioned=pool))
    assert (found["replica_seconds"], found["paid_replica_seconds"]) == (sum(pool), 18.0 + 2 * 8)
    assert found["scaling_regret"] == pytest.approx((34 + 10 * 4) / 17, abs=1e-6)


def test_replicas_that_nobody_can_have_are_not_paid_for(tmp_path):
    found = metrics_of(scaled(tmp_path / "run", wanted=[9] * 10, provisioned=READY))
    assert found["replica_seconds"] == sum(READY) and found["paid_replica_seconds"] == sum(READY[2:])


def test_a_manager_that_does_not_answer_changes_nothing_of_what_is_paid(tmp_path):
    whole = metrics_of(scaled(tmp_path / "a", provisioned=WANTED))
    gaps = [None, 1, 1, 1, 3, None, None, 3, 1, None]
    assert metrics_of(scaled(tmp_path / "b", provisioned=gaps)) == whole


@pytest.mark.parametrize("count", [1, 6])
def test_no_fixed_fleet_is_better_than_hindsight(tmp_path, count):
    """The bounds of scalers, here 2 to 4, are not its own."""
    fleet = {"needed": [count] * 10, "ready": [count] * 10, "wanted": [count] * 10, "replicas": count}
    found = metrics_of(scaled(tmp_path / "run", scaler="none", events=[], min_replicas=2, **fleet))
    assert found["scaling_regret"] == 1.0 and found["hindsight_replica_seconds"] == 8.0 * count


def test_a_live_runs_start_is_what_its_own_took(tmp_path):
    found = metrics_of(scaled(tmp_path / "run", engine={"name": "local", "delays": None}))
    assert found["hindsight_startup_s"] == pytest.approx((2.0 + 2.5) / 2)
    assert found["hindsight_replica_seconds"] == pytest.approx(14 + 2 * 2.0)  # 3 from the beginning cost 4: less


def test_a_live_run_that_starts_nobody_is_held_against_starts_like_those_of_its_first_replicas(tmp_path):
    fixed = {"engine": {"name": "local", "delays": None}, "scaler": "none", "events": [], "wanted": READY}
    found = metrics_of(scaled(tmp_path / "run", first_start_s=1.25, starts={"extra_s": 0.5}, **fixed))
    assert found["hindsight_startup_s"] == 1.75
    assert found["scaling_regret"] == pytest.approx((found["paid_replica_seconds"] + 10 * 4) / (14 + 2 * 1.75), abs=1e-6)
    assert metrics_of(scaled(tmp_path / "taken over", **fixed))["scaling_regret"] is None


@pytest.mark.parametrize("hosts", [0, 3])
def test_a_simulated_start_is_as_long_as_every_one_was_asked_to_be(tmp_path, hosts):
    starts = {"extra_s": 0.25, "pull_s": 1.0, "hosts": hosts}
    assert metrics_of(scaled(tmp_path / "run", starts=starts))["hindsight_startup_s"] == 1.5 + 0.25
    drawn = Starts(StartSettings(**starts), seed=1)
    assert [drawn.draw("r2", now).wait_s for now in (0.0, 60.0)] == [1.25, 0.25], "the second one has the image"


def test_starts_are_told_by_the_first_check_and_given_up_ones_are_none():
    asked = [decision(1.0, 1, 4), joined(3.0, "r2"), decision(3.5, 4, 2), joined(9.0, "r1"), decision(10.0, 2, 3)]
    assert scaling.starts_s([*asked, joined(10.5, "r1", "health_check"), joined(12.5, "r3")]) == [2.0, 2.5]


def test_where_nobody_started_there_is_no_hindsight_and_the_rest_stands(tmp_path):
    found = metrics_of(scaled(tmp_path / "run", engine={"name": "local", "delays": None}, events=[]))
    assert found["scaling_not_judged"] == scaling.NO_START
    assert found["scaling_regret"] is None and found["hindsight_replica_seconds"] is None
    assert found["under_provisioned_share"] == 0.25


def test_without_a_demand_it_is_not_judged_and_says_why(tmp_path):
    found = metrics_of(scaled(tmp_path / "run", needed=None))
    assert found["scaling_not_judged"] == scaling.NO_DEMAND
    assert found["paid_replica_seconds"] == 18.0
    assert {found[key] for key in (*scaling.OF_ELASTICITY, *scaling.OF_NEEDS, *scaling.OF_HINDSIGHT)} == {None}


def test_a_second_without_a_sample_repeats_the_one_before(tmp_path):
    gaps = [None, 1, 1, 1, 1, None, 3, None, 3, 1]
    assert metrics_of(scaled(tmp_path / "a", ready=gaps)) == metrics_of(scaled(tmp_path / "b"))
    blind = metrics_of(scaled(tmp_path / "c", ready=[None] * 10))
    assert blind["scaling_not_judged"] == scaling.NOT_SAMPLED and blind["paid_replica_seconds"] is None


def test_a_dearer_shortage_makes_a_larger_regret(tmp_path):
    cheap, dear = (metrics_of(scaled(tmp_path / str(p), shortage_price=p)) for p in (2.0, 50.0))
    assert cheap["scaling_regret"] == pytest.approx((18 + 2 * 4) / 17, abs=1e-6)
    assert dear["scaling_regret"] == pytest.approx((18 + 50 * 4) / 17, abs=1e-6)


def swept(folder, **arms):
    """A sweep of three seeds; an arm is a run's arguments."""
    runs = []
    for seed in (1, 2, 3):
        for name, about in arms.items():
            path = scaled(folder / f"{name}{seed}", seed=seed, scaler=name, **about)
            summarise(path, draws=False)
            runs.append(in_numbers(path))
    return sort_into_arms([(one.run, one.metrics) for one in runs])


ALWAYS = {"ready": [4] * 10, "wanted": [4] * 10, "events": []}
NEVER = {"ready": [1] * 10, "wanted": [1] * 10, "events": [], "failing": (4, 5, 6)}
LATE = {"failing": (4, 5)}
LATE_AND_DEAR = {"failing": (4, 5), "ready": [2] * 6 + [4] * 3 + [2], "wanted": [2] * 4 + [4] * 5 + [2]}


def test_the_front_has_whom_none_beats_in_both(tmp_path):
    arms = swept(tmp_path, always=ALWAYS, never=NEVER, late=LATE, dear=LATE_AND_DEAR)
    front = front_of(compare(arms).arms)
    told = {point.arm.removeprefix("scaler="): point for point in front.points}
    assert {name for name, point in told.items() if point.is_on_front} == {"always", "never", "late"}
    assert told["always"].cost.mean == pytest.approx(32 / 17) and told["always"].broken.mean == 0.0
    assert told["never"].cost.mean == pytest.approx(8 / 17) and told["never"].broken.mean == pytest.approx(3 / 8)
    assert told["late"].speed_up is None  # the first is never short: no ratio
    assert front.hindsight_broken == 0.0
    assert "scaler=dear" in in_words(front)[0].partition("of ")[2]
    assert [row[0] for row in front_list(front).rows][-1] == "hindsight"


def test_an_arm_without_a_demand_is_held_against_the_others_hindsight(tmp_path):
    front = front_of(compare(swept(tmp_path, late=LATE, none={**ALWAYS, "needed": None})).arms)
    own = {point.arm.removeprefix("scaler="): point for point in front.points}
    assert (own["late"].has_own_hindsight, own["none"].has_own_hindsight) == (True, False)
    assert own["none"].cost.mean == pytest.approx(32 / 17)


def test_a_speed_up_is_over_the_first_arm(tmp_path):
    front = front_of(compare(swept(tmp_path, dear=LATE_AND_DEAR, late=LATE)).arms)
    first, second = (point.speed_up for point in front.points)
    assert first == pytest.approx(1.0)
    # theta_U: 1/3 + 1/3 over 2/3 + 2/3; theta_O: 1 + 1 + 1/3 + 3 + 3 + 1 over 2 + 2; tau_U: 2 over 2; tau_O: 6 over 2.
    assert second == pytest.approx((1 / 2 * (28 / 3) / 4 * 1 * 3) ** 0.25, rel=1e-5)


def test_no_front_without_a_demand(tmp_path):
    arms = swept(tmp_path, late={"needed": None}, always={**ALWAYS, "needed": None})
    assert front_of(compare(arms).arms) is None


def test_what_can_be_none_is_compared_by_ranks_or_by_its_difference(tmp_path):
    arms = swept(tmp_path, late=LATE, always=ALWAYS)
    rows = {row.metric: row for row in compare(arms).rows}
    assert rows["under_provisioned_share"].verdict == "not identified"  # of always: none
    assert rows["under_provisioned_share"].ratio is None
    assert rows["scaling_regret"].ratio == pytest.approx(32 / 58)
    assert rows["need_to_ready_s"].difference == pytest.approx(-2.0)
    assert rows["scaling_actions"].difference == pytest.approx(-2.0)
    assert "scaling_jitter_per_min" not in rows, "who never moves has the least, and 0 is best"
