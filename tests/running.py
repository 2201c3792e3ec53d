"""Runs `python -m experiments.run` as a user does, and looks at what is left behind."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil

from record.naming import by_number

ROOT = Path(__file__).resolve().parent.parent
SHORT = [
    "tracking.enabled=false", "summary=never", "replicas=2", "workload.rate_rps=30", "workload.duration_s=6",
    "workload.warmup_s=1",
]  # fmt: skip
"""A picture takes as long to draw as all the rest of a short run."""
GATEWAY_TIMEOUT = 504


def command(*overrides):
    return [sys.executable, "-m", "experiments.run", *overrides]


def run(*overrides, timeout_s=220, env=None):
    return subprocess.run(
        command(*overrides),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, **(env or {})},
        check=False,
    )


def start(*overrides, env=None):
    return subprocess.Popen(
        command(*overrides),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(env or {})},
    )


def wait_for(condition, timeout_s=30.0, what="condition"):
    """The condition's value as soon as it is true."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout_s} s: {what}")


def processes_of(folder):
    """Living processes whose command line or environment names the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            text = " ".join(process.cmdline()) + " " + process.environ().get("AEGIS_LOAD", "")
            if str(folder) in text and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def job_of(sweep, number):
    """The folder of a sweep's job."""
    return by_number(Path(sweep))[number]


def manifest(folder):
    return json.loads((Path(folder) / "manifest.json").read_text())


def metrics(folder):
    return json.loads((Path(folder) / "metrics.json").read_text())


def events(folder):
    return [json.loads(line) for line in (Path(folder) / "events.jsonl").read_text().splitlines() if line]


def lost(folder):
    """The rows of requests that came to harm, not counting those that only took too long: machines stand still."""
    rows = pd.read_parquet(Path(folder) / "requests.parquet")
    return rows[~rows["outcome"].isin(["ok", "timeout"]) & (rows["status"] != GATEWAY_TIMEOUT)]


def measuring(folder):
    """Whether the load of the run in `folder` has begun and some seconds were sampled."""
    path = Path(folder) / "samples.jsonl"
    return path.exists() and len(path.read_text().splitlines()) >= 2
