"""What Hydra's users know works here, too: optimisers, `.hydra/`, `--cfg` of a sweep, tab completion, a script."""

import json
import math
import os
import pickle
import subprocess
import sys

import pytest
import yaml

from experiments.plan.config import ConfigError
from experiments.runner.exit_status import ExitStatus
from experiments.sweep.optuna import let_end
from experiments.sweep.outcome import Outcome, check_direction, outcome_of, value_of
from tests.running import AT_MOST_S, ROOT, manifest, metrics, run

SIM = [
    "+scenario=routed", "engine=sim", "workload.duration_s=3", "workload.warmup_s=0", "tracking.enabled=false",
    "summary=never",
]  # fmt: skip


def test_an_optimiser_finds_the_best_of_what_its_trials_measured(tmp_path):
    space = ["policy=peak_ewma", "policy.decay_s=interval(1.0,10)", "replicas=choice(2,4)"]
    search = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.sampler.seed=1"]
    done = run("-m", *SIM, *search, *space, f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    measured = []
    for number in range(4):
        config = manifest(tmp_path / str(number))["config"]
        settings = {"policy.decay_s": config["policy"]["decay_s"], "replicas": config["replicas"]}
        measured.append((metrics(tmp_path / str(number))["latency_p99_ms"], settings))
    best = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert best["best_value"] == min(value for value, _ in measured)
    assert (best["best_value"], best["best_params"]) in measured
    assert not (tmp_path / ".statuses").exists()


def test_a_trial_that_is_not_valid_has_no_value_and_does_not_end_the_search(tmp_path):
    search = ["hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", "hydra.sweeper.n_trials=2"]
    done = run("-m", *SIM, *search, "validity.min_sent_share=choice(0,2)", f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == ExitStatus.INVALID, done.stderr
    assert sorted(metrics(tmp_path / str(n))["valid"] for n in range(2)) == [False, True]
    best = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert best["best_params"] == {"validity.min_sent_share": 0}


@pytest.mark.parametrize("last", ["complete", "failed"])
def test_a_grid_search_ends_with_whatever_its_last_trial_was(last, monkeypatch):
    samplers = pytest.importorskip("optuna.samplers")
    import optuna
    from optuna.trial import TrialState

    monkeypatch.setattr(samplers.GridSampler, "after_trial", samplers.GridSampler.after_trial)  # put back afterwards
    let_end("optuna.samplers.GridSampler")
    study = optuna.create_study(sampler=samplers.GridSampler({"replicas": [2, 4]}))
    for values in ([1.0], [2.0]) if last == "complete" else ([1.0], None):
        trial = study.ask()
        trial.suggest_categorical("replicas", [2, 4])
        study.tell(trial, values, TrialState.FAIL if values is None else TrialState.COMPLETE)
    assert study.best_value == 1.0 and len(study.trials) == 2


def test_a_search_of_which_no_trial_counts_says_so(tmp_path):
    search = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "validity.min_sent_share=choice(2,3)"]
    done = run("-m", *SIM, *search, f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == ExitStatus.INVALID, done.stderr
    assert "the search has no result" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert not (tmp_path / ".statuses").exists()


def test_another_sweepers_jobs_in_other_processes_say_how_they_ended(tmp_path):
    jobs = ["hydra/sweeper=basic", "hydra/launcher=joblib", "validity.min_sent_share=0,2"]
    done = run("-m", *SIM, *jobs, f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == ExitStatus.INVALID, done.stderr


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["hydra/sweeper=optuna", "comparison.primary=served_share", "replicas=choice(3,4)"], "must be maximize"),
        (["hydra/sweeper=basic", "hydra/launcher=joblib", "engine=local", "replicas=3,4"], "add engine=sim"),
    ],
)
def test_a_sweep_of_another_sweeper_that_would_mislead_is_refused(overrides, words, tmp_path):
    done = run("-m", *SIM, *overrides, f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == ExitStatus.WRONG
    assert words in done.stderr and not list(tmp_path.rglob("manifest.json"))


def test_a_jobs_outcome_is_its_metric_and_its_status_through_pickle_too():
    outcome = pickle.loads(pickle.dumps(Outcome(12.5, ExitStatus.INVALID)))
    assert (outcome, outcome.status) == (12.5, 3)


@pytest.mark.parametrize(
    ("known", "primary", "value"),
    [
        ({"latency_p99_ms": 12.5}, "latency_p99_ms", 12.5),
        ({"latency_p99_ms": None, "failed_requests": 9}, "latency_p99_ms", math.inf),
        ({"recovery_s": None, "recovered": False}, "recovery_s", math.inf),
    ],
)
def test_what_was_never_served_or_never_recovered_is_worse_than_any_number(known, primary, value):
    assert value_of(known, primary) == value


@pytest.mark.parametrize(("status", "is_known"), [(0, True), (1, False), (3, False)])
def test_only_a_run_that_counts_has_a_value(status, is_known, tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"detection_s": 2.0, "recovery_s": None, "recovered": None}))
    assert math.isnan(outcome_of(tmp_path, "detection_s", status)) is not is_known
    assert math.isnan(outcome_of(tmp_path, "recovery_s", status))
    assert math.isnan(outcome_of(tmp_path / "nowhere", "detection_s", status))


def test_the_direction_of_a_search_is_that_of_its_metric():
    check_direction({}, "served_share")  # a sweeper that has none
    for direction, primary in (("minimize", "latency_p99_ms"), ("maximize", "goodput_rps")):
        check_direction(Searching(direction), primary)
    for wrong in ("maximize", ["minimize", "maximize"]):
        with pytest.raises(ConfigError, match=r"hydra\.sweeper\.direction=.*must be minimize"):
            check_direction(Searching(wrong), "latency_p99_ms")


class Searching(dict):
    """A sweeper's section, as OmegaConf gives it."""

    def __init__(self, direction):
        super().__init__(direction=direction)
        self.direction = direction


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A run's folder, and a second run into it."""
    folder = tmp_path_factory.mktemp("once") / "run"
    for seed in (1, 2):
        done = run(*SIM, f"seed={seed}", f"hydra.run.dir={folder}")
        assert done.returncode == 0, done.stderr
    return folder


def test_a_runs_folder_holds_hydras_own_record_of_it(once):
    left = {path.name: yaml.safe_load(path.read_text()) for path in (once / ".hydra").iterdir()}
    assert left.keys() == {"config.yaml", "hydra.yaml", "overrides.yaml"}
    assert left["overrides.yaml"] == [*SIM, "seed=2"] == manifest(once)["overrides"]
    assert left["config.yaml"]["seed"] == 2 and left["config.yaml"]["engine"]["name"] == "sim"
    assert left["hydra.yaml"]["hydra"]["runtime"]["output_dir"] == str(once)


def test_a_folder_that_is_another_runs_keeps_its_record(once):
    from record.place import hold

    claim = hold(once)
    assert claim is not None
    try:
        done = run(*SIM, "seed=3", f"hydra.run.dir={once}")
    finally:
        claim.release()
    assert done.returncode == ExitStatus.FAILED
    assert yaml.safe_load((once / ".hydra" / "config.yaml").read_text())["seed"] == 2


def script(*arguments, env=None):
    return subprocess.run(
        [sys.executable, "experiments/run.py", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False, env={**os.environ, **(env or {})},
    )  # fmt: skip


def test_a_sweeps_configurations_are_shown_job_by_job():
    done = run("-m", "+scenario=routed", "seed=1,2", "policy=round_robin,peak_ewma", "--cfg", "job")
    assert done.returncode == 0, done.stderr
    jobs = [yaml.safe_load(text) for text in done.stdout.split("---\n")]
    assert [(job["seed"], job["policy"]["name"]) for job in jobs] == [
        (1, "round_robin"), (1, "peak_ewma"), (2, "round_robin"), (2, "peak_ewma"),
    ]  # fmt: skip


def test_a_search_is_shown_without_what_it_varies():
    done = run("-m", "+scenario=routed", "hydra/sweeper=optuna", "replicas=choice(2,3)", "seed=5", "-c", "job")
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)
    assert (shown["seed"], shown["replicas"]) == (5, 4)


def test_the_script_is_the_module_and_info_is_told():
    told = script("+scenario=routed", "--info", "config")
    assert told.returncode == 0 and "Config search path" in told.stdout, told.stderr
    assert told.stdout == run("+scenario=routed", "--info", "config").stdout
    assert script("+scenario=nowhere").returncode == ExitStatus.WRONG


def test_tab_completes_scenarios_and_keys():
    installed = run("-sc", "install=bash")
    assert installed.returncode == 0 and "hydra_bash_completion" in installed.stdout
    press = installed.stdout + '\nCOMP_WORDS=($COMP_LINE) COMP_CWORD=2; hydra_bash_completion; echo "${COMPREPLY[@]}"\n'
    for typed, offered in (("+scenario=fail", "+scenario=failover"), ("workload.dem", "workload.demand.")):
        line = f"python experiments/run.py {typed}"
        env = {**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))}
        env["PATH"] = f"{os.path.dirname(sys.executable)}:{env['PATH']}"
        done = subprocess.run(
            ["bash", "-c", press], cwd=ROOT, env=env, capture_output=True, text=True, timeout=AT_MOST_S, check=False
        )
        assert offered in done.stdout.split(), done.stderr
