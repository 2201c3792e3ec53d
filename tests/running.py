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
from tests.warm import warm

ROOT = Path(__file__).resolve().parent.parent
PATIENT = "engine.startup_timeout_s=120"
"""Services start at low priority, one after another: on a busy machine one may need longer than the default."""
SHORT = [
    "tracking.enabled=false", "summary=never", "replicas=2", "workload.rate_rps=30", "workload.duration_s=6",
    "workload.warmup_s=1", PATIENT,
]  # fmt: skip
"""A picture takes as long to draw as all the rest of a short run."""
BUSY = [
    "validity.max_foreign_cpu_cores=64", "validity.max_steal_cores=64", "validity.max_lateness_p99_ms=5000",
    "validity.max_generator_cpu_cores=4", "validity.max_clock_offset_ms=500",
]  # fmt: skip
"""Valid, however busy the machine."""
UNREFUSED = "router.limits.standing_share=0"
"""A router that takes no line for an overload: one that comes of a machine that stood still costs nobody the request."""
GATEWAY_TIMEOUT = 504
AT_MOST_S = 240.0
"""For whatever a test waits for: what has not come by then never does, however slow the machine is."""


def command(*overrides):
    return [sys.executable, "-m", "experiments.run", *overrides]


def run(*overrides, timeout_s=AT_MOST_S, env=None):
    """A finished run. One that is simulated, by this process' own means, is spared its imports."""
    if env is None and "engine=sim" in overrides and "joblib" not in " ".join(overrides) and warm.is_fit():
        return refused(*overrides)
    return subprocess.run(
        command(*overrides),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, **(env or {})},
        check=False,
    )


def refused(*arguments):
    """A finished command that starts no process, as one that is wrong."""
    return warm.run(*arguments)


def run_until(is_through, folder, overrides, seconds):
    """A run that lasts as long as it takes until what it is to show has come, on a machine of any speed.

    Args:
        is_through: function of the events that a run left, whether they have it all.
        folder: one is made in it for each run.
        overrides: function of the length of the load, seconds: the arguments of that run.
        seconds: lengths to try, from the usual one up.

    Returns:
        The folder of the first run that has it all, or of the last one, and its finished process.
    """
    for duration_s in seconds:
        place = folder / f"{duration_s:g}s"
        done = run(*overrides(duration_s), f"workload.duration_s={duration_s:g}", f"hydra.run.dir={place}")
        assert done.returncode in (0, 3), done.stdout + done.stderr
        if is_through(events(place)):
            break
    return place, done


def start(*overrides, env=None):
    return subprocess.Popen(
        command(*overrides),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(env or {})},
    )


def wait_for(condition, what="condition"):
    """The condition's value as soon as it is true; `what` names it where it never is."""
    deadline = time.monotonic() + AT_MOST_S
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {AT_MOST_S} s: {what}")


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # gone between the two questions
        return False


def command_of(process):
    """The command line of a process; empty where it is gone, or nobody has asked for its end yet."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def descendants(process):
    """All processes below one that was started, as psutil's."""
    return psutil.Process(process.pid).children(recursive=True)


def processes_of(folder):
    """Living processes whose command line or environment names the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            text = " ".join(process.cmdline()) + " " + process.environ().get("AEGIS_LOAD", "")
        except (psutil.Error, OSError):
            continue
        if str(folder) in text and is_alive(process):
            found.append(process)
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
