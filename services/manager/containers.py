"""A service in a container: created from the services' image, awaited until ready, drained; by Docker's API.

The counterpart of `services.processes` for the manager's engine `compose` and the experiments' engine of that name.
"""

import asyncio
import calendar
import contextlib
import random
import signal
import time
from dataclasses import dataclass, field
from typing import Any

from aiodocker import Docker
from aiodocker.containers import DockerContainer
from aiodocker.exceptions import DockerError

from services.door.access import TOKEN_VARIABLE, admin_token
from services.journal import passed_on
from services.manager.docker_engine import NUMBER, PROJECT, SERVICE, SOCKET, Place, docker_errors, socket_path
from services.processes import STOP_DEADLINE_S, StartError

MEMORY_BYTES = 512 << 20
PIDS = 128
LOG_BOUNDS = {"max-size": "10m", "max-file": "3"}
"""What Docker keeps of a container's log; by itself it keeps all of it."""
PUBLISHED = range(20_000, 30_000)
"""Ports of 127.0.0.1, below those that Linux gives to clients (ip_local_port_range: 32768 and more)."""
TRIES = 10
"""So many ports are tried before one is found free."""


@dataclass
class Template:
    """What a container runs, and how it is known."""

    service: str
    number: int
    command: list[str]
    ports: dict[str, int]
    """Its ports by the name of their address: `url`, `admin`."""
    labels: dict[str, str] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    with_socket: bool = False
    """Whether it gets the engine's socket, which makes it root on the host."""

    def config(self, place: Place, published: dict[str, int]) -> dict[str, Any]:
        """The body of `POST /containers/create`; `published` are the host's ports by name."""
        token = admin_token()
        environment = passed_on() | ({} if token is None else {TOKEN_VARIABLE: token})
        names = {
            network: {"Aliases": [*self.aliases, *([self.service] if self.number == 1 else [])]}
            for network in place.networks[:1]
        }
        return {
            "Image": place.image,
            "Cmd": self.command,
            "Env": [f"{name}={value}" for name, value in environment.items()],
            "User": "0:0" if self.with_socket else "",
            "Labels": {
                PROJECT: place.project,
                SERVICE: self.service,
                NUMBER: str(self.number),
                "com.docker.compose.oneoff": "False",
                "com.docker.compose.config-hash": "none",  # v2 looks at containers that have one only
                **self.labels,
            },
            "ExposedPorts": {f"{port}/tcp": {} for port in self.ports.values()},
            "StopTimeout": int(STOP_DEADLINE_S),
            "HostConfig": {
                "Init": True,
                "ReadonlyRootfs": True,
                "Tmpfs": {"/tmp": "rw,noexec,nosuid,size=16m"},
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges", *(["label=disable"] if self.with_socket else [])],  # SELinux
                "Memory": MEMORY_BYTES,
                "PidsLimit": PIDS,
                "NanoCpus": place.nano_cpus,
                "LogConfig": {"Type": "json-file", "Config": LOG_BOUNDS},  # readiness is read there
                "NetworkMode": place.networks[0],
                "Binds": [f"{socket_path()}:{SOCKET}"] if self.with_socket else [],
                "PortBindings": {
                    f"{self.ports[name]}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]
                    for name, port in published.items()
                },
            },
            "NetworkingConfig": {"EndpointsConfig": names},
        }


class ContainerProcess:
    """A container as `services.processes.ServiceProcess` is a child process; it keeps its ports over restarts."""

    def __init__(self, docker: Docker, name: str, place: Place, template: Template) -> None:
        """Nothing is created yet; `name` is for messages."""
        self.name = name
        self.addresses: dict[str, str] = {}
        self.pid: int | None = None
        """Of the container's first process, as the host numbers it; None while it does not live."""
        self._docker = docker
        self._place = place
        self.template = template
        self._container: DockerContainer | None = None
        self._is_paused = False
        self._started_at: str | None = None

    @property
    def exists(self) -> bool:
        """Whether there is a container, living or not."""
        return self._container is not None

    async def adopt(self, id_: str) -> None:
        """Take over the existing container `id_`."""
        self._container = self._docker.containers.container(id_)
        await self.refresh()

    async def refresh(self) -> None:
        """Ask Docker what has become of it.

        Raises:
            EngineError: no answer.
        """
        if self._container is None:
            return
        async with docker_errors(f"inspecting {self.name}"):
            try:
                info = await self._container.show()
            except DockerError as error:
                if error.status != 404:
                    raise
                self._container = self.pid = None
                return
        state = info["State"]
        self.pid = state["Pid"] if state["Running"] and state["Pid"] else None
        self._is_paused = state["Paused"]
        self._started_at = state["StartedAt"]
        if self._place.publish:
            bound = info["HostConfig"]["PortBindings"]
            bound_to = {n: ("127.0.0.1", bound[f"{p}/tcp"][0]["HostPort"]) for n, p in self.template.ports.items()}
        else:
            network = info["NetworkSettings"]["Networks"].get(self._place.networks[0]) or {}
            if not network.get("IPAddress"):
                return  # it has one while it lives
            bound_to = {n: (network["IPAddress"], str(p)) for n, p in self.template.ports.items()}
        self.addresses = {name: f"http://{host}:{port}" for name, (host, port) in bound_to.items()}

    async def start(self, timeout_s: float) -> dict[str, str]:
        """Create it if need be, start it, and wait until it is ready; returns its addresses.

        Raises:
            EngineError: Docker refuses.
            StartError: it did not come up; ends with the tail of its log.
        """
        began = time.monotonic()
        async with docker_errors(f"starting {self.name}"):
            if self._container is None:
                await self._create()
            else:
                await self._container.start()
        await self.refresh()
        while not await self._is_ready():
            await self.refresh()
            if self.pid is None:
                raise StartError(f"{self.name} did not start\n{await self.tail()}")
            if time.monotonic() - began > timeout_s:
                raise StartError(f"{self.name} was not ready within {timeout_s:g} s\n{await self.tail()}")
            await asyncio.sleep(0.05)
        return self.addresses

    async def _create(self) -> None:
        """Create and start it, at ports that are free."""
        place, template = self._place, self.template
        for left in reversed(range(TRIES)):
            ports = dict(zip(template.ports, random.sample(PUBLISHED, len(template.ports)), strict=True))
            name = "-".join(dict.fromkeys((place.project, self.template.service, self.name)))
            config = template.config(place, ports if place.publish else {})
            container = await self._docker.containers.create(config, name=name)
            try:
                for network in place.networks[1:]:
                    await (await self._docker.networks.get(network)).connect({"Container": container.id})
                await container.start()
            except BaseException as error:
                await container.delete(force=True)
                if not (left and isinstance(error, DockerError) and "already" in str(error.message)):
                    raise
            else:
                self._container = container
                return

    async def _is_ready(self) -> bool:
        """Whether it has said so since its last start."""
        lines = await self._log(since=self._started_at)
        return any(line.startswith("aegis-") and " ready " in line for line in lines)

    async def _log(self, since: str | None = None) -> list[str]:
        if self._container is None:
            return []
        async with docker_errors(f"reading the log of {self.name}"):
            lines = await self._container.log(stdout=True, stderr=True, since=_unix(since) if since else "0")
        return [line.rstrip("\n") for line in lines]

    async def text(self) -> str:
        """Its whole log."""
        return "".join(f"{line}\n" for line in await self._log())

    async def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        return "\n".join(f"  {line}" for line in (await self._log())[-lines:])

    async def send(self, number: int) -> float:
        """Send a signal, if it lives; SIGSTOP and SIGCONT freeze and thaw the whole container.

        Returns how many seconds ago it took effect: Docker answers a SIGKILL some 0.1 s after the process has ended.

        Raises:
            EngineError: Docker refuses.
        """
        container = self._container
        if container is None or self.pid is None:
            return 0.0
        async with docker_errors(f"sending signal {number} to {self.name}"):
            if number == signal.SIGSTOP and not self._is_paused:
                await container.pause()
                self._is_paused = True
            elif number != signal.SIGSTOP and self._is_paused:
                await container.unpause()
                self._is_paused = False
            if number not in (signal.SIGSTOP, signal.SIGCONT):
                await container.kill(signal=signal.Signals(number).name)
            if number != signal.SIGKILL:
                return 0.0
            ended = (await container.show())["State"]["FinishedAt"]
            return max(0.0, time.time() - float(_unix(ended)))

    async def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """SIGTERM, SIGKILL after `deadline_s` seconds; returns when it has ended."""
        await self.refresh()
        await self.send(signal.SIGCONT)
        if self._container is not None and self.pid is not None:
            async with docker_errors(f"stopping {self.name}"):
                await self._container.stop(t=int(deadline_s))
        await self.refresh()

    async def remove(self) -> None:
        """Forget it, living or not."""
        if self._container is None:
            return
        async with docker_errors(f"removing {self.name}"):
            with contextlib.suppress(DockerError):
                await self._container.delete(force=True, v=True)
        self._container = self.pid = None


def _unix(moment: str) -> str:
    """Docker's RFC 3339 moment as seconds since 1970, to the nanosecond."""
    whole, _, fraction = moment.rstrip("Z").partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return f"{seconds}.{fraction or 0}"
