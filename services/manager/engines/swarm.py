"""Replicas as the tasks of a Docker Swarm service, on as many machines as it has.

Swarm decides which task goes when a service shrinks, and starts failed ones again by itself. Both do no harm here: a
replica that is told to end announces its own draining to the router and finishes what it has, and the router sends to
the replicas' own addresses, never to the service's virtual one. So `start` and `drain` mean one task more and one less;
the ids say only how many. The service's number is changed with the version that was read (Docker's API,
POST /services/{id}/update): what someone else has changed meanwhile is read again, and never overwritten.
"""

import asyncio
import json
import os
import time
from collections.abc import Mapping
from typing import Any

from aiodocker import Docker
from aiodocker.exceptions import DockerError

from services.containers import docker_errors
from services.manager.engines import EngineError, Running
from services.processes import StartError

NAMESPACE = "com.docker.stack.namespace"
UPDATE_TRIES = 10
STARTUP_TIMEOUT_S = 60.0
"""A node may have to fetch the image first."""
DRAIN_TIMEOUT_S = 30.0
POLL_S = 0.2


async def own_service(docker: Docker) -> str:
    """The service `replica` of the stack that this process' container belongs to.

    Raises:
        EngineError: it runs in no container of a stack.
    """
    name = os.uname().nodename
    async with docker_errors("looking for this process' own container"):
        found = await docker.containers.list(filters={"label": [NAMESPACE]})
        labels = [container["Labels"] for container in found if container.id.startswith(name)]
    if not labels:
        raise EngineError(f"{name} is no container of a Swarm stack (none has the label {NAMESPACE})")
    return f"{labels[0][NAMESPACE]}_replica"


class SwarmEngine:
    """Scales one service."""

    acts = True

    def __init__(self, docker: Docker, service: str) -> None:
        """`docker` is a manager node's engine; `service` the service's name."""
        self._docker = docker
        self._service = service
        self._leaving: set[str] = set()
        """Those that are drained before the service has been told."""

    async def _inspect(self) -> Mapping[str, Any]:
        async with docker_errors(f"inspecting service {self._service}"):
            return await self._docker.services.inspect(self._service)

    async def _tasks(self) -> list[Mapping[str, Any]]:
        """The tasks that are to run, or still do."""
        async with docker_errors(f"listing the tasks of {self._service}"):
            tasks = await self._docker.tasks.list(filters={"service": self._service})
        over = {"complete", "failed", "shutdown", "rejected", "orphaned", "remove"}
        return [task for task in tasks if task["DesiredState"] == "running" or task["Status"]["State"] not in over]

    async def _add(self, change: int) -> None:
        """Ask for `change` tasks more."""
        for _ in range(UPDATE_TRIES):
            service = await self._inspect()
            spec = dict(service["Spec"])
            wanted = max(0, spec["Mode"]["Replicated"]["Replicas"] + change)
            spec["Mode"] = {"Replicated": {"Replicas": wanted}}
            async with docker_errors(f"scaling {self._service} to {wanted}"):
                try:
                    await self._docker._query_json(  # its `services.update` cannot change the number
                        f"services/{service['ID']}/update",
                        method="POST",
                        params={"version": service["Version"]["Index"]},
                        data=json.dumps(spec),
                    )
                except DockerError as error:
                    if "out of sequence" not in str(error.message):
                        raise
                    continue
            return
        raise EngineError(f"scaling {self._service}: someone else changes it all the time")

    async def running(self) -> list[Running]:
        """As many as the service wants: its tasks by slot, and those that are still to come; and those that leave."""
        wanted = (await self._inspect())["Spec"]["Mode"]["Replicated"]["Replicas"]
        tasks = await self._tasks()
        staying = {int(task["Slot"]): task for task in tasks if task["DesiredState"] == "running"}
        ids = [f"r{slot}" for slot in sorted(staying)]
        leaving = [f"r{task['Slot']}" for task in tasks if int(task["Slot"]) not in staying]
        missing = (f"r{n}" for n in range(1, wanted + len(ids) + 1) if n not in staying and f"r{n}" not in leaving)
        while len(ids) < wanted:
            ids.append(next(missing))
        found = [
            Running(id_, *_addresses(staying.get(int(id_[1:]))), None, "draining" if n >= wanted else "running")
            for n, id_ in enumerate(sorted(ids, key=lambda id_: (id_ in self._leaving, int(id_[1:]))))
        ]
        for replica in found:
            if replica.id in self._leaving:
                replica.state = "draining"
        return found + [Running(id_, "", "", None, "draining") for id_ in leaving]

    async def start(self, id_: str) -> None:
        """One task more, unless `id_` is there; returns when all of them run.

        Raises:
            StartError: not within a minute; with what the last task says.
            EngineError: Docker refuses.
        """
        if id_ not in {replica.id for replica in await self.running() if replica.state == "running"}:
            await self._add(1)
        deadline = time.monotonic() + STARTUP_TIMEOUT_S
        while True:
            wanted = (await self._inspect())["Spec"]["Mode"]["Replicated"]["Replicas"]
            tasks = [task for task in await self._tasks() if task["DesiredState"] == "running"]
            if sum(task["Status"]["State"] == "running" for task in tasks) >= wanted:
                return
            if time.monotonic() > deadline:
                said = {task["Status"].get("Err") or task["Status"].get("Message", "") for task in tasks}
                raise StartError(f"{self._service} has not {wanted} tasks running\n  " + "\n  ".join(sorted(said)))
            await asyncio.sleep(POLL_S)

    async def drain(self, id_: str) -> None:
        """One task less, whichever Swarm chooses; returns when as few are left."""
        if id_ in self._leaving:
            return
        self._leaving.add(id_)
        try:
            if id_ not in {replica.id for replica in await self.running()}:
                return
            await self._add(-1)
        finally:
            self._leaving.discard(id_)
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        while time.monotonic() < deadline:
            wanted = (await self._inspect())["Spec"]["Mode"]["Replicated"]["Replicas"]
            if len(await self._tasks()) <= wanted:
                return
            await asyncio.sleep(POLL_S)

    async def stop_process(self, id_: str) -> None:
        """Swarm has no way to restart one task."""
        raise EngineError(f"{id_} cannot be restarted alone: `docker service update --force {self._service}` does all")

    async def close(self) -> None:
        """The service stays as it is."""
        await self._docker.close()


def _addresses(task: Mapping[str, Any] | None) -> tuple[str, str]:
    """The task's own addresses on the stack's network, where it has one yet."""
    for attachment in (task or {}).get("NetworksAttachments") or []:
        if not attachment["Network"]["Spec"].get("Ingress") and attachment.get("Addresses"):
            host = attachment["Addresses"][0].split("/")[0]
            return f"http://{host}:9001", f"http://{host}:9002"
    return "", ""
