"""Replicas as processes of this machine."""

import argparse
import asyncio
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from services.manager.engines import Running, replica_flags
from services.processes import ServiceProcess, python_module

STARTUP_TIMEOUT_S = 20.0


def replica_command(
    id_: str, replica: dict[str, Any], router: str | None, port: int = 0, admin_port: int = 0
) -> list[str]:
    """The command line of replica `id_`.

    Args:
        id_: as for `replica_flags`.
        replica: likewise.
        router: the router's admin URL.
        port: 0 picks a free one.
        admin_port: likewise.
    """
    return python_module(
        "services.backend",
        "--port",
        port,
        "--admin-port",
        admin_port,
        "--exit-with-parent",
        *replica_flags(id_, replica),
        *(["--router", router] if router is not None else []),
    )


class LocalEngine:
    """Runs `python -m services.backend` processes, which end with the manager."""

    name = "local"
    acts = True

    @staticmethod
    def add_options(group: argparse._ArgumentGroup) -> None:
        """Where the logs go."""
        group.add_argument("--log-dir", type=Path, help="for the replicas' logs (default: a new temporary folder)")

    @classmethod
    async def create(cls, arguments: argparse.Namespace, replica: dict[str, Any]) -> "LocalEngine":
        """It needs nothing."""
        logs = arguments.log_dir or Path(tempfile.mkdtemp(prefix="aegis-"))
        return cls(replica, arguments.router, logs, arguments.startup_timeout or STARTUP_TIMEOUT_S)

    def __init__(
        self, replica: dict[str, Any], router: str | None, logs: Path, startup_timeout_s: float = STARTUP_TIMEOUT_S
    ) -> None:
        """`replica` as for `replica_command`; `logs` is a folder for their log files."""
        self._replica = replica
        self._router = router
        self._logs = logs
        self._startup_timeout_s = startup_timeout_s
        self._processes: dict[str, ServiceProcess] = {}
        self._draining: set[str] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Starts of one replica wait for each other, those of several do not."""

    async def running(self) -> list[Running]:
        """The replicas there are."""
        return [
            Running(
                id_,
                process.addresses.get("url", ""),
                process.addresses.get("admin", ""),
                process.pid,
                "dead" if process.pid is None else "draining" if id_ in self._draining else "running",
            )
            for id_, process in self._processes.items()
            if process.addresses
        ]

    async def start(self, id_: str) -> None:
        """Start it; at its old address, if it had one.

        Raises:
            StartError: it did not come up; ends with the tail of its log.
        """
        async with self._locks[id_]:
            old = self._processes.get(id_)
            if old is not None and old.pid is not None:
                return
            ports = [int(old.addresses[name].rsplit(":", 1)[1]) for name in ("url", "admin")] if old else [0, 0]
            command = replica_command(id_, self._replica, self._router, *ports)
            process = ServiceProcess(id_, command, self._logs / f"{id_}.log")
            process.addresses = dict(old.addresses) if old is not None else {}
            self._processes[id_] = process
            try:
                await process.start(self._startup_timeout_s)
            except BaseException:  # given up: nothing is left of it
                if old is None:
                    self._processes.pop(id_, None)
                await process.stop()
                raise

    async def drain(self, id_: str) -> None:
        """SIGTERM, and wait until it is gone."""
        process = self._processes.get(id_)
        if process is None or id_ in self._draining:
            return
        self._draining.add(id_)
        try:
            await process.stop()
        finally:
            self._draining.discard(id_)
        if self._processes.get(id_) is process:
            del self._processes[id_]

    async def stop_process(self, id_: str) -> None:
        """End the process in order, but keep its address for the next start."""
        await self._processes[id_].stop()

    async def close(self) -> None:
        """Drain all of them."""
        await asyncio.gather(*(self.drain(id_) for id_ in list(self._processes)))
