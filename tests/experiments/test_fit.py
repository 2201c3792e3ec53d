"""`aegis fit`: what it leaves, how it is played again, and when it refuses."""

import dataclasses
import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import yaml
from hydra import compose, initialize_config_dir

from analysis.fitting.log import read_log
from analysis.fitting.refusal import FitRefused
from experiments import fit, fit_calibration, import_log, what_if, what_if_check
from experiments.fitting.judging import fit_and_judge
from experiments.fitting.made_up import ORDER, System, log_of, made_up
from experiments.fitting.overrides import Failed, faults
from experiments.fitting.reading import of_run
from experiments.plan import store
from experiments.plan.installed import CONF
from experiments.plan.resolve import resolve
from experiments.plan.schedule import build_schedule

PLAIN = System("queues", 3, 2, (1.0, 1.0, 0.5), 50.0, "exponential", 1.0, 0.7, "random", 4000, 1e-3, 7)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("imported")
    table, _ = log_of(PLAIN)
    table.assign(method="GET").to_parquet(place / "requests.parquet")
    assert fit.main([str(place)]) == 0
    return place


def test_a_fit_leaves_a_page_and_what_plays_it(folder):
    fleet = json.loads((folder / "fleet.json").read_text(encoding="utf-8"))
    assert fleet["refused"] is None
    assert fleet["fleet"]["slots"] == [2]
    page = (folder / "fit.md").read_text(encoding="utf-8")
    assert "slots a host | 2 | 2 to 2" in page and "p99_ms, one step ahead" in page
    trace = pd.read_parquet(folder / "fitted.parquet")
    assert list(trace.columns) == ["scheduled_s", "demand_s", "method"]
    assert trace["demand_s"].mean() == pytest.approx(fleet["fleet"]["demand"]["mean_ms"]["value"] / 1e3, rel=0.02)
    assert trace["scheduled_s"].is_monotonic_increasing


def test_its_overrides_are_a_configuration(folder):
    typed = yaml.safe_load((folder / "fleet.yaml").read_text(encoding="utf-8"))
    store.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        command = ["+scenario=routed", "engine=sim", *typed["overrides"], *typed["simulated"], *typed["recorded"]]
        config = resolve(compose("config", overrides=command), command).config
        assert resolve(compose("config", overrides=["+scenario=routed", *typed["overrides"], *typed["drawn"]]))
    assert (config.replicas, config.replica.concurrency) == (3, 2)
    schedule = build_schedule(config.workload, 1)
    assert len(schedule) == len(pd.read_parquet(folder / "fitted.parquet"))
    assert min(config.replica.speeds) < 0.65 * max(config.replica.speeds)


def test_a_refusal_takes_the_fit_of_before_away(folder, tmp_path, capsys):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    pd.read_parquet(folder / "requests.parquet").head(200).to_parquet(tmp_path / "requests.parquet")
    assert fit.main([str(tmp_path)]) == 3
    assert "collect" in capsys.readouterr().err
    assert json.loads((tmp_path / "fleet.json").read_text(encoding="utf-8"))["refused"]["kind"] == "too_little"
    assert not (tmp_path / "fleet.yaml").exists() and not (tmp_path / "fitted.parquet").exists()


def test_a_folder_without_a_log_is_one_line(tmp_path, capsys):
    assert fit.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "requests.parquet").write_text("no table", encoding="utf-8")
    assert fit.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("kind", ["shared", "slows", "held back", "tier"])
def test_what_is_no_fleet_of_queues_is_refused(kind):
    made = (made_up(number, 4000) for number in range(len(ORDER)))
    system = next(each for each in made if each.kind == kind)
    with pytest.raises(FitRefused):
        fit_and_judge(read_log(log_of(system)[0]))


@pytest.mark.parametrize("policy", ["random", "round_robin", "least_request", "peak_ewma"])
def test_a_fit_does_not_depend_on_the_proxys_policy(policy):
    verdict = fit_and_judge(read_log(log_of(dataclasses.replace(PLAIN, policy=policy, speeds=(1.0, 0.9, 0.8)))[0]))
    assert verdict.fleet.slots == (2,)


def test_the_demands_of_a_fit_are_those_of_the_requests():
    table, _ = log_of(dataclasses.replace(PLAIN, step_s=0.0))
    verdict = fit_and_judge(read_log(table))
    services = table["upstream_s"].to_numpy()
    speed = {host: each.value for host, each in zip(verdict.fleet.hosts, verdict.fleet.speeds, strict=True)}
    longest = services * table["upstream"].map(speed).to_numpy()
    assert (verdict.demands_s <= longest + 1e-5).all()  # a demand is what is left of a duration without the wait
    assert np.isclose(verdict.demands_s, longest, atol=1e-5).mean() > 0.3


def test_the_calibration_says_what_held(capsys):
    assert fit_calibration.main(["--systems", "2", "--first", "3", "--requests", "2000"]) == 0
    printed = capsys.readouterr().out
    assert "| interval of | holds the truth |" in printed and printed.count("queues: ") == 2


def answered(folder, *choices, plays=4):
    assert what_if.main([str(folder), *choices, "--plays", str(plays)]) == 0
    return {each["label"]: each for each in json.loads((folder / "what-if.json").read_text(encoding="utf-8"))}


def test_a_change_that_helps_is_better_with_an_interval(folder, capsys):
    arms = answered(folder, "policy=random,least_request", "slo.p99_ms=500")
    by_load = arms["policy=least_request"]
    assert by_load["verdict"] == "better" and by_load["p99_ratio"]["high"] < 1
    assert arms["policy=random"]["verdict"] is None
    assert "p99 below 500 ms" in capsys.readouterr().out


def test_an_arm_beside_itself_makes_no_difference(folder):
    arms = answered(folder, "policy=least_request", "arm=one,other")
    assert arms["arm=other"]["p99_ratio"] == pytest.approx({"value": 1.0, "low": 1.0, "high": 1.0})
    assert arms["arm=other"]["verdict"] == "equivalent"


def test_replicas_may_be_more_and_fewer_than_there_were_hosts(folder):
    arms = answered(folder, "replicas=3,2,6", "policy=least_request")
    load = {label: each["utilisation"] for label, each in arms.items()}
    assert load["replicas=2"] > load["replicas=3"] > load["replicas=6"]
    assert arms["replicas=6"]["verdict"] == "better"


@pytest.mark.parametrize("choice", ["policy=nobody", "replicas=0", "nonsense", "no.such=1", "policy.no=1,2"])
def test_a_wrong_choice_is_one_line(folder, choice, capsys):
    assert what_if.main([str(folder), choice]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_nothing_is_supposed_of_what_was_refused(tmp_path, capsys):
    assert what_if.main([str(tmp_path), "policy=random"]) == 2
    (tmp_path / "fleet.json").write_text(
        json.dumps({"refused": {"kind": "too_little", "reason": "few", "collect": "more"}}), encoding="utf-8"
    )
    assert what_if.main([str(tmp_path), "policy=random"]) == 3
    assert capsys.readouterr().err.endswith("not fitted, few; more\n")


def test_a_runs_requests_are_a_log():
    requests = pd.DataFrame(
        {
            "sent_s": [0.0, 1.0, 2.0, None],
            "completed_s": [0.5, 1.5, 12.0, None],
            "scheduled_s": [0.0, 1.0, 2.0, 3.0],
            "outcome": ["ok", "http_error", "timeout", "dropped"],
            "status": pd.array([200, 503, None, None], dtype="Int16"),
            "attempts": pd.array([1, 2, 1, None], dtype="Int16"),
            "replica": ["r1", "r2", None, None],
        }
    )
    log = of_run(requests)
    assert log["taken_s"].tolist() == [0.5, 0.5, 10.0]
    assert log["status"].tolist() == [200.0, 503.0, 504.0]
    assert log["upstream"].tolist() == ["r1", "r2", None]


def test_predictions_are_counted_against_live_runs():
    spread = np.exp(np.random.default_rng(1).normal(0, 0.02, 20))
    predicted = {"a": 100.0 * spread, "b": np.full(20, 50.0), "c": 101.0 * spread}
    text = what_if_check.table({"a": 98.0, "b": 49.0, "c": 97.0}, predicted)
    assert "2 of 2 decided rankings are right" not in text  # c over a was decided, wrongly
    assert "| `b` over `a` | 0.50 | 0.50 " in text and "2 of 3 decided rankings are right" in text
    assert "for 2 of 3 pairs" in text


def test_a_check_takes_runs(folder, capsys):
    assert what_if_check.main([str(folder), str(folder), str(folder)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_log_of_nginx_becomes_a_fleet(tmp_path):
    table, _ = log_of(PLAIN)
    begin = 1_790_000_000.0
    lines = []
    for row in table.to_dict("records"):
        end = begin + row["scheduled_s"] + row["taken_s"]
        stamp = datetime.fromtimestamp(end, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
        status, port = row["status"], 9000 + int(row["upstream"][1:])
        lines.append(
            f'10.0.0.1 - - [{stamp}] "GET /work HTTP/1.1" {status} 12 "-" "-" '
            f"{end:.3f} {row['taken_s']:.3f} {row['upstream_s']:.3f} 10.0.0.2:{port}\n"
        )
    (tmp_path / "access.log").write_text("".join(sorted(lines, key=lambda line: line.split()[-4])), encoding="utf-8")
    mine = tmp_path / "mine"
    assert import_log.main([str(tmp_path / "access.log"), "--format", "nginx", "-o", str(mine)]) == 0
    assert fit.main([str(mine)]) == 0
    found = json.loads((mine / "fleet.json").read_text(encoding="utf-8"))["fleet"]
    assert found["slots"] == [2] and len(found["hosts"]) == 3
    assert min(speed["high"] for speed in found["speeds"]) < 0.75
    whole_seconds = [" ".join(line.split()[:11]) + "\n" for line in lines]
    (tmp_path / "plain.log").write_text("".join(whole_seconds), encoding="utf-8")
    plain = tmp_path / "plain"
    assert import_log.main([str(tmp_path / "plain.log"), "--format", "nginx", "-o", str(plain)]) == 0
    assert fit.main([str(plain)]) == 3
    assert json.loads((plain / "fleet.json").read_text(encoding="utf-8"))["refused"]["kind"] == "no_durations"


def test_an_outage_is_played_where_its_replica_and_its_time_are_there(tmp_path):
    broken = dataclasses.replace(PLAIN, kind="outage", speeds=(1.0, 1.0, 1.0), requests=6000)
    log_of(broken)[0].to_parquet(tmp_path / "requests.parquet")
    assert fit.main([str(tmp_path)]) == 0
    bare = ["policy=round_robin", "router=no_retries", "router.ejection.enabled=false", "router.health.enabled=false"]
    arms = answered(tmp_path, "replicas=3,2", *bare)
    assert arms["replicas=3"]["failed_share"]["value"] == pytest.approx(0.08 / 3, rel=0.3)
    assert arms["replicas=2"]["failed_share"]["value"] == 0
    late = faults([Failed(1, 10.0, 20.0, 0.5)], 3, 15.0, 100.0)
    assert late == "faults=[{at_s: 0.000, action: error, target: r1, for_s: 5.000, rate: 0.5}]"
    assert faults([Failed(1, 10.0, 20.0, 0.5), Failed(3, 0.0, 99.0, 1.0)], 2, 30.0, 5.0) == "faults=[]"
