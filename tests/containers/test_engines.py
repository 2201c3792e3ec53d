"""One contract for every engine of the manager that acts: local processes, containers, tasks of a Swarm service."""

import asyncio
import contextlib
import json
import os
import signal
import uuid

import pytest
from aiodocker import Docker

from services.manager.docker_engine import PROJECT, Place
from services.manager.engines.compose import ComposeEngine
from services.manager.engines.local import LocalEngine
from services.manager.engines.swarm import SwarmEngine
from tests.containers.conftest import docker
from tests.containers.deployed import until_gone
from tests.services.live import eventually

REPLICA = {"concurrency": 2, "seed": 7}


class Local:
    """Processes; they end with their manager."""

    outlives = False

    def __init__(self, folder):
        self.folder = folder

    @contextlib.asynccontextmanager
    async def engine(self):
        engine = LocalEngine(REPLICA, None, self.folder)
        try:
            yield engine
        finally:
            await engine.close()

    async def kill(self, replica):
        os.kill(replica.pid, signal.SIGKILL)

    def close(self):
        pass


class Compose:
    """Containers."""

    outlives = True

    def __init__(self, folder):
        self.project = f"aegis-test-{uuid.uuid4().hex[:8]}"
        docker("network", "create", "--label", f"{PROJECT}={self.project}", self.project)

    @contextlib.asynccontextmanager
    async def engine(self):
        place = Place(self.project, "aegis-services", (self.project,), publish=True)
        engine = ComposeEngine(Docker(), place, REPLICA, None)
        try:
            yield engine
        finally:
            await engine.close()

    async def kill(self, replica):
        label = f"label=org.aegis.replica={replica.id}"
        docker("kill", docker("ps", "-q", "-f", f"label={PROJECT}={self.project}", "-f", label))

    def close(self):
        label = f"{PROJECT}={self.project}"
        if found := docker("ps", "-aq", "-f", f"label={label}").split():
            docker("rm", "-f", *found)
        docker("network", "rm", self.project)
        until_gone(docker, label)


class Swarm:
    """Tasks of a service."""

    outlives = True

    def __init__(self, folder, *more):
        self.was = docker("info", "--format", "{{.Swarm.LocalNodeState}}") == "active"
        if not self.was:
            docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:0")
        self.service = f"aegis-test-{uuid.uuid4().hex[:8]}_replica"
        command = ["python", "-m", "services.backend", "--id", "hostname"]
        flags = ["--replicas", "0", "--hostname", "r{{.Task.Slot}}", *(more or ("--restart-delay", "100ms"))]
        docker("service", "create", "--detach", "--name", self.service, *flags, "aegis-services", *command)

    @contextlib.asynccontextmanager
    async def engine(self):
        engine = SwarmEngine(Docker(), self.service)
        try:
            yield engine
        finally:
            await engine.close()

    async def kill(self, replica):
        docker("kill", docker("ps", "-q", "-f", f"name={self.service}.{replica.id[1:]}."))

    def close(self):
        label = f"com.docker.swarm.service.name={self.service}"
        docker("service", "rm", self.service)
        until_gone(docker, label)
        if not self.was:
            docker("swarm", "leave", "--force")


@pytest.fixture(params=[Local, Compose, Swarm])
def kind(request, one_swarm_at_a_time, tmp_path, token, monkeypatch):
    monkeypatch.setenv("AEGIS_ADMIN_TOKEN", token)
    kind = request.param(tmp_path)
    yield kind
    kind.close()


async def ids(engine, state="running"):
    return [replica.id for replica in await engine.running() if replica.state == state]


async def test_every_engine_starts_counts_drains_and_brings_back_what_was_killed(kind):
    async def kill_once(victim):
        await kind.kill(victim)
        return True

    async def there(engine, id_):
        return id_ in await ids(engine)

    async with kind.engine() as engine:
        assert await engine.running() == []
        for id_ in ("r1", "r2", "r3", "r4"):
            await engine.start(id_)
        assert await ids(engine) == ["r1", "r2", "r3", "r4"]
        await engine.start("r2")  # it lives
        assert await ids(engine) == ["r1", "r2", "r3", "r4"]

        # both at once: as many go, and while they do they are not counted as running
        drains = [asyncio.ensure_future(engine.drain(id_)) for id_ in ("r3", "r4")]
        await asyncio.sleep(0)
        assert len(await ids(engine)) == 2
        await asyncio.gather(*drains)
        left = await engine.running()
        assert [replica.state for replica in left] == ["running", "running"]
        await engine.drain("r9")  # there is none
        assert len(await ids(engine)) == 2

        # the killed one comes back under its id: by a start, or by Swarm itself
        victim = (await engine.running())[0]
        await eventually(lambda: kill_once(victim))
        await engine.start(victim.id)
        await eventually(lambda: there(engine, victim.id))

        if not kind.outlives:
            return
    async with kind.engine() as other:
        await eventually(lambda: there(other, victim.id))
        await other.drain(victim.id)
        assert len(await ids(other)) == 1  # Swarm chooses who goes


async def test_what_a_replica_is_told_reaches_its_container(image, token, monkeypatch):
    monkeypatch.setenv("AEGIS_ADMIN_TOKEN", token)
    kind = Compose(None)
    try:
        async with kind.engine() as engine:
            await engine.start("r1")
            [replica] = await engine.running()
        assert replica.url.startswith("http://127.0.0.1:")
        [found] = docker("ps", "-q", "-f", f"label={PROJECT}={kind.project}").split()
        command = json.loads(docker("inspect", "-f", "{{json .Config.Cmd}}", found))
        assert command[command.index("--seed") + 1] == "7"
        assert command[command.index("--concurrency") + 1] == "2"
    finally:
        kind.close()


async def test_a_swarm_whose_only_task_died_still_says_what_there_is(one_swarm_at_a_time, token, monkeypatch):
    """Swarm waits, by default five seconds, before the next task is to run: nobody runs, one is to come."""
    monkeypatch.setenv("AEGIS_ADMIN_TOKEN", token)
    kind = Swarm(None, "--restart-delay", "30s")
    try:
        async with kind.engine() as engine:
            await engine.running()
            await engine.start("r1")
            [replica] = await engine.running()
            await kind.kill(replica)

            async def waiting():
                present = await engine.running()
                return present if [one.state for one in present] == ["starting"] else None

            assert [replica.id for replica in await eventually(waiting)] == ["r1"]
    finally:
        kind.close()
