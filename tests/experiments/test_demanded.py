"""How many replicas a run's load needs, second by second: rates of profiles and traces, and what a run writes."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from experiments.plan.config import AutoscalingConfig, Config, LoadConfig, SloConfig
from experiments.plan.demanded import demanded, rate_rps
from experiments.plan.fault_plan import Fault
from experiments.plan.replica_options import scaling_settings
from experiments.plan.schedule import build_schedule
from experiments.plan.tiers import ReplicaConfig
from experiments.plan.workload import WorkloadSettings
from record.files import FolderError
from record.reading import read
from services.manager.settings import ScalingSettings
from tests.running import SHORT, run


def configured(scaler="hpa", slots=1, p99_ms=1000.0, speeds=(), **workload):
    return Config(
        replicas=1,
        replica=ReplicaConfig(slots, speeds=list(speeds)),
        workload=WorkloadSettings(**{"duration_s": 60.0, "warmup_s": 1.0} | workload),
        policy={"name": "adaptive"},
        scaler={"name": scaler},
        slo=SloConfig(p99_ms=p99_ms),
    )


def needed(config):
    return demanded(config, build_schedule(config.workload, config.seed)["scheduled_s"].to_numpy())


def test_a_profiles_rate_is_that_of_its_formula_in_the_mean_over_each_second():
    rates = rate_rps(WorkloadSettings(rate_rps=20, duration_s=60, profile="spike"), np.array([]))
    assert rates.tolist() == [20.0] * 15 + [60.0] * 18 + [20.0] * 27
    rates = rate_rps(WorkloadSettings(rate_rps=20, duration_s=59.5, profile="spike"), np.array([]))
    assert len(rates) == 60 and rates[14] == pytest.approx(20 * 0.875 + 60 * 0.125) and rates[-1] == pytest.approx(20.0)


def test_a_rate_that_is_drawn_is_a_centred_mean_of_what_was_drawn():
    # 10 a second for 30 s, then 40: of 1,500 requests in 60 s 400 take 16 s, eight on either side.
    moments = np.concatenate([np.arange(0, 30, 0.1), np.arange(30, 60, 0.025)]) + 0.01
    rates = rate_rps(WorkloadSettings(rate_rps=25, duration_s=60, arrivals="mmpp"), moments)
    assert rates[[0, 10, 21]] == pytest.approx([10.0] * 3, rel=0.02)
    assert rates[[38, 50, 59]] == pytest.approx([40.0] * 3, rel=0.02)
    assert rates[29] < 25 < rates[30] and (np.diff(rates[22:38]) > 0).all()
    assert rates.mean() == pytest.approx(25.0, rel=0.02)


def test_arrivals_with_a_rate_of_their_own_are_told_from_those_without():
    kinds = ("poisson", "uniform", "gamma", "hyperexponential", "mmpp", "noise", "hawkes")
    own = {name for name in kinds if WorkloadSettings(arrivals=name).has_own_rate()}
    assert own == {"mmpp", "noise", "hawkes"}


def test_one_slot_each_of_erlang_by_hand():
    # One server stands 20 - ln(100) = 15.39 a second, two 35.3, three 55.3.
    found = needed(configured(rate_rps=15.0, profile="spike"))
    assert found.source == "analytic"
    assert sorted(set(zip(found.table["rate_rps"], found.table["replicas"], strict=True))) == [(15.0, 1), (45.0, 3)]
    assert found.table["t_s"].tolist() == list(range(60))


def test_speeds_count_in_the_order_of_the_replicas():
    found = needed(configured(rate_rps=30.0, speeds=[2.0, 1.0, 1.0, 1.0, 1.0, 1.0]))
    assert set(found.table["replicas"]) == {1}
    assert set(needed(configured(rate_rps=30.0)).table["replicas"]) == {2}


def test_an_objective_out_of_reach_is_said_and_no_number_is_made_up():
    found = needed(configured(rate_rps=15.0, p99_ms=200.0))
    assert found.table is None
    assert found.notes == (
        "demand: not known, 1% of the requests take more than 230.3 ms of service alone, longer than the objective of 200 ms",
    )


def test_a_load_of_hundreds_of_replicas_is_known_at_once_by_the_last_step():
    # 20,000 a second of 50 ms are 1,000 busy slots; the curve is computed to 500.
    found = needed(configured(rate_rps=20_000.0, duration_s=2.0, slots=4))
    assert found.table["replicas"].tolist() == pytest.approx([251, 251], abs=1)
    assert "as far as the curve is analytic" in found.notes[0]


def test_who_only_wants_numbers_of_replicas_is_told_nothing_of_a_file():
    config = dataclasses.replace(configured(), autoscaling=AutoscalingConfig(max_replicas=9, capacity="/a.json"))
    given = scaling_settings(config, [])
    assert type(given) is ScalingSettings and given.max_replicas == 9


def test_who_starts_dead_replicas_again_is_the_faults_matter_only_where_they_do():
    config = dataclasses.replace(configured(), autoscaling=AutoscalingConfig(max_replicas=4))

    def heals(**fault):
        return scaling_settings(config, [Fault(at_s=5.0, **fault)]).self_heal

    assert heals(action="kill", target="r4") and not heals(action="kill", target="r4", for_s=3.0)
    assert not heals(action="restart", target="r1")
    assert heals(action="restart", target="manager") and heals(action="kill", target="router", for_s=3.0)


def test_a_run_says_what_it_needs_where_something_scales_or_a_curve_is_given():
    assert configured().has_demand and not configured("none").has_demand
    assert dataclasses.replace(configured("none"), autoscaling=AutoscalingConfig(capacity="/a.json")).has_demand
    assert not dataclasses.replace(configured(), load=LoadConfig(ui=True)).has_demand


@pytest.mark.parametrize("change", [{"profile": "spike"}, {"trace": "/t.csv"}, {"arrivals": "mmpp"}])
def test_a_fixed_fleet_says_what_it_needs_where_the_rate_changes(change):
    config = configured("none")
    workload = dataclasses.replace(config.workload, **change)
    assert dataclasses.replace(config, workload=workload).has_demand


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    done = run("+scenario=autoscale", *SHORT, "engine=sim", "workload.duration_s=12.5", f"hydra.run.dir={place}")
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_a_simulated_run_leaves_what_it_needed(folder):
    table = pd.read_parquet(folder / "demand.parquet")
    assert table.dtypes.astype(str).to_dict() == {"t_s": "int64", "rate_rps": "float64", "replicas": "int64"}
    assert table["t_s"].tolist() == list(range(13))
    assert table["rate_rps"].min() == 30.0 and table["rate_rps"].max() == 90.0
    assert json.loads((folder / "manifest.json").read_text())["demand_source"] == "analytic"
    kept = read(folder).demand
    assert kept["replicas"].tolist() == table["replicas"].tolist()


def test_a_demand_that_is_none_is_refused(folder):
    table = pd.read_parquet(folder / "demand.parquet")
    try:
        for column, value, why in (("replicas", -1, "negative"), ("t_s", 7, "in this order"), ("rate_rps", math.nan, "none")):
            table.assign(**{column: value}).to_parquet(folder / "demand.parquet")
            with pytest.raises(FolderError, match=rf"demand\.parquet: .*{why}"):
                read(folder)
        table.drop(columns="replicas").to_parquet(folder / "demand.parquet")
        with pytest.raises(FolderError, match="lacks the column replicas"):
            read(folder)
    finally:
        table.to_parquet(folder / "demand.parquet", index=False)


def test_without_a_scaler_nothing_is_written(tmp_path):
    done = run("+scenario=routed", *SHORT, "engine=sim", f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "demand.parquet").exists()
    assert "demand_source" not in json.loads((tmp_path / "manifest.json").read_text())
    assert read(tmp_path).demand is None
