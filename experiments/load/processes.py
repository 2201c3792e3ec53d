"""The generator processes of one schedule: started, held until all are ready, released at one moment, awaited."""

import asyncio
import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.load.command import locust_command
from record.files import write_json
from services.processes import ServiceProcess, StartError

LEAD_S = 0.5
"""Between the word to start and the run's second 0, so that every generator process has read it."""
GRACE_S = 1.0
"""How long an interrupted load waits for answers before it writes its rows."""


@dataclass
class LoadProcesses:
    """`workers` processes, each of which sends every workers-th request of `schedule`."""

    schedule: Path
    targets: list[str]
    raw: Path
    """Folder of their configurations, rows and signs."""
    logs: Path
    workers: int
    timeout_s: float
    max_in_flight: int
    users: int = 0
    """Closed-loop users; 0 = open loop."""
    deadline_ms: float | None = None
    """What every request says of how long it is waited for."""
    body_bytes: int = 0
    """Of a POST request."""
    asking: dict[str, Any] = field(default_factory=dict)
    """What is asked for otherwise than of Aegis' own replicas (`Asking.of`)."""
    retries: dict[str, Any] | None = None
    """What clients do about a request that failed, and the seed of their pauses; None = nothing."""
    off: tuple[str, ...] = ()
    """Measures against lateness to leave off (`sender.MEASURES`)."""
    on_line: Callable[[int, str], None] = lambda _shard, _line: None
    """Is given each line of progress with the number of its process."""
    processes: list[ServiceProcess] = field(default_factory=list)

    async def spawn(self) -> None:
        """Start them; they wait for `begin`."""
        for shard in range(self.workers):
            process = ServiceProcess(
                f"load-{shard}",
                locust_command(),
                self.logs / f"load-{shard}.log",
                env={"AEGIS_LOAD": str(self._write_config(shard))},
                on_line=functools.partial(self.on_line, shard),
            )
            self.processes.append(process)
            await process.spawn()

    def _write_config(self, shard: int) -> Path:
        path = self.raw / f"load-{shard}.config"
        write_json(
            path,
            {
                "schedule": str(self.schedule),
                "targets": self.targets,
                "timeout_s": self.timeout_s,
                "shard": shard,
                "shards": self.workers,
                "output": str(self.raw / f"load-{shard}.parquet"),
                "ready_file": str(self.raw / f"load-{shard}.ready"),
                "start_file": str(self.raw / "start.json"),
                "max_in_flight": self.max_in_flight,
                "parent_pid": os.getpid(),
                "grace_s": GRACE_S,
                "users": self.users,
                "deadline_ms": self.deadline_ms,
                "body_bytes": self.body_bytes,
                "asking": self.asking,
                "retries": self.retries,
                "off": self.off,
            },
        )
        return path

    async def ready(self, timeout_s: float) -> None:
        """Wait until each has read its share.

        Raises:
            StartError: one ended, or was not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        while not all((self.raw / f"load-{shard}.ready").exists() for shard in range(self.workers)):
            for process in self.processes:
                if process.returncode is not None:
                    raise StartError(self._why_ended(process))
            if time.monotonic() > deadline:
                raise StartError(f"the load was not ready within {timeout_s:g} s\n{self.processes[0].tail()}")
            await asyncio.sleep(0.02)

    def _why_ended(self, process: ServiceProcess) -> str:
        return f"{process.name} ended before the start (exit status {process.returncode})\n{process.tail()}"

    def begin(self) -> float:
        """Release them; returns second 0 on the monotonic clock, a little ahead."""
        t0 = time.monotonic() + LEAD_S
        write_json(self.raw / "start.json", {"t0": t0})
        return t0

    async def end(self, duration_s: float) -> None:
        """Wait until all have written their rows; the schedule lasts `duration_s` seconds.

        Raises:
            StartError: one failed.
        """
        limit = LEAD_S + duration_s + self.timeout_s + 15
        await asyncio.gather(*(self._end(process, limit) for process in self.processes))

    async def _end(self, process: ServiceProcess, limit_s: float) -> None:
        code = await process.wait(limit_s)
        if code != 0:
            raise StartError(f"{process.name} failed (exit status {code})\n{process.tail()}")

    def pids(self) -> list[int]:
        """The process ids of those that live."""
        return [process.pid for process in self.processes if process.pid is not None]

    def account(self, cpu: dict[str, float]) -> dict[str, float]:
        """A second's `cpu` by role, with what the process ids do not show; here nothing."""
        return cpu

    async def stop(self) -> None:
        """End them; they write what they have."""
        await asyncio.gather(*(process.stop(GRACE_S + 3) for process in self.processes))
