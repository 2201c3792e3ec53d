"""A run's services as containers of one Docker engine: `engine=compose`. Removed with the run, however it ends.

`python -m experiments.live.containers PROJECT` removes what a run that was killed has left; its guardian calls that.
"""

import asyncio
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
from aiodocker import Docker
from aiodocker.exceptions import DockerError

from experiments.live.launching import Service
from experiments.runner.guardian import MARK, project_of
from services.door.access import TOKEN_VARIABLE, admin_token
from services.manager.containers import ContainerProcess, Template
from services.manager.docker_engine import PROJECT, SERVICE, Place, connect, docker_errors
from services.manager.engines import Engine, EngineError
from services.manager.engines.compose import ComposeEngine
from services.processes import StartError

ROOT = Path(__file__).parents[2]
IMAGE = "aegis-services"
PORTS = {"router": {"url": 8080, "admin": 8081}, "manager": {"url": 8082}}
BUILD_TIMEOUT_S = 900.0
REMOVALS = 5
"""What a manager has started meanwhile is found by the next look."""


class ContainerLauncher:
    """Containers in a project and a network of their own, published at ports of 127.0.0.1."""

    manager_flags = ["--engine", "compose", "--publish"]  # noqa: RUF012 - never changed

    def __init__(self, image: str | None, logs: Path) -> None:
        """`image` None = built from this tree; `logs` is the folder for their logs."""
        self._image = image
        self._logs = logs
        self._project = project_of(os.environ[MARK])
        self._services: list[ContainerProcess] = []
        self._engine: ComposeEngine | None = None
        self._docker: Docker | None = None

    async def prepare(self) -> None:
        """An engine that answers, the image, a network, and a token: containers listen beyond loopback.

        Raises:
            StartError: one cannot be had.
        """
        try:
            self._docker = connect()
            try:
                async with docker_errors("engine=compose"):
                    await self._docker.version()
            except EngineError:
                await self._docker.close()
                self._docker = None
                raise
            if admin_token() is None:
                os.environ[TOKEN_VARIABLE] = secrets.token_urlsafe(32)
            await self._build()
            async with docker_errors("creating the run's network"):
                await self._docker.networks.create({"Name": self._network, "Labels": {PROJECT: self._project}})
        except EngineError as error:
            raise StartError(str(error)) from error
        self._place = Place(self._project, self._image or IMAGE, (self._network,), publish=True)
        self._engine = ComposeEngine(self._docker, self._place, {}, None)

    @property
    def _network(self) -> str:
        return f"{self._project}_default"

    async def _build(self) -> None:
        """Build the services' image from this tree, and keep its id; layers that have not changed cost nothing."""
        if self._image is not None:
            return
        command = ["docker", "build", "--quiet", "--target", "services", "--tag", IMAGE, str(ROOT)]
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise StartError(f"engine=compose: {' '.join(command)}: {error.strerror}") from error
        try:
            printed, said = await asyncio.wait_for(process.communicate(), BUILD_TIMEOUT_S)
        except BaseException:
            process.kill()
            raise
        if process.returncode != 0:
            raise StartError(f"{' '.join(command)} failed\n{said.decode(errors='replace')[-2000:]}")
        self._image = printed.decode().split()[-1]

    def service(self, name: str, options: list[str]) -> Service:
        """A container, by its name in the network."""
        assert self._docker is not None
        ports = PORTS[name]
        command = ["python", "-m", f"services.{name}", "--host", "0.0.0.0", "--port", str(ports["url"])]
        command += ["--admin-port", str(ports["admin"])] if "admin" in ports else []
        template = Template(name, 1, [*command, *options], ports, aliases=[name], with_socket=name == "manager")
        service = ContainerProcess(self._docker, name, self._place, template)
        self._services.append(service)
        return service

    def replicas(self, options: dict[str, Any], startup_timeout_s: float, router: str | None) -> Engine:
        """Containers."""
        assert self._docker is not None
        self._engine = ComposeEngine(self._docker, self._place, options, router, startup_timeout_s)
        return self._engine

    async def settle(self) -> dict[str, str]:
        """Look once at everything that is up, so that no fault waits for it; returns the image for the manifest."""
        assert self._engine is not None
        await self._engine.running()
        return {"image": self._place.image}

    async def send(self, id_: str, pid: int, number: int) -> float:
        """Send a signal to the container of replica `id_`, whoever started it."""
        assert self._engine is not None
        if not self._engine.knows(id_, pid):
            await self._engine.running()
        return await self._engine.send(id_, number)

    def config(self, path: Path) -> str:
        """What the file holds: a container does not see it."""
        return path.read_text(encoding="utf-8")

    def ledgers(self, folder: Path) -> dict[str, str]:
        """No folder of this machine is mounted."""
        return {}

    def inside(self, name: str, where: str) -> str:
        """Its name and own port."""
        return f"http://{name}:{PORTS[name][where]}"

    def pids(self, pid: int | None) -> list[int]:
        """The children of the container's init, where Docker runs on this machine."""
        try:
            children = psutil.Process(pid).children() if pid is not None else []
            return [child.pid for child in children if any("services." in word for word in child.cmdline())]
        except psutil.Error:
            return []

    async def close(self) -> None:
        """Keep the logs, and remove containers and network."""
        if self._docker is None:
            return
        try:
            await self._keep_logs()
        except (EngineError, OSError) as error:
            sys.stderr.write(f"not every log could be kept: {error}\n")
        try:
            await remove(self._docker, self._project)
        except EngineError as error:
            sys.stderr.write(f"{error}; `python -m experiments.live.containers {self._project}` removes what is left\n")
        finally:
            await self._docker.close()

    async def _keep_logs(self) -> None:
        if self._engine is None:
            return
        await self._engine.running()
        texts = {**await self._engine.logs(), **{service.name: await service.text() for service in self._services}}
        for name, text in texts.items():
            (self._logs / f"{name}.log").write_text(text, encoding="utf-8")


async def remove(docker: Docker, project: str) -> None:
    """Remove the project's containers, living or not, and its networks.

    Raises:
        EngineError: Docker refuses, or does not answer.
    """
    async with docker_errors(f"removing {project}"):
        label = {"label": [f"{PROJECT}={project}"]}
        for _ in range(REMOVALS):
            containers = await docker.containers.list(all=True, filters=label)
            if not containers:
                break
            # The manager first: it starts replicas that are gone.
            for container in sorted(containers, key=lambda each: each["Labels"].get(SERVICE) != "manager"):
                try:
                    await container.delete(force=True, v=True)
                except DockerError as error:
                    if error.status not in (404, 409):  # somebody else removes it
                        raise
        for network in await docker.networks.list(filters=label):
            await (await docker.networks.get(network["Id"])).delete()


async def _main(project: str) -> None:
    async with connect() as docker:
        await remove(docker, project)


if __name__ == "__main__":
    try:
        asyncio.run(_main(sys.argv[1]))
    except (EngineError, ValueError, IndexError) as problem:
        raise SystemExit(f"python -m experiments.live.containers PROJECT: {problem}") from problem
