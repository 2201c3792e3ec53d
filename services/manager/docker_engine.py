"""Docker's engine: how it is reached, what its errors become, and where this process itself stands in it."""

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
from aiodocker import Docker
from aiodocker.exceptions import DockerError

from services.manager.engines import EngineError

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
"""Compose's own labels: `docker compose ps`, `logs` and `down` see these containers as the project's."""
UNREACHABLE = 900
"""The status that aiodocker gives where there was no answer."""
SOCKET = "/var/run/docker.sock"


@contextlib.asynccontextmanager
async def docker_errors(what: str) -> AsyncIterator[None]:
    """Whatever Docker's client raises becomes an EngineError that names `what` was tried."""
    try:
        yield
    except EngineError:
        raise
    except DockerError as error:
        said = " ".join(str(error.message).split())
        if error.status == UNREACHABLE:
            raise EngineError(f"{what}: no Docker engine answers; start one ({said[:200]})") from error
        raise EngineError(f"{what}: Docker says: {said}") from error
    except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
        raise EngineError(f"{what}: no Docker engine answers ({' '.join(str(error).split())})") from error


@dataclass(frozen=True)
class Place:
    """Where containers are put."""

    project: str
    image: str
    networks: tuple[str, ...]
    """Names; the first one's addresses are shown."""
    publish: bool = False
    """Whether every port is published at a port of 127.0.0.1."""
    nano_cpus: int = 0
    """Limit on a container's CPU, in billionths of a core; 0 = none."""


def connect() -> Docker:
    """A client of the engine that `docker` itself would speak to: DOCKER_HOST goes before a context.

    Raises:
        EngineError: there is none.
    """
    try:
        return Docker(url=os.environ.get("DOCKER_HOST") or None)
    except (AssertionError, ValueError, DockerError) as error:
        raise EngineError("there is no Docker engine: start one, mount its socket, or set DOCKER_HOST") from error


def socket_path() -> str:
    """The engine's socket on its host."""
    return os.environ.get("DOCKER_HOST", "").partition("unix://")[2] or SOCKET


async def own_place(docker: Docker) -> Place:
    """The project, image, networks and limit of the container that this process runs in.

    Raises:
        EngineError: it runs in none, or in none of Compose.
    """
    name = os.uname().nodename
    async with docker_errors("looking for this process' own container"):
        info = await docker.containers.container(name).show()
    labels = info["Config"]["Labels"] or {}
    if PROJECT not in labels:
        raise EngineError(f"container {name} belongs to no Compose project (it has no label {PROJECT})")
    networks = tuple(sorted(info["NetworkSettings"]["Networks"]))
    return Place(labels[PROJECT], info["Image"], networks, nano_cpus=info["HostConfig"]["NanoCpus"] or 0)
