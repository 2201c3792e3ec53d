"""Measures what this machine's load generator can do: `python -m experiments.calibrate` (two to three minutes).

Rate after rate, with one and more generator processes, Poisson arrivals are sent to a bare server, until requests
leave late or not at all. The result is kept for this machine (results/calibration/), and a scenario beyond it is
refused. Exit status: 0 measured; 1 it failed; 2 wrong arguments; 130 interrupted, nothing kept.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from experiments.calibration.machine import COMMAND, Calibration, Step, machine, save
from experiments.load.processes import LoadProcesses
from experiments.plan.config import ValidityConfig
from experiments.plan.schedule import build_schedule
from experiments.plan.workload import WorkloadSettings
from record.provenance import now_iso
from services.processes import ServiceProcess, StartError, python_module

RATES = (100.0, 200.0, 300.0, 500.0, 700.0, 1000.0, 1400.0, 2000.0, 2800.0, 4000.0)
"""The ladder, requests a second."""
SETTLE = 0.2
"""The first share of a step is left out: connections are opened."""
READY_S = 30.0
HEADINGS = ("workers", "rate", "sent", "late p50 ms", "late p99 ms", "CPU cores", "CPU ms/request")


@dataclass
class Bench:
    """A bare server and a folder for what the load leaves."""

    folder: Path
    seconds: float
    server: ServiceProcess

    async def step(
        self, rate_rps: float, workers: int, *, off: tuple[str, ...] = (), arrivals: str = "poisson"
    ) -> Step:
        """Send `rate_rps` for the bench's seconds; `off` names measures against lateness to leave off.

        Raises:
            StartError: the load did not start, or failed.
        """
        schedule, rows, cpu = await self.send(self.server.addresses["url"], rate_rps, workers, off, arrivals)
        scheduled, sent = rows["scheduled_s"].to_numpy(), rows["sent_s"].to_numpy()
        counted = scheduled >= SETTLE * self.seconds
        answered = (rows["outcome"] == "ok").to_numpy()
        left = (sent - scheduled)[counted & answered] * 1e3
        planned = int((schedule["scheduled_s"] >= SETTLE * self.seconds).sum())
        p50, p99 = np.quantile(left, (0.5, 0.99)).tolist() if len(left) else (float("inf"), float("inf"))
        window_s = (1 - SETTLE) * self.seconds
        per_request = sum(cpu) * window_s / max(1, len(left)) * 1e3
        return Step(workers, rate_rps, planned, len(left), p50, p99, max(cpu, default=0.0), per_request)

    async def send(
        self, url: str, rate_rps: float, workers: int = 1, off: tuple[str, ...] = (), arrivals: str = "poisson"
    ) -> tuple[pd.DataFrame, pd.DataFrame, list[float]]:
        """Send `rate_rps` to `url`; returns the schedule, the rows, and the cores that each process used.

        Raises:
            StartError: the load did not start, or failed.
        """
        place = Path(tempfile.mkdtemp(dir=self.folder))
        workload = WorkloadSettings(rate_rps=rate_rps, duration_s=self.seconds, warmup_s=0, arrivals=arrivals)
        schedule = build_schedule(workload, seed=1)
        schedule.to_parquet(place / "schedule.parquet", index=False)
        load = LoadProcesses(place / "schedule.parquet", [url], place, place, workers, 2.0, 2000, off=off)
        try:
            await load.spawn()
            await load.ready(READY_S)
            t0 = load.begin()
            cpu = await cpu_cores(load.pids(), t0 + SETTLE * self.seconds, t0 + self.seconds)
            await load.end(self.seconds)
        finally:
            await load.stop()
        parts = [place / f"load-{shard}.parquet" for shard in range(workers)]
        return schedule, pd.concat([pd.read_parquet(part) for part in parts]), cpu


async def cpu_cores(pids: list[int], start: float, end: float) -> list[float]:
    """Mean cores that each process uses between two moments of the monotonic clock."""

    def spent() -> list[float]:
        return [sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids]

    await asyncio.sleep(max(0.0, start - time.monotonic()))
    before, began = spent(), time.monotonic()
    await asyncio.sleep(max(0.0, end - time.monotonic()))
    elapsed = time.monotonic() - began
    try:
        return [(now - then) / elapsed for now, then in zip(spent(), before, strict=True)]
    except psutil.Error as error:
        raise StartError(f"a generator process ended early ({error})") from error


async def bench(seconds: float, folder: Path, ports: int = 1) -> Bench:
    """A bench with its server up, at so many `ports`.

    Raises:
        StartError: it did not come up.
    """
    command = python_module("experiments.calibration.bare_server", "--count", ports)
    server = ServiceProcess("bare", command, folder / "server.log")
    await server.start(READY_S)
    return Bench(folder, seconds, server)


async def ladder(on: Bench, rates: list[float], workers: list[int]) -> list[Step]:
    """Every rate in turn, for each number of processes, up to the first that fails twice."""
    limits = ValidityConfig()
    steps = []
    for count in workers:
        for rate in rates:
            step = await on.step(rate, count)
            if not step.passes(limits):  # one noisy moment must not decide
                step = min(step, await on.step(rate, count), key=lambda s: s.lateness_p99_ms)
            steps.append(step)
            print(_row(step) + ("" if step.passes(limits) else "   too much"), flush=True)
            if not step.passes(limits):
                break
    return steps


def _row(step: Step) -> str:
    cells = (
        f"{step.workers}", f"{step.rate_rps:g}", f"{step.sent}/{step.offered}", f"{step.lateness_p50_ms:.2f}",
        f"{step.lateness_p99_ms:.2f}", f"{step.cpu_cores:.2f}", f"{step.cpu_ms_per_request:.2f}",
    )  # fmt: skip
    return "  ".join(f"{cell:>{len(name)}}" for cell, name in zip(cells, HEADINGS, strict=True))


async def _calibrate(rates: list[float], workers: list[int], seconds: float, quick_for: float | None) -> None:
    with tempfile.TemporaryDirectory(prefix="aegis-calibrate-") as name:
        on = await bench(seconds, Path(name))
        try:
            if quick_for is None:
                print("  ".join(HEADINGS))
                steps = await ladder(on, rates, workers)
            else:
                steps = await _quick(on, quick_for)
        finally:
            await on.server.stop()
    calibrated = Calibration(machine(), now_iso(), quick_for is not None, steps)
    path = save(calibrated)
    if quick_for is None:
        for count in workers:
            most = calibrated.most_rps(count, ValidityConfig())
            print(f"load.workers={count}: up to {most:g} requests/s leave on time")
        print(f"kept: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


async def _quick(on: Bench, peak_rps: float) -> list[Step]:
    """Down from the highest rate until one passes."""
    steps: list[Step] = []
    for factor in (1.0, 0.5, 0.25, 0.1):
        steps.append(await on.step(factor * peak_rps, 1))
        if steps[-1].passes(ValidityConfig()):
            break
    return steps


def main(arguments: list[str] | None = None) -> int:
    """Calibrate as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rates", type=positive, nargs="+", default=list(RATES), metavar="RPS", help="the ladder")
    parser.add_argument("--workers", type=int, nargs="+", metavar="N", help="generator processes (default: 1 to cores)")
    parser.add_argument("--seconds", type=positive, default=4.0, help="length of a step")
    parser.add_argument("--quick-for", type=positive, metavar="RPS", help="only find out whether so many are sent")
    parser.add_argument("--simulator", action="store_true", help="instead, find the delays of engine=sim (a minute)")
    chosen = parser.parse_args(arguments)
    if chosen.simulator:
        from experiments.calibration.simulator import fit_simulator

        return finished(fit_simulator())
    workers = sorted(set(chosen.workers or range(1, min(4, os.cpu_count() or 1) + 1)))
    if workers[0] < 1 or workers[-1] > 16:
        parser.error("--workers: between 1 and 16")
    return finished(_calibrate(sorted(chosen.rates), workers, chosen.seconds, chosen.quick_for))


def finished(measuring: Coroutine[Any, Any, None]) -> int:
    """Do it; return the exit status: 0 done, 1 it failed (a line says why), 130 interrupted."""
    try:
        asyncio.run(measuring)
    except (StartError, OSError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def positive(text: str) -> float:
    """A rate or a duration from the command line.

    Raises:
        ValueError, ArgumentTypeError: it is none.
    """
    value = float(text)
    if not 0 < value <= 100_000:
        raise argparse.ArgumentTypeError("must be above 0 and at most 100000")
    return value


if __name__ == "__main__":
    sys.exit(main())
