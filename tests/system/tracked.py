"""Finds what was tracked: the MLflow runs of folders, their files, the processes that log them."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.running import ROOT, manifest


def logged(client, folder):
    """The one MLflow run of the folder (experiment 1: after MLflow's Default, the first that is made)."""
    began = manifest(folder)["started_at"]
    found = [run for run in client.search_runs(["1"]) if run.data.tags.get("aegis.started_at") == began]
    assert len(found) == 1, f"{folder}: {len(found)} runs in MLflow"
    return found[0]


def files(client, run_id, inside=None):
    return {Path(item.path).name for item in client.list_artifacts(run_id, inside)}


def log_later(*folders, env):
    return subprocess.run(
        [sys.executable, "-m", "experiments.tracking", *map(str, folders)],
        cwd=ROOT, capture_output=True, text=True, timeout=90, env={**os.environ, **env}, check=False,
    )  # fmt: skip


def of(process):
    return psutil.Process(process.pid).children(recursive=True)


def parent_and_children(client, folder):
    runs = client.search_runs(["1"])
    parents = [r for r in runs if r.data.tags.get("aegis.sweep") == str(folder)]
    assert len(parents) == 1
    return parents[0], [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
