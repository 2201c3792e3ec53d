"""How a run's services are started: as processes of this machine."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from services.manager.engines import Engine
from services.manager.engines.local import LocalEngine
from services.processes import ServiceProcess, python_module


class Service(Protocol):
    """The router or the manager of a run."""

    addresses: dict[str, str]

    @property
    def pid(self) -> int | None:
        """The process id while it lives."""

    async def start(self, timeout_s: float) -> dict[str, str]:
        """Start it, at its addresses if it had some; returns them when it is ready. Raises StartError."""

    async def stop(self) -> None:
        """End it in order."""

    async def send(self, number: int) -> float:
        """Send it a signal, if it lives; returns how many seconds ago it took effect."""


class Launcher(Protocol):
    """Starts services where a run wants them."""

    manager_flags: list[str]
    """What the manager is told of where replicas run."""

    async def prepare(self) -> None:
        """What has to be there before anything starts. Raises StartError."""

    def service(self, name: str, options: list[str]) -> Service:
        """`router`, `manager` or `tier_router`, with its options; not started."""

    def replicas(self, options: dict[str, Any], startup_timeout_s: float, router: str | None) -> Engine:
        """What runs the replicas of a run without manager; `router` is where they register."""

    async def settle(self) -> dict[str, str]:
        """Everything is up; returns what the manifest is to say of it."""

    async def send(self, id_: str, pid: int, number: int) -> float:
        """Send a signal to replica `id_`, whose process is `pid`; returns how many seconds ago it took effect."""

    def config(self, path: Path) -> str:
        """What `--config` is given for the settings in the file `path`."""

    def ledgers(self, folder: Path) -> dict[str, str]:
        """The option by which replicas leave their ledgers in `folder`; empty = they cannot."""

    def inside(self, name: str, where: str) -> str:
        """The address `where` of a service as another service sees it."""

    def pids(self, pid: int | None) -> list[int]:
        """The processes that do the work of a service whose first one is `pid`."""

    async def close(self) -> None:
        """Leave nothing behind; logs are kept."""


class LocalService:
    """A child process; a new one at every start, at the addresses of the first."""

    def __init__(self, name: str, options: list[str], ports: dict[str, str], log: Path) -> None:
        """`ports` are the options that set a port, by the name of its address."""
        self.name = name
        self.addresses: dict[str, str] = {}
        self._options = options
        self._ports = ports
        self._log = log
        self._process: ServiceProcess | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it lives."""
        return self._process.pid if self._process is not None else None

    async def start(self, timeout_s: float) -> dict[str, str]:
        """Start it; returns its addresses when it is ready."""
        ports = [
            part
            for name, option in self._ports.items()
            for part in (option, self.addresses[name].rsplit(":", 1)[1] if self.addresses else "0")
        ]
        command = python_module(f"services.{self.name.removeprefix('tier_')}", *ports, *self._options)
        self._process = ServiceProcess(self.name, command, self._log)
        self.addresses = await self._process.start(timeout_s)
        return self.addresses

    async def stop(self) -> None:
        """End it in order."""
        if self._process is not None:
            await self._process.stop()

    async def send(self, number: int) -> float:
        """Send it a signal, if it lives; it takes effect at once."""
        if self._process is not None:
            self._process.signal(number)
        return 0.0


OF_ROUTER = {"url": "--port", "admin": "--admin-port"}
PORTS = {"router": OF_ROUTER, "tier_router": OF_ROUTER, "manager": {"url": "--port"}}


class LocalLauncher:
    """Processes of this machine."""

    def __init__(self, logs: Path, ports: Mapping[str, int] | None = None) -> None:
        """`logs` is the folder for their log files; `ports` are where replicas listen that somebody knows, by id."""
        self._logs = logs
        self._ports = ports or {}
        self._services: dict[str, Service] = {}
        self.manager_flags = ["--engine", "local", "--log-dir", str(logs)]

    async def prepare(self) -> None:
        """Nothing is needed."""

    def service(self, name: str, options: list[str]) -> Service:
        """A child process."""
        self._services[name] = LocalService(name, options, PORTS[name], self._logs / f"{name}.log")
        return self._services[name]

    def replicas(self, options: dict[str, Any], startup_timeout_s: float, router: str | None) -> Engine:
        """Child processes."""
        return LocalEngine(options, router, self._logs, startup_timeout_s, self._ports)

    async def settle(self) -> dict[str, str]:
        """The manifest says all of it."""
        return {}

    async def send(self, id_: str, pid: int, number: int) -> float:
        """By its process id; it takes effect at once."""
        os.kill(pid, number)
        return 0.0

    def config(self, path: Path) -> str:
        """The file."""
        return str(path)

    def ledgers(self, folder: Path) -> dict[str, str]:
        """The folder."""
        folder.mkdir()
        return {"ledger": str(folder)}

    def inside(self, name: str, where: str) -> str:
        """The same as from here."""
        return self._services[name].addresses[where]

    def pids(self, pid: int | None) -> list[int]:
        """Itself."""
        return [pid] if pid is not None else []

    async def close(self) -> None:
        """Everything has been stopped."""
