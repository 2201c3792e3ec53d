"""The runner's side of a load that other machines send: one process, the master, in place of the generators.

Sharding, configurations, ready files, start file and rows are those of local processes; the master carries them to
the workers and back (`master`).
"""

import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.load.asking import PATH
from experiments.load.processes import LEAD_S, LoadProcesses
from experiments.plan.config import Config, LoadConfig
from record.files import write_json
from services.door.access import is_loopback
from services.processes import ServiceProcess, python_module

FETCH_S = 120.0
"""Longest time for the rows to come across."""
STOP_S = 6.0
"""Likewise when the run is broken off: the master waits 3 s for them."""


@dataclass
class RemoteLoad(LoadProcesses):
    """`workers` workers of other machines, each of which sends every workers-th request of `schedule`."""

    bind: str = "127.0.0.1"
    port: int = 0
    wait_s: float = 60.0
    """Longest wait for them to connect, in seconds."""
    ready_s: float = 20.0
    """Longest wait for one to take the schedule and start its generator, in seconds."""
    say: Callable[[str], None] = lambda _text: None
    """Is given what the user should know."""
    _error: str = ""
    _cores: dict[int, tuple[float, bool]] = field(default_factory=dict)
    """By shard: what its generator uses, in cores, and whether it runs under this kernel."""

    async def spawn(self) -> None:
        """Start the master; workers may connect."""
        path = self.raw / "master.json"
        write_json(
            path,
            {
                "bind": self.bind,
                "port": self.port,
                "configs": [str(self._write_config(shard)) for shard in range(self.workers)],
                "wait_s": self.wait_s,
                "ready_s": self.ready_s,
                "parent_pid": os.getpid(),
            },
        )
        if not is_loopback(self.bind):
            self.say(f"load.master_bind={self.bind}: whoever reaches this port can join the load; keep it private")
        process = ServiceProcess(
            "load-master",
            python_module("experiments.load.master", path),
            self.logs / "load-master.log",
            on_line=self._on_master_line,
        )
        self.processes.append(process)
        await process.spawn()

    def _on_master_line(self, text: str) -> None:
        try:
            line: dict[str, Any] = json.loads(text)
        except ValueError:
            return self.say(text)
        if "say" in line:
            self.say(line["say"])
        elif "error" in line:
            self._error = line["error"]
        else:
            self._cores[line["shard"]] = (line["cpu_cores"], line["is_here"])
            self.on_line(line["shard"], line["line"])

    async def ready(self, timeout_s: float) -> None:
        """Wait until every worker has connected and is ready; they have `timeout_s` seconds more than to connect.

        Raises:
            StartError: too few came, or one was lost or not ready in time.
        """
        await super().ready(self.wait_s + self.ready_s * self.workers + timeout_s)

    def _why_ended(self, process: ServiceProcess) -> str:
        return self._error or super()._why_ended(process)

    async def end(self, duration_s: float) -> None:
        """Wait until the rows of all that were not lost have come.

        Raises:
            StartError: the master failed.
        """
        await self._end(self.processes[0], LEAD_S + duration_s + self.timeout_s + FETCH_S)

    def account(self, cpu: dict[str, float]) -> dict[str, float]:
        """Adds what the workers say that their generators use; those under this kernel are not foreign."""
        used = sum(cores for cores, _ in self._cores.values())
        here = sum(cores for cores, is_here in self._cores.values() if is_here)
        return {
            **cpu,
            "generator": round(cpu["generator"] + used, 4),
            "foreign": round(max(0.0, cpu["foreign"] - here), 4),
        }

    async def stop(self) -> None:
        """Break it off; the rows there are are fetched."""
        for process in self.processes:
            await process.stop(STOP_S)


def asking_of(load: LoadConfig) -> dict[str, Any]:
    """What the generators ask for otherwise than of Aegis' own replicas, for `Asking.of`."""
    files = {name: getattr(load, name) for name in ("headers_file", "body_file") if getattr(load, name) is not None}
    return files if load.path == PATH else {"path": load.path, **files}


def generators(
    config: Config,
    say: Callable[[str], None],
    *,
    schedule: Path,
    targets: list[str],
    raw: Path,
    logs: Path,
    ready_s: float,
    on_line: Callable[[int, str], None],
) -> LoadProcesses:
    """What sends the schedule as `config` says: processes of this machine, or workers of others."""
    load = config.load
    retries = {**dataclasses.asdict(load.retries), "seed": config.seed} if load.retries.max_attempts > 1 else None
    common: dict[str, Any] = {
        "schedule": schedule,
        "targets": targets,
        "raw": raw,
        "logs": logs,
        "timeout_s": load.timeout_s,
        "max_in_flight": load.max_in_flight,
        "users": load.users if load.loop == "closed" else 0,
        "deadline_ms": load.deadline_ms,
        "body_bytes": config.workload.body_bytes,
        "asking": asking_of(load),
        "retries": retries,
        "on_line": on_line,
    }
    if not load.remote_workers:
        say(f"starting {load.workers} generator process(es)")
        return LoadProcesses(workers=load.workers, **common)
    say(f"waiting for {load.remote_workers} load worker(s)")
    return RemoteLoad(
        workers=load.remote_workers,
        bind=load.master_bind,
        port=load.master_port,
        wait_s=load.remote_wait_s,
        ready_s=ready_s,
        say=say,
        **common,
    )
