"""The simulator's delays from live runs: `python -m experiments.calibrate --simulator` writes conf/engine/sim.yaml.

Nothing is fitted by scenario: `baseline` and `routed` with one seed give network and router, starts of a replica the
start-up time.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from experiments.calibration.machine import machine
from experiments.plan.delays import Delay, fit
from experiments.plan.installed import CONF, IS_TREE
from record.provenance import now_iso
from record.reading import read
from services.processes import ServiceProcess, StartError, python_module

FILE = CONF / "engine" / "sim.yaml"
STARTS = 5
READY_S = 30.0
HEAD = """# python -m experiments.run +scenario=failover engine=sim
# The same decisions in virtual time (docs/simulator.md). Lognormal delays, written by
# `python -m experiments.calibrate --simulator` on {when}: {cpu}, {cores} cores.
"""


def overhead_s(rows: pd.DataFrame) -> NDArray[np.float64]:
    """What requests that were served at their first attempt took beyond router, queue and service, seconds."""
    served = rows[(rows["outcome"] == "ok") & ~(rows["attempts"] > 1)]
    own = served["queue_s"] + served["service_s"] + served["router_s"].fillna(0.0)
    return (served["completed_s"] - served["sent_s"] - own).to_numpy()


def from_runs(baseline: pd.DataFrame, routed: pd.DataFrame, starts_s: NDArray[np.float64]) -> dict[str, Delay]:
    """The four delays.

    Args:
        baseline: measured requests of a run without router.
        routed: of one with a router.
        starts_s: seconds that replicas took to start.
    """
    client, router = fit(overhead_s(baseline)), fit(routed["router_s"].dropna().to_numpy())
    # What a request takes to the router and behind it is known together only; both hops scatter alike.
    behind_ms = float(np.median(overhead_s(routed))) * 1e3 - client.median_ms
    return {
        "client": client,
        "router": router,
        "replica": Delay(round(max(0.0, behind_ms), 4), client.sigma),
        "startup": fit(starts_s),
    }


def as_override(delays: dict[str, Delay]) -> str:
    """The delays as Hydra's command line takes them."""
    parts = [f"{key}:{{median_ms:{delay.median_ms},sigma:{delay.sigma}}}" for key, delay in delays.items()]
    return f"engine.delays={{{','.join(parts)}}}"


def _measure(scenario: str, folder: Path) -> pd.DataFrame:
    """A live run's requests outside warm-up.

    Raises:
        StartError: it failed, or was not valid.
    """
    command = [sys.executable, "-m", "experiments.run", f"+scenario={scenario}", "tracking.enabled=false"]
    done = subprocess.run([*command, f"hydra.run.dir={folder}"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartError(f"{scenario} ended with {done.returncode}\n{done.stdout[-500:]}{done.stderr[-500:]}")
    return read(folder).measured


async def _starts(folder: Path) -> NDArray[np.float64]:
    took = []
    for number in range(STARTS):
        command = python_module("services.backend", "--port", 0, "--id", "start")
        process = ServiceProcess("replica", command, folder / f"start-{number}.log")
        began = time.monotonic()
        try:
            await process.start(READY_S)
            took.append(time.monotonic() - began)
        finally:
            await process.stop()
    return np.array(took)


async def fit_simulator() -> None:
    """Measure, print, and write the file; where there is no source tree, print what to type instead."""
    with tempfile.TemporaryDirectory(prefix="aegis-simulator-") as name:
        starts_s = await _starts(Path(name))
        rows = {}
        for scenario in ("baseline", "routed"):
            print(f"measuring {scenario} ...", flush=True)
            rows[scenario] = await asyncio.to_thread(_measure, scenario, Path(name) / scenario)
    delays = from_runs(rows["baseline"], rows["routed"], starts_s)
    for key, delay in delays.items():
        print(f"{key}: median {delay.median_ms:g} ms, sigma {delay.sigma:g}")
    if not IS_TREE:  # the installed file is everybody's
        print(f"with engine=sim add: '{as_override(delays)}'")
        return
    content = {"name": "sim", "delays": {key: vars(delay) for key, delay in delays.items()}}
    about = machine()
    head = HEAD.format(when=now_iso()[:10], cpu=about["cpu"], cores=about["cores"])
    FILE.write_text(head + yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    print(f"written: {FILE}")
