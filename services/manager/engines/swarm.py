"""Replicas as the tasks of a Docker Swarm service, on as many machines as it has.

Swarm decides which task goes when a service shrinks, and starts failed ones again by itself. Both do no harm here: a
replica that is told to end announces its own draining to the router and finishes what it has, and the router sends to
the replicas' own addresses, never to the service's virtual one. So `start` and `drain` mean one task more and one less;
the ids say only how many. The service's number is changed with the version that was read (Docker's API,
POST /services/{id}/update): what someone else has changed meanwhile is read again, and never overwritten.
"""

import argparse
import asyncio
import itertools
import json
import os
import time
from collections.abc import Mapping
from typing import Any

from aiodocker import Docker
from aiodocker.exceptions import DockerError

from services.manager.docker_engine import connect, docker_errors
from services.manager.engines import EngineError, Running
from services.processes import StartError

NAMESPACE = "com.docker.stack.namespace"
UPDATE_TRIES = 10
STARTUP_TIMEOUT_S = 60.0
"""A node may have to fetch the image first."""
DRAIN_TIMEOUT_S = 30.0
POLL_S = 0.2
ENDED = frozenset({"complete", "failed", "shutdown", "rejected", "orphaned", "remove"})
"""States of a task that does not run any more, or is not to. A replacement waits in `ready` before it is to run."""


async def own_service(docker: Docker) -> str:
    """The service `replica` of the stack that this process' container belongs to.

    Raises:
        EngineError: it runs in no container of a stack.
    """
    name = os.uname().nodename
    async with docker_errors("looking for this process' own container"):
        containers = await docker.containers.list(filters={"label": [NAMESPACE]})
        labels = [container["Labels"] for container in containers if container.id.startswith(name)]
    if not labels:
        raise EngineError(f"{name} is no container of a Swarm stack (none has the label {NAMESPACE})")
    return f"{labels[0][NAMESPACE]}_replica"


class SwarmEngine:
    """Scales one service."""

    name = "swarm"
    acts = True

    @staticmethod
    def add_options(group: argparse._ArgumentGroup) -> None:
        """None."""

    @classmethod
    async def create(cls, arguments: argparse.Namespace, replica: dict[str, Any]) -> "SwarmEngine":
        """For the stack of the manager's own container; what a replica is told stands in the stack's file."""
        docker = connect()
        try:
            return cls(docker, await own_service(docker), arguments.startup_timeout or STARTUP_TIMEOUT_S)
        except EngineError:
            await docker.close()
            raise

    def __init__(self, docker: Docker, service: str, startup_timeout_s: float = STARTUP_TIMEOUT_S) -> None:
        """`docker` is a manager node's engine; `service` the service's name."""
        self._docker = docker
        self._service = service
        self._startup_timeout_s = startup_timeout_s
        self._lock = asyncio.Lock()
        """Between a reading of the service and its tasks nobody here changes them."""
        self._leaving: set[str] = set()
        """Those that are drained before the service has been told."""
        self._seen: set[str] = set()
        """Those that were to stay at the last look: one of them that is drained means one less, whoever went before."""

    async def _inspect(self) -> Mapping[str, Any]:
        async with docker_errors(f"inspecting service {self._service}"):
            return await self._docker.services.inspect(self._service)

    async def _read(self) -> tuple[int, dict[int, Mapping[str, Any]], set[int]]:
        """How many tasks are wanted, those that are to run by slot, and the slots of those that leave."""
        wanted = (await self._inspect())["Spec"]["Mode"]["Replicated"]["Replicas"]
        async with docker_errors(f"listing the tasks of {self._service}"):
            tasks = await self._docker.tasks.list(filters={"service": self._service})
        staying = {int(task["Slot"]): task for task in tasks if task["DesiredState"] not in ENDED}
        going = {int(task["Slot"]) for task in tasks if task["Status"]["State"] not in ENDED} - set(staying)
        return wanted, staying, going

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
        async with self._lock:
            return await self._running()

    async def _running(self) -> list[Running]:
        wanted, staying, going = await self._read()
        slots = sorted(staying)
        to_come = (slot for slot in itertools.count(1) if slot not in staying and slot not in going)
        slots += itertools.islice(to_come, max(0, wanted - len(slots)))
        slots.sort(key=lambda slot: (f"r{slot}" in self._leaving, slot))
        stay = wanted - len(self._leaving)
        replicas = []
        for number, slot in enumerate(slots):
            task = staying.get(slot)
            is_up = task is not None and task["Status"]["State"] == "running"
            state = "draining" if number >= stay else "running" if is_up else "starting"
            replicas.append(Running(f"r{slot}", *_addresses(task), None, state))
        self._seen = {replica.id for replica in replicas if replica.state != "draining"}
        return replicas + [Running(f"r{slot}", "", "", None, "draining") for slot in sorted(going)]

    async def start(self, id_: str) -> None:
        """One task more, unless `id_` is there; returns when all of them run.

        Raises:
            StartError: not within the time for a start; with what the last task says.
            EngineError: Docker refuses.
        """
        async with self._lock:
            if id_ not in {replica.id for replica in await self._running() if replica.state != "draining"}:
                await self._add(1)
        deadline = time.monotonic() + self._startup_timeout_s
        while True:
            wanted, tasks, _ = await self._read()
            if sum(task["Status"]["State"] == "running" for task in tasks.values()) >= wanted:
                return
            if time.monotonic() > deadline:
                said = {task["Status"].get("Err") or task["Status"].get("Message", "") for task in tasks.values()}
                raise StartError(f"{self._service} has not {wanted} tasks running\n  " + "\n  ".join(sorted(said)))
            await asyncio.sleep(POLL_S)

    async def drain(self, id_: str) -> None:
        """One task less, whichever Swarm chooses; returns when as few are left."""
        if id_ in self._leaving or id_ not in self._seen:
            return
        self._seen.discard(id_)
        self._leaving.add(id_)
        try:
            async with self._lock:
                await self._add(-1)
                self._leaving.discard(id_)
        finally:
            self._leaving.discard(id_)
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        while time.monotonic() < deadline:
            wanted, staying, going = await self._read()
            if len(staying) + len(going) <= wanted:
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
