"""A worker's generator process in one run: started, released at its moment, watched, its rows handed over."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.subprocess import Popen

from experiments.load.command import locust_command
from experiments.load.transfer import Send
from experiments.runner.sampling import CpuMeter
from record.files import write_json

POLL_S = 0.02
CLOSE_S = 4.0
"""Longest wait between SIGTERM and SIGKILL; longer than a generator waits for answers then."""


class JobError(RuntimeError):
    """The generator did not start, or failed; the text is one line."""


class Job:
    """One generator process; its files are in a folder of its own."""

    def __init__(
        self, config: dict[str, Any], folder: Path, send: Send, hold: Callable[[str, bytes], dict[str, Any]]
    ) -> None:
        """Starts it. `send` tells the master (`ready`, `progress`, `done`, `failed`); `hold` keeps a file for it.

        Raises:
            JobError: there is no such program to start.
        """
        self._config = config
        self._send = send
        self._hold = hold
        self._log = folder / "generator.log"
        self._meter = CpuMeter()
        self._spent: list[dict[str, float]] = []
        self.is_complete = False
        write_json(folder / "load.config", config)
        try:
            with self._log.open("wb") as log:
                self._process = Popen(
                    locust_command(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**os.environ, "PYTHONUNBUFFERED": "1", "AEGIS_LOAD": str(folder / "load.config")},
                    start_new_session=True,
                )
        except OSError as error:
            raise JobError(f"the generator cannot be started: {error}") from error
        self._tasks = [gevent.spawn(task) for task in (self._await_ready, self._await_lines)]

    def start(self, t0: float) -> None:
        """Second 0 is at `t0` on this machine's monotonic clock."""
        write_json(Path(self._config["start_file"]), {"t0": t0})
        self._tasks.append(gevent.spawn(self._measure_cpu, t0))

    def stop(self) -> None:
        """Send nothing more; what was measured is handed over."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """End the process, whatever it does."""
        self.stop()
        try:
            self._process.wait(timeout=CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        gevent.killall(self._tasks)

    def _await_ready(self) -> None:
        ready = Path(self._config["ready_file"])
        while not ready.exists() and self._process.poll() is None:
            gevent.sleep(POLL_S)
        if ready.exists():
            self._send("ready", {})

    def _await_lines(self) -> None:
        """Pass on each line of progress; at the end the rows, or the reason why there are none."""
        for raw in self._process.stdout:
            used = self._spent[-1] if self._spent else {}
            self._send("progress", {"line": raw.decode(errors="replace"), "cpu_cores": used.get("generator", 0.0)})
        status = self._process.wait()
        output = Path(self._config["output"])
        if status != 0 or not output.exists():
            tail = " ".join(self._log.read_text(encoding="utf-8", errors="replace").split())[-200:]
            self._send("failed", {"reason": f"its generator ended with exit status {status}: {tail}"})
            return
        about = {**json.loads(output.with_suffix(".json").read_text(encoding="utf-8")), **self._cpu()}
        self.is_complete = about["stopped"] == "complete"
        self._send("done", {"about": about, "rows": self._hold("rows", output.read_bytes())})

    def _measure_cpu(self, t0: float) -> None:
        """Once a second of the run: what the generator uses of this machine, and what everything else does."""
        pids = {"generator": [self._process.pid], "worker": [os.getpid()]}
        gevent.sleep(max(0.0, t0 - time.monotonic()))
        self._meter.read(pids, time.monotonic())
        while self._process.poll() is None:
            gevent.sleep(1.0)
            used = self._meter.read(pids, time.monotonic())
            if used is not None and self._process.poll() is None:
                self._spent.append(used)

    def _cpu(self) -> dict[str, float | None]:
        """Of the run's whole seconds, in cores: the generator's busiest one, and means of others and the hypervisor."""

        def mean(role: str) -> float | None:
            return round(sum(used[role] for used in self._spent) / len(self._spent), 4) if self._spent else None

        return {
            "cpu_max_cores": max((used["generator"] for used in self._spent), default=None),
            "cpu_foreign_cores": mean("foreign"),
            "cpu_steal_cores": mean("steal"),
        }
