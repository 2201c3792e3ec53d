"""Replicas as containers of one Docker engine, known by their labels, so that the next manager finds them again."""

import argparse
import asyncio
from collections import defaultdict
from dataclasses import replace
from typing import Any

from aiodocker import Docker

from services.manager.containers import ContainerProcess, Template
from services.manager.docker_engine import PROJECT, SERVICE, Place, connect, docker_errors, own_place
from services.manager.engines import EngineError, Running, replica_flags

REPLICA = "org.aegis.replica"
"""The label that holds the replica's id."""
PORT, ADMIN_PORT = 9001, 9002
STARTUP_TIMEOUT_S = 30.0


class ComposeEngine:
    """Runs containers of the service `replica` of a Compose project; they outlive the manager."""

    name = "compose"
    acts = True

    @staticmethod
    def add_options(group: argparse._ArgumentGroup) -> None:
        """How its containers are reached."""
        group.add_argument("--publish", action="store_true", help="publish replicas' ports at 127.0.0.1")

    @classmethod
    async def create(cls, arguments: argparse.Namespace, replica: dict[str, Any]) -> "ComposeEngine":
        """In the project of the manager's own container."""
        docker = connect()
        try:
            place = replace(await own_place(docker), publish=arguments.publish)
        except EngineError:
            await docker.close()
            raise
        return cls(docker, place, replica, arguments.router, arguments.startup_timeout or STARTUP_TIMEOUT_S)

    def __init__(
        self,
        docker: Docker,
        place: Place,
        replica: dict[str, Any],
        router: str | None,
        startup_timeout_s: float = STARTUP_TIMEOUT_S,
    ) -> None:
        """`replica` as for `replica_flags`; `router` is its admin URL as a container sees it."""
        self._docker = docker
        self._place = place
        self._replica = replica
        self._router = router
        self._startup_timeout_s = startup_timeout_s
        self._known: dict[str, ContainerProcess] = {}
        self._starting: set[str] = set()
        self._draining: set[str] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Starts of one replica wait for each other, those of several do not."""

    def _process(self, id_: str) -> ContainerProcess:
        command = ["python", "-m", "services.backend", "--host", "0.0.0.0", "--port", str(PORT)]
        command += ["--admin-port", str(ADMIN_PORT), *replica_flags(id_, self._replica)]
        command += ["--router", self._router] if self._router is not None else []
        ports = {"url": PORT, "admin": ADMIN_PORT}
        template = Template("replica", int(id_[1:]), command, ports, {REPLICA: id_}, [id_])
        return ContainerProcess(self._docker, id_, self._place, template)

    async def _look(self) -> None:
        """Find the containers there are, whoever started them."""
        filters = {"label": [f"{PROJECT}={self._place.project}", f"{SERVICE}=replica", REPLICA]}
        async with docker_errors("listing the replicas"):
            containers = await self._docker.containers.list(all=True, filters=filters)
        ids = {container["Labels"][REPLICA]: container.id for container in containers}
        for id_ in set(self._known) - set(ids) - self._starting:
            del self._known[id_]
        for id_, container_id in ids.items():
            if id_ in self._starting:
                continue
            process = self._known.get(id_)
            if process is None:
                process = self._process(id_)
                await process.adopt(container_id)
                self._known.setdefault(id_, process)
            else:
                await process.refresh()
            if not process.exists:  # it was removed since the list was made
                self._known.pop(id_, None)

    async def running(self) -> list[Running]:
        """The replicas there are; those of an earlier manager too."""
        await self._look()
        return [
            Running(
                id_,
                process.addresses.get("url", ""),
                process.addresses.get("admin", ""),
                process.pid,
                "draining" if id_ in self._draining else "dead" if process.pid is None else "running",
            )
            for id_, process in sorted(self._known.items(), key=lambda item: int(item[0][1:]))
            if id_ not in self._starting
        ]

    async def start(self, id_: str) -> None:
        """Start it; the same container again, if there was one.

        Raises:
            StartError: it did not come up; ends with the tail of its log.
            EngineError: Docker refuses.
        """
        async with self._locks[id_]:
            await self._look()
            process = self._known.get(id_)
            if process is not None and process.pid is not None:
                return
            is_new = process is None
            if process is None:
                process = self._known[id_] = self._process(id_)
            self._starting.add(id_)
            try:
                await process.start(self._startup_timeout_s)
            except BaseException:
                if is_new:
                    self._known.pop(id_, None)
                    await process.remove()
                raise
            finally:
                self._starting.discard(id_)

    async def drain(self, id_: str) -> None:
        """SIGTERM, wait until it has ended, and remove it."""
        if id_ in self._draining:
            return
        self._draining.add(id_)
        try:
            await self._look()
            process = self._known.get(id_)
            if process is not None:
                await process.stop()
                await process.remove()
                self._known.pop(id_, None)
        finally:
            self._draining.discard(id_)

    async def stop_process(self, id_: str) -> None:
        """End the process in order; the container stays, for the next start."""
        await self._look()
        await self._known[id_].stop()

    def knows(self, id_: str, pid: int) -> bool:
        """Whether the process of replica `id_` was `pid` at the last look."""
        return id_ in self._known and self._known[id_].pid == pid

    async def send(self, id_: str, number: int) -> float:
        """Send a signal, as `ContainerProcess.send` does.

        Raises:
            KeyError: there is no such replica alive.
            EngineError: Docker refuses.
        """
        process = self._known.get(id_)
        if process is None or process.pid is None:
            raise KeyError(id_)
        return await process.send(number)

    async def logs(self) -> dict[str, str]:
        """What every replica has written, by id."""
        return {id_: await process.text() for id_, process in self._known.items()}

    async def close(self) -> None:
        """The replicas stay, for the next manager; drains that have begun are waited for."""
        while self._draining:  # noqa: ASYNC110 - a few hundred milliseconds, once
            await asyncio.sleep(0.05)
        await self._docker.close()
