"""MLflow as a user finds it after good runs, bad runs and no MLflow at all: every run once, with its true status."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from experiments.plan.installed import missing
from experiments.tracking.values import SWEEP_FILES
from tests.running import ROOT, job_of, manifest, measuring, metrics, processes_of, run, start, wait_for
from tests.system.tracked import (
    POLICIES,
    compared_sweep,
    files,
    log_later,
    logged,
    measured,
    of,
    parent_and_children,
    shown,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own

SHORT = ["+scenario=routed", "replicas=1", "workload.rate_rps=20", "workload.duration_s=2", "workload.warmup_s=0.5"]
LONG = [*SHORT, "workload.duration_s=600"]
"""Longer than any test waits for what it ends."""
MUCH_TIME_S = 100
"""A run of 2 s with nothing to log to takes about 10 s, 30 beside three others, and 50 where a machine is busy; MLflow's
own retries take minutes."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(scope="module")
def env(place):
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{place / 'mlflow.db'}"}


class Ran(NamedTuple):
    folder: Path
    done: subprocess.CompletedProcess
    seconds: float


@pytest.fixture(scope="module")
def ran(place, env):
    """At once: a run and a sweep into a database that neither finds, and a run whose MLflow cannot be reached.

    Futures by name, so that what needs one of them does not wait for the others.
    """

    def one(folder, *arguments, **env):
        began = time.monotonic()
        kind = "sweep" if "-m" in arguments else "run"
        done = run(*arguments, *SHORT, f"hydra.{kind}.dir={folder}", env=env, timeout_s=220)
        return Ran(folder, done, time.monotonic() - began)

    with ThreadPoolExecutor() as pool:
        yield {
            "alone": pool.submit(one, place / "alone", "seed=7", **env),
            "sweep": pool.submit(one, place / "sweep", "-m", f"policy={POLICIES}", **env),
            "without": pool.submit(one, place / "without" / "run", MLFLOW_TRACKING_URI="http://127.0.0.1:9"),
        }


@pytest.fixture(scope="module")
def mlflow(ran, env):
    """MLflow's own client, on the database that the first runs made."""
    ran["alone"].result()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=env["MLFLOW_TRACKING_URI"])


# -- runs that end well


def test_a_run_can_be_found_by_its_commit_scenario_and_validity(mlflow, ran):
    folder = ran["alone"].result().folder
    tags = logged(mlflow, folder).data.tags
    assert tags["mlflow.runName"] == "routed-alone"
    assert (tags["scenario"], tags["mode"], tags["exit_reason"]) == ("routed", "run", "complete")
    assert (tags["seed"], tags["policy"]) == ("7", "adaptive")
    assert tags["valid"] == json.dumps(metrics(folder)["valid"])
    assert tags["git_commit"] == str(manifest(folder)["git"]["commit"])
    if (ROOT / ".git").exists():
        head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True)
        assert tags["git_commit"] == head.strip()


def test_every_parameter_and_every_number_is_the_runs_own(mlflow, ran):
    folder = ran["alone"].result().folder
    data = logged(mlflow, folder).data
    assert (data.params["seed"], float(data.params["workload.rate_rps"])) == ("7", 20)
    assert data.metrics["latency_p99_ms"] > 0
    assert data.metrics["system/cpu_router_cores"] > 0
    assert measured(logged(mlflow, folder)) == pytest.approx(shown(metrics(folder)))


def test_a_run_says_where_it_is_found_in_mlflow(mlflow, ran, place):
    folder, done, _ = ran["alone"].result()
    assert f"mlflow ui --backend-store-uri sqlite:///{place / 'mlflow.db'}" in done.stdout
    assert f"/#/experiments/1/runs/{logged(mlflow, folder).info.run_id}?" in done.stdout
    folder, done, _ = ran["sweep"].result()
    assert re.findall(r"/runs/(\w{32})", done.stdout) == [parent_and_children(mlflow, folder)[0].info.run_id]
    assert "MLflow: " not in ran["without"].result().done.stdout


def status_of(folder):
    """MLflow's status of a run that has ended by itself: one that does not count is no green one."""
    return "FINISHED" if metrics(folder)["valid"] else "FAILED"


def test_the_seconds_of_a_run_can_be_drawn_in_mlflow(mlflow, ran):
    folder = ran["alone"].result().folder
    seconds = pd.read_parquet(folder / "timeline.parquet")
    t0_ms = manifest(folder)["t0_unix"] * 1000
    for name in ("offered_rps", "replicas_ready"):
        points = mlflow.get_metric_history(logged(mlflow, folder).info.run_id, f"timeline/{name}")
        points.sort(key=lambda point: point.step)
        assert [point.value for point in points] == pytest.approx(seconds[name].tolist())
        assert [point.timestamp - t0_ms for point in points] == pytest.approx([1000 * p.step for p in points], abs=2)


def test_the_files_of_a_run_are_kept_in_mlflow_beside_the_database(mlflow, ran, place):
    folder = ran["alone"].result().folder
    found = logged(mlflow, folder).info
    own = {path.name for path in folder.iterdir()} - {"tracking.json"}
    assert files(mlflow, found.run_id) == own
    assert {"metrics.json", "summary.png", "requests.parquet", "logs"} <= own
    assert "router.log" in files(mlflow, found.run_id, "logs")
    kept = Path(found.artifact_uri.removeprefix("file://"))
    assert place in kept.parents
    assert (kept / "metrics.json").read_bytes() == (folder / "metrics.json").read_bytes()


# -- runs that do not end by themselves


@pytest.fixture(scope="module")
def ended_early(place, env, mlflow):
    """Ended under load: a sweep by Ctrl-C, runs by their generator's death, by SIGKILL, and by a power cut.

    One is under load before the next one starts: four that start at once may take longer than each allows itself.
    """
    sweep = place / "early" / "sweep"
    folders = {name: place / "early" / name for name in ("dying", "killed", "crashed")}
    commands = {name: [*LONG, f"hydra.run.dir={folder}"] for name, folder in folders.items()}
    commands["interrupted"] = ["-m", "seed=1,2", *LONG, f"hydra.sweep.dir={sweep}"]
    folders["interrupted"] = sweep / "seed=1,job=0"
    runs = {}
    try:
        for name, arguments in commands.items():
            runs[name] = start(*arguments, env=env)
            wait_for(lambda name=name: measuring(folders[name]), 90, f"{name} is under load")
        companions = [p for run in runs.values() for p in of(run) if "experiments.tracking" in p.cmdline()]
        assert len(companions) == len(runs)
        runs["interrupted"].send_signal(signal.SIGINT)
        runs["crashed"].send_signal(signal.SIGSTOP)  # it must not see its children go
        generators = [p for p in of(runs["dying"]) if "locust" in " ".join(p.cmdline())]
        for process in [*generators, *of(runs["crashed"]), runs["crashed"], runs["killed"]]:
            process.kill()
        output = {name: process.communicate(timeout=60)[0] for name, process in runs.items()}
        wait_for(lambda: processes_of(place / "early") == [], 60, "the guardians have done their work")
        wait_for(lambda: not any(p.is_running() for p in companions), 60, "the companions have logged")
    finally:
        for process in runs.values():
            process.kill()
    return folders, {name: process.returncode for name, process in runs.items()}, output


def test_a_run_ended_by_ctrl_c_is_killed_in_mlflow_with_what_it_measured(mlflow, ended_early):
    folders, statuses, output = ended_early
    assert statuses["interrupted"] == 130, output["interrupted"]
    found = logged(mlflow, folders["interrupted"])
    assert (found.info.status, found.data.tags["exit_reason"]) == ("KILLED", "interrupted")
    assert found.data.tags["valid"] == "false"
    assert found.data.metrics["offered_requests"] > 0
    assert "requests.parquet" in files(mlflow, found.info.run_id)


def test_a_run_that_dies_is_failed_in_mlflow_and_says_why(mlflow, ended_early):
    folders, statuses, output = ended_early
    assert statuses["dying"] == 1, output["dying"]
    found = logged(mlflow, folders["dying"])
    assert (found.info.status, found.data.tags["exit_reason"]) == ("FAILED", "failed")
    assert "load-0 failed" in found.data.tags["error"]
    assert "load-0.log" in files(mlflow, found.info.run_id, "logs")


def test_a_killed_runner_leaves_no_run_that_looks_alive_in_mlflow(mlflow, ended_early):
    found = logged(mlflow, ended_early[0]["killed"])
    assert (found.info.status, found.data.tags["exit_reason"]) == ("KILLED", "killed")
    assert "requests.parquet" in files(mlflow, found.info.run_id)


# -- MLflow away


@pytest.fixture(scope="module")
def unanswered(ran):
    """Logging later where nobody listens, and where a server says nothing: (address, finished process, seconds)."""
    folder = ran["without"].result().folder

    def one(port):
        began = time.monotonic()
        done = log_later(folder, env={"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"})
        return f"127.0.0.1:{port}", done, time.monotonic() - began

    with socket.create_server(("127.0.0.1", 0), backlog=50) as server, ThreadPoolExecutor() as pool:
        yield {"nobody": pool.submit(one, 9), "silence": pool.submit(one, server.getsockname()[1])}


@pytest.fixture(scope="module")
def compared(place):
    return compared_sweep(place / "compared")


@pytest.fixture(scope="module")
def caught_up(place, env, unanswered, ended_early, compared):
    """`python -m experiments.tracking` over the folders of what is not logged yet, twice."""
    folders = [place / "without", ended_early[0]["crashed"], compared]
    return [log_later(*folders, env=env) for _ in range(2)]


def test_without_mlflow_a_run_loses_nothing_and_gives_one_warning(ran):
    folder, done, seconds = ran["without"].result()
    assert done.returncode == (0 if metrics(folder)["valid"] else 3), done.stderr
    assert manifest(folder)["exit_reason"] == "complete"
    assert {"requests.parquet", "timeline.parquet", "summary.png"} <= {path.name for path in folder.iterdir()}
    assert "requests/s" in done.stdout
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("warning: not logged to MLflow")
    assert f"python -m experiments.tracking {folder}" in lines[0]
    assert seconds < MUCH_TIME_S


def test_logging_later_logs_every_run_below_a_folder_and_a_second_time_none(mlflow, caught_up, ran):
    first, second = caught_up
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    folder = ran["without"].result().folder
    assert f"{folder}: logged, {status_of(folder)}" in first.stdout
    assert f"{folder}: logged already" in second.stdout
    found = logged(mlflow, folder)
    assert found.data.metrics["offered_requests"] == metrics(folder)["offered_requests"]
    points = mlflow.get_metric_history(found.info.run_id, "timeline/offered_rps")
    assert len(points) == len(pd.read_parquet(folder / "timeline.parquet"))
    assert "summary.png" in files(mlflow, found.info.run_id)


def test_a_run_lost_in_a_power_cut_can_be_logged_later(mlflow, caught_up, ended_early):
    folder = ended_early[0]["crashed"]
    assert manifest(folder)["exit_reason"] == "running"
    assert f"{folder}: logged, KILLED" in caught_up[0].stdout
    found = logged(mlflow, folder)
    assert found.info.status == "KILLED"
    assert "schedule.parquet" in files(mlflow, found.info.run_id)


@pytest.mark.parametrize("answer", ["nobody", "silence"])
def test_logging_later_to_a_server_that_does_not_answer_says_so_soon_and_in_one_line(unanswered, answer):
    address, done, seconds = unanswered[answer].result()
    assert done.returncode == 1
    assert address in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert seconds < MUCH_TIME_S


def test_logging_later_names_a_folder_without_runs(tmp_path, env):
    done = log_later(tmp_path, env=env)
    assert (done.returncode, str(tmp_path) in done.stderr) == (1, True)


# -- sweeps


def test_a_run_and_a_sweep_that_create_the_database_at_once_are_both_logged(mlflow, ran):
    for name in ("alone", "sweep"):
        whole, done, _ = ran[name].result()
        folder = job_of(whole, 0) if name == "sweep" else whole
        assert done.returncode in (0, 3), done.stderr
        assert "not logged" not in done.stderr
        assert logged(mlflow, folder).info.status == status_of(folder)


def test_a_sweep_is_one_run_with_its_jobs_below_it(mlflow, ran):
    folder = ran["sweep"].result().folder
    assert [manifest(job_of(folder, job))["config"]["policy"]["name"] for job in range(2)] == POLICIES.split(",")
    parent, children = parent_and_children(mlflow, folder)
    statuses = [status_of(job_of(folder, job)) for job in range(2)]
    assert parent.info.status == ("FINISHED" if "FINISHED" in statuses else "FAILED")
    assert parent.info.run_name == "sweep-sweep"
    assert {child.info.run_name for child in children} == {f"policy={p}, seed=1" for p in POLICIES.split(",")}
    assert sorted(child.data.tags["arm"] for child in children) == sorted(f"policy={p}" for p in POLICIES.split(","))
    assert sorted(child.info.status for child in children) == sorted(statuses)
    assert {child.data.tags["valid"] for child in children} <= {"true", "false"}


def test_a_sweep_ends_with_its_comparison_in_its_folder_on_the_terminal_and_in_mlflow(mlflow, ran):
    folder, done, _ = ran["sweep"].result()
    assert f"python -m analysis.compare {folder}" in done.stdout
    parent, _ = parent_and_children(mlflow, folder)
    compared = {"comparison.json", "comparison.png", "summary.png", *([] if missing("report") else ["report.html"])}
    assert files(mlflow, parent.info.run_id) == compared
    assert compared <= {path.name for path in folder.iterdir()}
    rows = json.loads((folder / "comparison.json").read_text())
    ratios = {f"vs/peak_ewma/{row['metric']}": row["ratio"] for row in rows if row["ratio"] is not None}
    assert parent.data.metrics.items() >= ratios.items()
    word = next((row["verdict"] for row in rows if row["is_primary"]), "inconclusive").upper()
    assert parent.data.tags["verdict"].startswith(f"{word}. ")
    assert parent.data.tags["verdict"] in done.stdout or not rows


def test_a_sweep_that_is_logged_later_has_its_verdict_and_bounds_each_once(mlflow, caught_up, compared):
    assert f"{compared / '0'}: logged already" in caught_up[1].stdout
    parent, children = parent_and_children(mlflow, compared)
    assert parent.info.status == "FINISHED"
    assert len(children) == 4
    row = next(row for row in json.loads((compared / "comparison.json").read_text()) if row["is_primary"])
    for key, value in (("", row["ratio"]), ("_low", row["low"]), ("_high", row["high"])):
        points = mlflow.get_metric_history(parent.info.run_id, f"vs/peak_ewma/latency_p99_ms{key}")
        assert [point.value for point in points] == pytest.approx([value])
    assert parent.data.tags["verdict"].startswith("BETTER. policy=peak_ewma is better than policy=round_robin")
    assert files(mlflow, parent.info.run_id) == {"comparison.json", "comparison.png"}


def test_an_interrupted_sweep_does_not_stay_open_in_mlflow(mlflow, ended_early):
    parent, children = parent_and_children(mlflow, ended_early[0]["interrupted"].parent)
    assert parent.info.status == "KILLED"
    assert [child.info.status for child in children] == ["KILLED"]
    assert not set(SWEEP_FILES) & {path.name for path in ended_early[0]["interrupted"].parent.iterdir()}
    assert "verdict" not in parent.data.tags
