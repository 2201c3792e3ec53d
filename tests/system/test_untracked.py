"""MLflow after runs that were ended, and where it was away: every run once, with its true status, if later."""

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from experiments.tracking.values import SWEEP_FILES
from tests.running import (
    AT_MOST_S,
    command_of,
    descendants,
    manifest,
    measuring,
    metrics,
    processes_of,
    start,
    wait_for,
)
from tests.system.tracked import (
    SHORT,
    client_of,
    compared_sweep,
    files,
    log_later,
    logged,
    parent_and_children,
    ran_at,
    status_of,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own

LONG = [*SHORT, "workload.duration_s=600"]
"""Longer than any test waits for what it ends."""
MUCH_TIME_S = 200
"""A run of 2 s with nothing to log to takes about 10 s, and 50 where a machine is busy; MLflow's own seven retries wait
four minutes."""


@pytest.fixture(scope="module")
def mlflow(ended_early, env):
    return client_of(env)


# -- runs that do not end by themselves


@pytest.fixture(scope="module")
def ended_early(place, env):
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
            wait_for(lambda name=name: measuring(folders[name]), f"{name} is under load")
        companions = [p for run in runs.values() for p in descendants(run) if "experiments.tracking" in command_of(p)]
        assert len(companions) == len(runs)
        runs["interrupted"].send_signal(signal.SIGINT)
        runs["crashed"].send_signal(signal.SIGSTOP)  # it must not see its children go
        generators = [p for p in descendants(runs["dying"]) if "locust" in command_of(p)]
        for process in [*generators, *descendants(runs["crashed"]), runs["crashed"], runs["killed"]]:
            process.kill()
        output = {name: process.communicate(timeout=AT_MOST_S)[0] for name, process in runs.items()}
        wait_for(lambda: processes_of(place / "early") == [], "the guardians have done their work")
        wait_for(lambda: not any(p.is_running() for p in companions), "the companions have logged")
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
def without(place):
    """A run whose MLflow cannot be reached."""
    return ran_at(place / "without" / "run", MLFLOW_TRACKING_URI="http://127.0.0.1:9")


@pytest.fixture(scope="module")
def unanswered(without):
    """Logging later where nobody listens, and where a server says nothing: (address, finished process, seconds)."""
    folder = without.folder

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


def test_without_mlflow_a_run_loses_nothing_and_gives_one_warning(without):
    folder, done, seconds = without
    assert done.returncode == (0 if metrics(folder)["valid"] else 3), done.stderr
    assert manifest(folder)["exit_reason"] == "complete"
    assert {"requests.parquet", "timeline.parquet", "summary.png"} <= {path.name for path in folder.iterdir()}
    assert "requests/s" in done.stdout and "MLflow: " not in done.stdout
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("warning: not logged to MLflow")
    assert f"python -m experiments.tracking {folder}" in lines[0]
    assert seconds < MUCH_TIME_S


def test_logging_later_logs_every_run_below_a_folder_and_a_second_time_none(mlflow, caught_up, without):
    first, second = caught_up
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    folder = without.folder
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
