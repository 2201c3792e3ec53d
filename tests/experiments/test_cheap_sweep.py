"""A sweep of simulated runs costs little more than its requests, and leaves as much as each run by itself would."""

import json
import os
import resource
import signal
import time
from pathlib import Path

import pytest

from experiments.plan.schedule import build_schedule
from experiments.simulator.stack import VirtualStack
from record.naming import number_of
from tests.experiments.test_sweeper import jobs_of
from tests.running import AT_MOST_S, job_of, manifest, metrics, run, start, wait_for
from tests.system.tracked import measured, shown

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # MLflow's own
    pytest.mark.timeout(600),  # the first of them plays the sweep
]
LOAD = ["+scenario=routed", "engine=sim", "workload.rate_rps=100", "workload.duration_s=30"]
SHORT = ["+scenario=routed", "engine=sim", "workload.duration_s=4", "workload.warmup_s=0"]
RUNS = 60
ARMS = "policy=random,peak_ewma"
DEAREST = 20
"""CPU of a run in a sweep of 60, over that of the engine for its requests; imports, MLflow's database and the sweep's
pictures included. Some 8 on an idle machine; each run with its own processes and picture took 100."""


def cpu_s(who):
    """CPU that this process, or all children that it has waited for, have used, seconds."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, env):
    """The folder of a sweep, and the CPU that it took, seconds."""
    folder = tmp_path_factory.mktemp("sweep")
    before = cpu_s(resource.RUSAGE_CHILDREN)
    done = run("-m", *LOAD, f"seed=range({RUNS // 2})", ARMS, f"hydra.sweep.dir={folder}", env=env, timeout_s=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stderr
    return folder, cpu_s(resource.RUSAGE_CHILDREN) - before


@pytest.fixture(scope="module")
def mlflow(sweep, env):
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=env["MLFLOW_TRACKING_URI"])


def of_sweep(client, folder):
    """(parent, children) of a sweep in MLflow."""
    runs = client.search_runs(["1"])
    parents = [r for r in runs if r.data.tags.get("aegis.sweep") == str(folder)]
    assert len(parents) == 1
    return parents[0], [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]


def test_a_run_of_a_sweep_costs_little_beside_its_requests(sweep):
    spent_s = 0.0
    for job in jobs_of(*LOAD, "seed=range(5)", ARMS):
        stack = VirtualStack(
            job.config,
            job.plan.faults,
            build_schedule(job.config.workload, job.config.seed),
            lambda source, event, t_s, **detail: None,
        )
        began = time.process_time()
        stack.run(lambda now: True)
        spent_s += time.process_time() - began
    assert sweep[1] / RUNS < DEAREST * spent_s / 10


def test_every_run_of_a_sweep_is_whole_in_mlflow(sweep, mlflow):
    folder, _ = sweep
    parent, children = of_sweep(mlflow, folder)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["verdict"].startswith("BETTER")
    assert len(children) == RUNS
    logged = {child.info.run_id: child for child in children}
    for number in range(RUNS):
        path = job_of(folder, number)
        child = logged[json.loads((path / "tracking.json").read_text())["mlflow_run_id"]]
        assert (child.info.status, child.data.tags["aegis.logged"]) == ("FINISHED", "true")
        assert measured(child) == shown(metrics(path))
        assert child.data.params["seed"] == str(manifest(path)["seed"])
        assert child.data.params["policy.name"] == manifest(path)["config"]["policy"]["name"]
        kept = {item.path for item in mlflow.list_artifacts(child.info.run_id)}
        own = {item.name for item in path.iterdir()} - {"tracking.json", ".claim"}
        assert kept == own
        assert {"manifest.json", "metrics.json", "requests.parquet", "timeline.parquet"} <= kept


def test_a_run_of_a_sweep_has_the_figures_of_the_same_run_by_itself(sweep, tmp_path):
    folder, _ = sweep
    about = manifest(job_of(folder, 7))
    done = run(*about["overrides"], "tracking.enabled=false", f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "metrics.json").read_text() == (job_of(folder, 7) / "metrics.json").read_text()
    alone = manifest(tmp_path)
    assert {**alone["config"], "tracking": None} == {**about["config"], "tracking": None}
    assert (alone["schedule_hash"], alone["faults"]) == (about["schedule_hash"], about["faults"])
    composed = [(path / ".hydra" / "config.yaml").read_text().splitlines() for path in (tmp_path, job_of(folder, 7))]
    assert [line for line in composed[0] if "enabled:" not in line] == [x for x in composed[1] if "enabled:" not in x]


def pictures(folder):
    return sorted(number_of(path.parent.name) for path in folder.glob("*/summary.png"))


@pytest.mark.parametrize(("word", "drawn"), [("auto", []), ("always", [0, 1]), ("never", [])])
def test_the_runs_of_a_simulated_sweep_are_drawn_only_where_that_is_wanted(tmp_path, word, drawn):
    done = run("-m", *SHORT, "seed=1,2", f"summary={word}", "tracking.enabled=false", f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert pictures(tmp_path) == drawn
    assert (tmp_path / "summary.png").exists()
    assert len(list(tmp_path.glob("*/metrics.json"))) == 2


def test_a_single_run_is_drawn_unless_it_is_not_wanted(tmp_path):
    for word, drawn in (("auto", True), ("never", False)):
        done = run(*SHORT, f"summary={word}", "tracking.enabled=false", f"hydra.run.dir={tmp_path / word}")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / word / "summary.png").exists() == drawn
        assert ("picture:" in done.stdout) == drawn
        assert metrics(tmp_path / word)["valid"]


def test_a_sweep_is_gone_on_with_and_the_runs_that_were_missing_are_logged_too(sweep, mlflow, env):
    folder, _ = sweep
    for number in (3, 8):
        (job_of(folder, number) / "manifest.json").unlink()
    done = run(f"repeat.resume={folder}", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [manifest(job_of(folder, number))["exit_reason"] for number in (3, 8)] == ["complete"] * 2
    _, children = of_sweep(mlflow, folder)
    ids = {child.info.run_id for child in children}
    for number in range(RUNS):
        assert json.loads((job_of(folder, number) / "tracking.json").read_text())["mlflow_run_id"] in ids
    assert len(ids) == RUNS + 2


def begun(folder):
    """The runs of a sweep that have a manifest, by number."""
    return sorted(number_of(path.parent.name) for path in folder.glob("*/manifest.json"))


def reasons(folder):
    return {number: manifest(job_of(folder, number))["exit_reason"] for number in begun(folder)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_a_sweep_has_played_when_it_is_ended_early_is_closed_and_logged(tmp_path, env, mlflow, number):
    process = start("-m", *LOAD, "workload.duration_s=60", "seed=range(500)", f"hydra.sweep.dir={tmp_path}", env=env)
    try:
        wait_for(lambda: len(begun(tmp_path)) >= 4, "some runs have been played, and what comes of them is told")
        process.send_signal(number)
        output, _ = process.communicate(timeout=AT_MOST_S)
    finally:
        process.kill()
    assert process.returncode == (130 if number == signal.SIGINT else -9), output
    ended = "interrupted" if number == signal.SIGINT else "killed"
    wait_for(lambda: "running" not in reasons(tmp_path).values(), "the guardian has closed the folder")
    found = reasons(tmp_path)
    assert set(found.values()) <= {"complete", ended}
    assert list(found.values()).count("complete") >= 3

    def is_over():
        parents = [r for r in mlflow.search_runs(["1"]) if r.data.tags.get("aegis.sweep") == str(tmp_path)]
        return bool(parents) and parents[0].info.status == "KILLED"

    wait_for(is_over, "the sweep has ended in MLflow")
    _, children = of_sweep(mlflow, tmp_path)
    complete = [child for child in children if child.data.tags["exit_reason"] == "complete"]
    assert len(complete) == list(found.values()).count("complete")
    assert all(Path(child.info.artifact_uri.removeprefix("file://"), "metrics.json").exists() for child in complete)
