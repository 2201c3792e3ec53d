"""Finds what was tracked: the MLflow runs of folders, their files, the processes that log them."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from analysis.compare import main as compare
from experiments.tracking.naming import metric_key
from tests.analysis.swept import swept
from tests.running import AT_MOST_S, PATIENT, ROOT, manifest, metrics, run

POLICIES = "round_robin,peak_ewma"
SHORT = [
    "+scenario=routed", "replicas=1", "workload.rate_rps=20", "workload.duration_s=2", "workload.warmup_s=0.5", PATIENT,
]  # fmt: skip


class Ran(NamedTuple):
    folder: Path
    done: subprocess.CompletedProcess
    seconds: float


def ran_at(folder, *arguments, **env):
    """A short run, or a sweep with `-m`, into that folder, and how long it took."""
    began = time.monotonic()
    kind = "sweep" if "-m" in arguments else "run"
    done = run(*arguments, *SHORT, f"hydra.{kind}.dir={folder}", env=env)
    return Ran(folder, done, time.monotonic() - began)


def database(place):
    """The environment of runs that are logged to a database in that folder."""
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{place / 'mlflow.db'}"}


def client_of(env):
    """MLflow's own client, on the database that the first runs made."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=env["MLFLOW_TRACKING_URI"])


def logged(client, folder):
    """The one MLflow run of the folder (experiment 1: after MLflow's Default, the first that is made)."""
    began = manifest(folder)["started_at"]
    found = [run for run in client.search_runs(["1"]) if run.data.tags.get("aegis.started_at") == began]
    assert len(found) == 1, f"{folder}: {len(found)} runs in MLflow"
    return found[0]


def status_of(folder):
    """MLflow's status of a run that has ended by itself: one that does not count is no green one."""
    return "FINISHED" if metrics(folder)["valid"] else "FAILED"


def files(client, run_id, inside=None):
    return {Path(item.path).name for item in client.list_artifacts(run_id, inside)}


def shown(metrics):
    """The numbers of `metrics.json` under the keys that MLflow shows them by."""
    return {metric_key(k): float(v) for k, v in metrics.items() if isinstance(v, bool | int | float)}


def measured(client_run):
    """The numbers of a run in MLflow without its series."""
    return {k: v for k, v in client_run.data.metrics.items() if "timeline/" not in k}


def compared_sweep(sweep, *, seeds=2, invalid=()):
    """A sweep that was measured without MLflow and compared: the second arm is twice as fast.

    Args:
        sweep: its folder.
        seeds: pairs of runs.
        invalid: numbers of runs whose generator dropped a request.
    """
    for job in range(2 * seeds):
        seed, arm = divmod(job, 2)
        latency_s, policy = (0.1 + 0.01 * seed) / (1 + arm), POLICIES.split(",")[arm]
        is_dropped = job in invalid
        swept(
            sweep, job, seed=seed, policy=policy, latency_s=latency_s, dropped=is_dropped, typed=["replicas=4"]
        )
    plan = f"hydra: {{overrides: {{task: [+scenario=routed, replicas=4, 'seed=range({seeds})', 'policy={POLICIES}']}}}}"
    (sweep / "multirun.yaml").write_text(plan)
    assert compare([str(sweep)]) == 0
    return sweep


def log_later(*folders, env):
    return subprocess.run(
        [sys.executable, "-m", "experiments.tracking", *map(str, folders)],
        cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, env={**os.environ, **env}, check=False,
    )  # fmt: skip


def log_sweep(sweep, *, env):
    """Log the runs of a sweep together, as those of a simulated one are."""
    told = [*sorted(path.parent for path in sweep.glob("*/manifest.json")), "end FINISHED"]
    return subprocess.run(
        [sys.executable, "-m", "experiments.tracking", "--of-sweep", str(sweep)], input="\n".join(map(str, told)) + "\n",
        cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, env={**os.environ, **env}, check=False,
    )  # fmt: skip


def parent_and_children(client, folder):
    runs = client.search_runs(["1"])
    parents = [r for r in runs if r.data.tags.get("aegis.sweep") == str(folder)]
    assert len(parents) == 1
    return parents[0], [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
