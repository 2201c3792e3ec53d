"""MLflow as a user finds it after runs and sweeps that end well: every run once, with its true status."""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from experiments.plan.installed import missing
from tests.running import ROOT, job_of, manifest, metrics
from tests.system.tracked import (
    POLICIES,
    client_of,
    files,
    logged,
    measured,
    parent_and_children,
    ran_at,
    shown,
    status_of,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own


@pytest.fixture(scope="module")
def ran(place, env):
    """At once: a run and a sweep into a database that neither finds. Futures by name, so that nobody waits for both."""
    with ThreadPoolExecutor() as pool:
        yield {
            "alone": pool.submit(ran_at, place / "alone", "seed=7", **env),
            "sweep": pool.submit(ran_at, place / "sweep", "-m", f"policy={POLICIES}", **env),
        }


@pytest.fixture(scope="module")
def mlflow(ran, env):
    ran["alone"].result()
    return client_of(env)


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
