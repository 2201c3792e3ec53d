"""`autoscaling.capacity`: a file of what replicas stand, taken by runs of the fleet that was measured and by no other."""

import copy
import json

import pytest
from hydra import compose, initialize_config_dir

from experiments.plan import store
from experiments.plan.capacity import machine, read
from experiments.plan.config import ConfigError
from experiments.plan.demanded import demanded
from experiments.plan.errors import one_line
from experiments.plan.inputs import inputs_of
from experiments.plan.resolve import resolve
from experiments.plan.schedule import build_schedule
from experiments.simulator.twin import twin
from record.reading import read as read_run
from tests.running import ROOT, SHORT, manifest, run

SIM = ["+scenario=autoscale", "engine=sim", "workload.rate_rps=24", "workload.duration_s=40"]


def planned(*overrides):
    store.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return resolve(compose("config", overrides=[*SIM, *overrides]), overrides)


def written(path, rates=(20.0, 50.0, 80.0), *overrides, **changes):
    """As `aegis capacity` would have left it."""
    config = planned(*overrides).resolved
    points = [{"replicas": number, "rate_rps": rate} for number, rate in enumerate(rates, 1)]
    content = {"schema_version": 1, "config": config, "machine": machine(), "points": points}
    path.write_text(json.dumps(content | changes, default=str))
    return f"autoscaling.capacity={path}"


def test_the_measured_curve_says_what_is_needed(tmp_path):
    plan = planned(written(tmp_path / "curve.json"))
    assert plan.notes == ()
    found = demanded(plan.config, build_schedule(plan.config.workload, 1)["scheduled_s"].to_numpy())
    assert (found.source, found.notes) == ("measured", ())
    assert sorted(set(zip(found.table["rate_rps"], found.table["replicas"], strict=True))) == [(24.0, 2), (72.0, 3)]


def test_seconds_beyond_the_curve_are_said(tmp_path):
    plan = planned(written(tmp_path / "curve.json", (20.0, 50.0)))
    found = demanded(plan.config, build_schedule(plan.config.workload, 1)["scheduled_s"].to_numpy())
    assert found.table["replicas"].max() == 3
    (note,) = found.notes
    assert "in 12 of 40 seconds more than the 50 requests/s that 2 replicas stand" in note and "to add 30" in note


def test_the_file_is_among_the_inputs_with_its_hash_and_an_absolute_path(tmp_path):
    plan = planned(written(tmp_path / "curve.json"))
    (entry,) = inputs_of(plan.config)
    assert entry["key"] == "autoscaling.capacity" and entry["file"] == str(tmp_path / "curve.json")
    assert plan.resolved["autoscaling"]["capacity"] == entry["file"] and len(entry["sha256"]) == 64


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("replica.concurrency=4", "replica.concurrency=2, this run has 4"),
        ("policy=round_robin", "policy.name=adaptive, this run has round_robin"),
        ("workload.demand.mean_ms=70", "workload.demand.mean_ms=50.0, this run has 70.0"),
        ("replica.discipline=ps", "replica.discipline=fifo, this run has ps"),
        ("replica.speeds=[2,1,1,1,1,1]", "replica.speeds=[1.0, 1.0, 1.0], this run has [2.0, 1.0, 1.0]"),
        ("slo.p99_ms=300", "slo.p99_ms=1000.0, this run has 300.0"),
        ("workload.arrivals=gamma", "workload.arrivals=poisson, this run has gamma"),
        ("engine=local", "engine.name=sim, this run has local"),
        ("router.retry.max_attempts=1", "router.retry.max_attempts="),
    ],
)
def test_another_fleet_or_other_requests_are_refused_with_the_key(tmp_path, override, words):
    capacity = written(tmp_path / "curve.json")
    with pytest.raises(ConfigError) as refused:
        planned(capacity, override)
    assert words in str(refused.value) and str(refused.value).startswith("autoscaling.capacity=")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["scaler=hpa", "autoscaling.max_replicas=9"],
        ["workload=diurnal", "workload.rate_rps=50"],
        ["workload.arrivals=mmpp"],  # for a while as poisson
        ["seed=9", "replicas=2", "faults=[{at_s: 5, action: kill, target: r1, for_s: 3}]"],
        ["scaler=none", "replicas=6"],
    ],
)
def test_its_scaler_its_course_and_its_faults_are_a_runs_own(tmp_path, overrides):
    assert planned(written(tmp_path / "curve.json"), *overrides).config.has_demand


def test_replicas_beyond_the_curve_may_be_of_any_speed(tmp_path):
    capacity = written(tmp_path / "curve.json")
    assert planned(capacity, "replica.speeds=[1,1,1,0.5,0.5,0.5]").config.replica.speeds[3] == 0.5


def test_another_machine_matters_to_a_live_run_alone(tmp_path):
    other = machine() | {"cpu": "Abacus 2"}
    live = ["engine=local"]
    plan = planned(written(tmp_path / "live.json", (20.0,), *live, machine=other), *live)
    assert [note for note in plan.notes if note.startswith("warning: ") and "Abacus 2" in note]
    assert planned(written(tmp_path / "sim.json", machine=other)).notes == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is no curve of capacity"),
        ("[]", "is no curve of capacity"),
        ('{"schema_version": 2, "points": []}', "version 2, but 1 is read here"),
        ('{"schema_version": 1, "points": []}', "is no curve of capacity"),
        ('{"schema_version": 1, "points": [{"replicas": 2, "rate_rps": 3}]}', "not those of 1, 2, ... replicas"),
        ('{"schema_version": 1, "points": [{"replicas": 1, "rate_rps": "fast"}]}', "is no curve of capacity"),
        (
            '{"schema_version": 1, "points": [{"replicas": 1, "rate_rps": 3}], "machine": {}, '
            '"config": {"slo": {"p99_ms": 1, "error_rate": 0}, "workload": {}}}',
            "is no curve of capacity \\(no 'replica'\\)",
        ),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_line(tmp_path, content, words):
    (tmp_path / "curve.json").write_text(content)
    with pytest.raises(ConfigError, match=words) as refused:
        planned(f"autoscaling.capacity={tmp_path / 'curve.json'}")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read") as refused:
        planned(f"autoscaling.capacity={tmp_path / 'nowhere.json'}")
    assert one_line(refused.value).count("No such file") == 1


def test_who_stands_less_with_more_counts_as_one_that_is_left_idle(tmp_path):
    written(tmp_path / "curve.json", (20.0, 50.0, 49.0))
    assert read(str(tmp_path / "curve.json")).curve().rates == (20.0, 50.0, 50.0)


def test_a_file_that_has_changed_is_read_anew(tmp_path):
    written(tmp_path / "curve.json")
    assert read(str(tmp_path / "curve.json")).rates == (20.0, 50.0, 80.0)
    written(tmp_path / "curve.json", (20.0, 50.0, 80.0, 110.0))
    assert len(read(str(tmp_path / "curve.json")).rates) == 4


def test_a_run_takes_it_and_its_twin_does_without(tmp_path):
    config = copy.copy(SHORT)
    capacity = written(tmp_path / "curve.json", (20.0, 50.0, 80.0), *config)
    place = tmp_path / "run"
    done = run("+scenario=autoscale", *config, "engine=sim", capacity, f"hydra.run.dir={place}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert manifest(place)["demand_source"] == "measured"
    found = read_run(place)
    assert found.demand["replicas"].max() == 4  # 90 a second, where three stand 80 and each adds 30
    assert twin(found).metrics["offered_requests"] > 0
    wrong = run("+scenario=autoscale", *config, "engine=sim", capacity, "replica.concurrency=3")
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1 and "was measured with replica.concurrency=2" in wrong.stderr
