"""Replicas as processes of this machine."""

import argparse
import asyncio
import signal
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.manager.engines import EngineError, Running, replica_flags
from services.manager.outliving import Notes, Outlived
from services.processes import ServiceProcess, python_module

STARTUP_TIMEOUT_S = 20.0


def replica_command(
    id_: str,
    replica: dict[str, Any],
    router: str | None,
    port: int = 0,
    admin_port: int = 0,
    *,
    outlives: bool = False,
) -> list[str]:
    """The command line of replica `id_`.

    Args:
        id_: as for `replica_flags`.
        replica: likewise.
        router: the router's admin URL.
        port: 0 picks a free one.
        admin_port: likewise.
        outlives: it goes on where its parent has gone.
    """
    return python_module(
        "services.backend",
        "--port",
        port,
        "--admin-port",
        admin_port,
        *([] if outlives else ["--exit-with-parent"]),
        *replica_flags(id_, replica),
        *(["--router", router] if router is not None else []),
    )


class LocalEngine:
    """Runs `python -m services.backend` processes, which end with the manager, or are found again by the next one."""

    name = "local"
    acts = True
    has_starts = True

    @staticmethod
    def add_options(group: argparse._ArgumentGroup) -> None:
        """Where the logs go, and whether replicas go on without their manager."""
        group.add_argument("--log-dir", type=Path, help="for the replicas' logs (default: a new temporary folder)")
        group.add_argument(
            "--outlive",
            type=Path,
            metavar="FILE",
            help="replicas outlive a manager that is killed: they are noted in FILE, and the next manager with this "
            "FILE takes them over (default: they end with it)",
        )

    @classmethod
    async def create(cls, arguments: argparse.Namespace, replica: dict[str, Any]) -> "LocalEngine":
        """It needs nothing; those that outlived an earlier manager are there.

        Raises:
            EngineError: `--outlive` names no such file.
        """
        logs = arguments.log_dir or Path(tempfile.mkdtemp(prefix="aegis-"))
        engine = cls(replica, arguments.router, logs, arguments.startup_timeout or STARTUP_TIMEOUT_S)
        if arguments.outlive is not None:
            await engine.outlive(Notes(arguments.outlive))
        return engine

    def __init__(
        self,
        replica: dict[str, Any],
        router: str | None,
        logs: Path,
        startup_timeout_s: float = STARTUP_TIMEOUT_S,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        """`replica` as for `replica_command`; `logs` is a folder for their log files; `ports` are where to listen.

        A replica without one, by its id, listens at a free one.
        """
        self._replica = replica
        self._first_ports = ports or {}
        self._router = router
        self._logs = logs
        self._startup_timeout_s = startup_timeout_s
        self._notes: Notes | None = None
        """Where those are noted that outlive this process; None = they do not."""
        self._processes: dict[str, ServiceProcess | Outlived] = {}
        self._draining: set[str] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Starts of one replica wait for each other, those of several do not."""

    async def outlive(self, notes: Notes) -> None:
        """Take over what an earlier process has noted; one that was not ready, or stood by, is ended.

        Raises:
            EngineError: the file cannot be taken.
        """
        try:
            found = notes.found()
        except ValueError as error:
            raise EngineError(str(error)) from error
        self._notes = notes
        self._processes |= {id_: process for id_, process in found.items() if process.addresses}
        for id_, process in found.items():
            if not process.addresses:
                await process.stop()
                notes.forget(id_)

    async def running(self) -> list[Running]:
        """The replicas there are."""
        return [
            Running(
                id_,
                process.addresses.get("url", ""),
                process.addresses.get("admin", ""),
                process.pid,
                "draining" if id_ in self._draining else "dead" if process.pid is None else "running",
            )
            for id_, process in self._processes.items()
            if process.addresses
        ]

    async def start(self, id_: str, more: Mapping[str, object] | None = None) -> None:
        """Start it; at its old address, if it had one. `more` are options of this start alone.

        Raises:
            StartError: it did not come up; ends with the tail of its log.
        """
        async with self._locks[id_]:
            old = self._processes.get(id_)
            if old is not None and old.pid is not None:
                return
            ports = [self._first_ports.get(id_, 0), 0]
            if old is not None:
                ports = [int(old.addresses[name].rsplit(":", 1)[1]) for name in ("url", "admin")]
            outlives = self._notes is not None
            options = {**self._replica, **(more or {})}
            command = replica_command(id_, options, self._router, *ports, outlives=outlives)
            process = ServiceProcess(id_, command, self._logs / f"{id_}.log")
            process.addresses = dict(old.addresses) if old is not None else {}
            self._processes[id_] = process
            try:
                await process.start(self._startup_timeout_s, lambda: self._note(id_, process, {}))
            except BaseException:  # given up: nothing is left of it
                if old is None:
                    self._processes.pop(id_, None)
                await process.stop()
                self._forget(id_)
                raise
            if options.get("joins") != "on_signal":
                self._note(id_, process, process.addresses)

    def _note(self, id_: str, process: ServiceProcess | Outlived, addresses: dict[str, str]) -> None:
        if self._notes is not None and process.pid is not None:
            self._notes.note(id_, process.pid, addresses)

    def _forget(self, id_: str) -> None:
        if self._notes is not None:
            self._notes.forget(id_)

    def join(self, id_: str) -> None:
        """SIGUSR1."""
        process = self._processes[id_]
        process.signal(signal.SIGUSR1)
        self._note(id_, process, process.addresses)

    async def drain(self, id_: str) -> None:
        """SIGTERM, and wait until it is gone."""
        process = self._processes.get(id_)
        if process is None or id_ in self._draining:
            return
        self._draining.add(id_)
        self._forget(id_)
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
