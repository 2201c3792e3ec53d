"""`aegis capacity`: the highest rates that 1, 2, ... replicas stand, against what theory says; broken off, gone on with."""

import json
import math
import os
import signal
import subprocess
import sys

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from analysis.scaling.demand import Objective, analytic
from experiments import capacity
from experiments.plan import store
from experiments.plan.config import ConfigError
from experiments.plan.installed import CONF
from experiments.probing import probes
from experiments.probing.kept import PROBES, RUNS, Kept
from experiments.probing.settings import Asked, Fleets
from experiments.runner.exit_status import ExitStatus
from tests.running import ROOT, manifest, run, wait_for

SIM = ["+scenario=routed", "engine=sim", "workload.duration_s=60", "workload.warmup_s=10"]
MMC = [
    "+scenario=routed", "engine=sim", "workload.duration_s=200", "workload.warmup_s=10", "slo.p99_ms=300",
    "policy=late_binding", "replica.concurrency=1", "engine.delays.client.median_ms=0",
    "engine.delays.router.median_ms=0", "engine.delays.replica.median_ms=0",
]  # fmt: skip
"""One line for all slots, and nothing on the way: M/M/c."""


def lines(folder):
    return [json.loads(line) for line in (folder / PROBES).read_text().splitlines()]


def found(path):
    return json.loads(path.read_text())


def asked(path, *words):
    return capacity.main([*words, "-o", str(path)])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_line_for_all_slots_stands_what_erlangs_formula_says(tmp_path, capsys):
    """M/M/1 and M/M/2 of 50 ms, p99 <= 300 ms: 4.65 a second (20 - ln(100) / 0.3) and 21.77."""
    path = tmp_path / "curve.json"
    exact = analytic(Objective(300, 0.01), [0.05] * 2, 1).rates
    assert exact[0] == pytest.approx(20 - math.log(100) / 0.3)
    assert asked(path, *MMC, "capacity.max_replicas=2", "capacity.precision=0.2") == ExitStatus.COMPLETE
    points = found(path)["points"]
    assert [point["analytic_rps"] for point in points] == pytest.approx(exact)
    for point, rate_rps in zip(points, exact, strict=True):
        assert point["low_rps"] <= rate_rps <= point["high_rps"]
        assert point["rate_rps"] == pytest.approx(rate_rps, rel=0.2)
    told = capsys.readouterr().out
    assert "Erlang's formula" in told and f"autoscaling.capacity={path}" in told
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    taken = run(
        "+scenario=autoscale", *(word for word in MMC[1:] if not word.startswith("workload.")), "workload.duration_s=10",
        f"autoscaling.capacity={path}", "summary=never", "tracking.enabled=false", f"hydra.run.dir={tmp_path / 'run'}",
    )  # fmt: skip
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert manifest(tmp_path / "run")["demand_source"] == "measured"


@pytest.fixture(scope="module")
def curve(tmp_path_factory):
    path = tmp_path_factory.mktemp("capacity") / "curve.json"
    assert asked(path, *SIM, "capacity.max_replicas=2", "capacity.precision=0.5", "capacity.seeds=3") == 0
    return path


def test_who_has_more_replicas_stands_more(curve):
    one, two = (point["rate_rps"] for point in found(curve)["points"])
    assert 0 < 1.5 * one < two


def test_every_probe_has_a_line_and_simulated_runs_leave_nothing_else(curve):
    folder = curve.with_suffix("")
    known = lines(folder)
    assert all(line["valid"] for line in known)
    tried = {(point["replicas"], each["rate_rps"]): each["runs"] for point in found(curve)["points"] for each in point["rates"]}
    assert sum(tried.values()) == len(known) and {(line["replicas"], line["rate_rps"]) for line in known} == set(tried)
    assert list((folder / RUNS).iterdir()) == []


def test_the_same_command_again_probes_nothing_and_finds_the_same(curve, capsys):
    before = found(curve)
    assert asked(curve, *SIM, "capacity.max_replicas=2", "capacity.precision=0.5", "capacity.seeds=3") == 0
    assert "0 probe(s) made" in capsys.readouterr().out
    assert found(curve)["points"] == before["points"]


def test_probes_of_another_fleet_are_not_mixed_with_them(curve, capsys):
    assert asked(curve, *SIM, "replica.concurrency=3") == ExitStatus.WRONG
    assert "its probes are of replica.concurrency=2, this is of 3; choose another -o" in capsys.readouterr().err


def test_probes_of_replicas_of_other_speeds_are_not_mixed_with_them(tmp_path, capsys):
    def kept(*speeds):
        words = [*SIM, f"capacity.max_replicas={len(speeds)}", f"replica.speeds={list(speeds)}".replace(" ", "")]
        asked = Asked.of(words)
        with initialize_config_dir(str(CONF), version_base="1.3"):
            fleets = Fleets(asked, GlobalHydra.instance().config_loader())
        Kept(tmp_path / "curve", fleets.resolved, is_virtual=True).close()

    store.register()
    kept(1, 1)
    kept(1, 1, 0.5)  # it goes on with one more
    for speeds, words in [((2, 1), r"=\[1\.0, 1\.0\], this is of \[2\.0, 1\.0\]"), ((1, 1, 1), r"0\.5\], this is of")]:
        with pytest.raises(ConfigError, match=f"its probes are of replica.speeds.*{words}"):
            kept(*speeds)


def test_one_that_is_killed_has_lost_no_probe_that_it_had_finished(tmp_path):
    path, folder = tmp_path / "curve.json", tmp_path / "curve"
    command = [sys.executable, "-m", "experiments.capacity", *SIM, "capacity.max_replicas=1", "-o", str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: (folder / PROBES).exists() and len((folder / PROBES).read_text().splitlines()) >= 2, 120)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = (folder / PROBES).read_text()
    with (folder / PROBES).open("a") as file:
        file.write('{"replicas": 1, "rate_r')  # as a process leaves it that is killed while it writes
    again = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len((folder / PROBES).read_text().splitlines()) > len(before.splitlines()) + 1, 120)
    again.send_signal(signal.SIGINT)
    _, told = again.communicate(timeout=120)
    assert again.returncode == 130, told
    assert "the probes are kept" in told
    assert (folder / PROBES).read_text().startswith(before)
    assert all(line["valid"] for line in lines(folder))
    assert not path.exists()


class Played:
    """What would come of runs, in place of them: a fleet is in time up to 20 requests a second."""

    def __init__(self, invalid=0, status=ExitStatus.COMPLETE):
        self.made, self.invalid, self.status = 0, invalid, status

    def __call__(self, session):
        self.made += 1
        rate = session.config.workload.rate_rps
        spoilt = self.made <= self.invalid
        session.folder.mkdir(parents=True)
        metrics = {
            "offered_requests": 1000, "served_share": 1.0 if rate <= 20 else 0.5, "error_rate": 0.0,
            "valid": not spoilt, "invalid_reasons": ["the generator was late"] if spoilt else [],
        }  # fmt: skip
        (session.folder / "metrics.json").write_text(json.dumps(metrics))
        return self.status if not spoilt else ExitStatus.INVALID


def test_an_invalid_probe_is_made_again_and_counts_for_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(probes, "supervise", Played(invalid=2))
    assert asked(tmp_path / "a.json", *SIM, "capacity.max_replicas=1") == ExitStatus.COMPLETE
    (point,) = found(tmp_path / "a.json")["points"]
    assert point["low_rps"] <= 20 < point["high_rps"]
    assert [line["valid"] for line in lines(tmp_path / "a")][:3] == [False, False, True]
    assert capsys.readouterr().err.count("not valid, the generator was late; once more") == 2


def test_a_probe_that_stays_invalid_ends_the_search_with_status_3_and_the_next_one_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(probes, "supervise", Played(invalid=3))
    assert asked(tmp_path / "a.json", *SIM, "capacity.max_replicas=1") == ExitStatus.INVALID
    assert "tried 3 time(s): the generator was late; the probes that were valid are kept" in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()
    monkeypatch.setattr(probes, "supervise", Played())
    assert asked(tmp_path / "a.json", *SIM, "capacity.max_replicas=1") == ExitStatus.COMPLETE


def test_a_run_that_fails_ends_it_with_status_1(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(probes, "supervise", Played(status=ExitStatus.FAILED))
    assert asked(tmp_path / "a.json", *SIM) == ExitStatus.FAILED
    assert "the run failed" in capsys.readouterr().err


def test_an_objective_that_nobody_meets_leaves_no_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(probes, "supervise", Played())
    monkeypatch.setattr(capacity, "LEAST_RPS", 30.0)
    assert asked(tmp_path / "a.json", *SIM, "capacity.max_replicas=1") == ExitStatus.FAILED
    assert "no rate was found at which p99 <= 1,000 ms" in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["engine=sim"], "no scenario: add +scenario=NAME, one of aa, "),
        ([*SIM, "replicas=3"], "replicas: leave it out, 1 to capacity.max_replicas are measured"),
        ([*SIM, "scaler=hpa"], "scaler: leave it out, a fleet of a fixed number is measured"),
        ([*SIM, "autoscaling.max_replicas=3"], "autoscaling.max_replicas: leave it out"),
        ([*SIM, "workload=spike"], "workload: leave it out, rates that stay as they are are tried"),
        ([*SIM, "workload.rate_rps=9"], "workload.rate_rps: leave it out, it is what is sought"),
        ([*SIM, "hydra/launcher=joblib"], "hydra/launcher: leave it out"),
        ([*SIM, "policy=random,prequal"], "policy=random,prequal: a curve is of one configuration"),
        ([*SIM, "capacity.replicas=3"], "capacity.replicas: there is no such key; there are capacity.max_replicas"),
        ([*SIM, "capacity.max_replicas=0"], "capacity.max_replicas=0: must be between 1 and 1000"),
        ([*SIM, "capacity.max_replicas=two"], "two"),
        ([*SIM, "capacity.precision=0"], "capacity.precision=0: must be between 0.005 and 1"),
        ([*SIM, "engine=local", "capacity.max_replicas=65"], "replicas=65: must be between 1 and 64 (engine=local)"),
        ([*SIM, "six"], "six: is no override"),
        ([*SIM, "repilcas=3"], "repilcas"),
        ([*SIM, "slo.p99_ms=20000"], "slo.p99_ms=20000: must be at most load.timeout_s=10 s"),
        ([*SIM, "slo.error_rate=0.0001", "workload.duration_s=11"], "workload.duration_s=11: too short"),
        ([*SIM, "load.loop=closed"], "load.loop=closed: must be open"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_starts_nothing(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.setattr(probes, "supervise", None)
    assert asked(tmp_path / "a.json", *words) == ExitStatus.WRONG
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1, told
    assert not (tmp_path / "a.json").exists()


def test_a_name_that_is_no_json_is_refused(tmp_path, capsys):
    assert capacity.main([*SIM, "-o", str(tmp_path / "a.png")]) == ExitStatus.WRONG
    assert "must end in .json" in capsys.readouterr().err


def test_keys_of_its_own_are_taken_out_of_the_command_line():
    taken = Asked.of(["+scenario=routed", "capacity.seeds=7", "policy=random", "capacity.precision=0.1"])
    assert taken.overrides == ("+scenario=routed", "policy=random")
    assert (taken.settings.seeds, taken.settings.precision, taken.settings.max_replicas) == (7, 0.1, 6)
    with pytest.raises(ConfigError):
        Asked.of(["capacity=7"])


def test_help_names_each_key_with_its_bounds(capsys):
    with pytest.raises(SystemExit) as ended:
        capacity.main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for word in ("capacity.max_replicas=6", "capacity.precision=0.05", "capacity.seeds=5", "capacity.tries=3"):
        assert word in told
