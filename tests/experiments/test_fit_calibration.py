"""What fits and what-ifs are held against: made-up systems, simulated and live."""

import dataclasses
import json

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from experiments import fit_calibration, what_if_calibration
from experiments.fitting.live import MOST_RPS, log_in, measured, overrides_of, slowed
from experiments.fitting.made_up import ORDER, config_of, faults_of, log_of, made_up
from experiments.fitting.pairs import folder_of, pairs, predicted
from experiments.fitting.predicted import Predicted, table
from experiments.fitting.supposing import Span
from experiments.fitting.truth import Truth
from experiments.plan import store
from experiments.plan.installed import CONF
from experiments.plan.resolve import resolve
from experiments.plan.schedule import build_schedule
from record.files import FolderError

pytestmark = pytest.mark.slow
SIM = ("engine=sim",)
"""In place of a live run: the same command, in a second."""


def planned(typed):
    store.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return resolve(compose("config", overrides=list(typed)), typed)


@pytest.mark.parametrize("number", range(len(ORDER)))
def test_what_is_typed_for_a_live_run_is_the_system_that_is_simulated(number):
    system = slowed(made_up(number, 2400))
    plan, wanted = planned(overrides_of(system)), config_of(system)
    config = plan.config
    assert config.engine.name == "local" and config.tracking.enabled is False
    for section in ("seed", "replicas", "replica", "load", "router", "tier"):
        mine, theirs = getattr(config, section), getattr(wanted, section)
        if section == "tier":  # numbers are typed with six digits
            assert mine.demand.mean_ms == pytest.approx(theirs.demand.mean_ms, rel=1e-5)
            mine = dataclasses.replace(mine, demand=theirs.demand, policy={"name": mine.policy["name"]})
        assert mine == theirs, section
    assert wanted.policy.items() <= config.policy.items()
    assert config.workload.rate_rps == pytest.approx(wanted.workload.rate_rps, rel=1e-5)
    assert config.workload.demand == wanted.workload.demand and config.workload.warmup_s == 0
    assert [(each.action, each.target) for each in plan.faults] == [(each.action, each.target) for each in faults_of(system)]


def test_a_system_is_slowed_down_to_what_can_be_played_live_and_stays_the_same_otherwise():
    for number in range(40):
        system = made_up(number, 2400)
        live = slowed(system)
        assert live.rate_rps < 1.01 * MOST_RPS and live.duration_s <= 30.1
        same = dataclasses.replace(live, mean_ms=system.mean_ms, requests=system.requests, step_s=system.step_s)
        assert same == system


def test_a_run_is_measured_once_and_its_log_is_that_of_the_system(tmp_path, capsys):
    system = dataclasses.replace(slowed(made_up(27, 2400)), requests=1200)
    assert system.kind == "outage"
    typed = [*overrides_of(system), *SIM]
    folder = measured(tmp_path / "system", typed)
    written = (folder / "requests.parquet").stat().st_mtime_ns
    assert measured(tmp_path / "system", typed) == folder
    assert (folder / "requests.parquet").stat().st_mtime_ns == written
    with pytest.raises(FolderError, match="a run of something else"):
        measured(tmp_path / "system", [*typed, "seed=99"])
    log, truth = log_in(folder)
    simulated, known = log_of(dataclasses.replace(system))
    assert len(log) == len(simulated)
    assert truth.waited == pytest.approx(known.waited, abs=0.02) and known.waited > 0.05
    assert truth.outage_s == pytest.approx(known.outage_s, abs=0.01)
    assert np.allclose(np.sort(truth.demands_s), np.sort(known.demands_s), atol=1e-5)


def test_a_run_that_broke_off_is_measured_again(tmp_path):
    folder = tmp_path / "system" / "1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}", encoding="utf-8")
    (folder / "of_before").touch()
    assert measured(tmp_path / "system", ["+scenario=routed", "workload.duration_s=6", *SIM, "tracking.enabled=false"]) == folder
    assert not (folder / "of_before").exists()


def test_a_run_that_is_not_valid_is_measured_twice_and_left_out(tmp_path, capsys):
    typed = ["+scenario=routed", "workload.duration_s=6", *SIM, "tracking.enabled=false", "validity.min_sent_share=2"]
    assert measured(tmp_path / "system", typed) is None
    assert [each.name for each in sorted((tmp_path / "system").iterdir())] == ["1", "2"]
    assert capsys.readouterr().err.count("not valid") == 2


def test_the_way_to_a_host_makes_speeds_alike_and_demands_longer():
    truth, speeds = Truth(0.1, np.full(10, 0.05), ways_s=(0.01, 0.004), way_spread_s=0.003), (1.0, 0.5)
    assert truth.speed(1, 0, speeds) == pytest.approx(60 / 104)
    assert truth.mean_ms(50.0, 1, speeds) == pytest.approx(104.0)
    assert truth.spread(50.0, 0.08, 0, speeds) == pytest.approx(np.hypot(4.0, 3.0) / 60)
    assert Truth(0.1, np.full(10, 0.05)).speed(1, 0, speeds) == 0.5


def test_both_of_a_pair_are_asked_the_same():
    made = list(pairs(0, 8, 2400))
    assert len({pair.number for pair in made}) == 8
    for pair in made:
        both = [planned(overrides_of(each)).config for each in (pair.first, pair.second)]
        one, other = (build_schedule(config.workload, config.seed) for config in both)
        assert one.equals(other) and pair.first != pair.second
        assert all(each.utilisation < 0.9 for each in (pair.first, pair.second))
    assert {len(pair.choices[1]) for pair in made} == {1, 2}


def test_a_pair_is_predicted_from_the_first_ones_log_alone(tmp_path):
    [pair] = pairs(4, 1, 2400)
    folder = folder_of(pair, tmp_path)
    first, second = (
        measured(folder / name, [*overrides_of(each), *SIM])
        for name, each in (("first", pair.first), ("second", pair.second))
    )
    found = predicted(pair, (first, second), tmp_path)
    assert found.span.low < found.span.value < found.span.high
    assert found.live == pytest.approx(found.span.value, rel=0.25)
    assert json.loads((folder / "fit" / "fleet.json").read_text(encoding="utf-8"))["refused"] is None


def test_intervals_that_hold_and_rankings_that_are_right_are_counted():
    pair = [Predicted("a", 0.5, Span(0.6, 0.4, 0.8)), Predicted("b", 1.1, Span(0.8, 0.7, 0.9)), Predicted("c", 1, Span(1, 0.9, 1.2))]
    text = "\n".join(table(pair))
    assert "2 of 3 pairs (95 % interval of the share 0.09 to 0.99)" in text
    assert "1 of 2 decided rankings are right (95 % interval of the share 0.01 to 0.99)" in text
    assert "| a | 0.50 | 0.60 (0.40 to 0.80) | yes | right |" in text and "| no | wrong |" in text
    assert "0 of 0 decided rankings are right." in "\n".join(table([]))


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (fit_calibration.main, ["--systems", "0"]),
        (fit_calibration.main, ["--requests", "10"]),
        (what_if_calibration.main, ["somewhere", "--pairs", "0"]),
        (what_if_calibration.main, []),
    ],
)
def test_wrong_arguments_end_with_2(main, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
