"""Aegis' own router."""

import dataclasses
import json
from typing import ClassVar

import aiohttp

from experiments.data_planes import HOST, Front
from services.processes import ServiceProcess, StartError, python_module

READY_S = 30.0


class Aegis:
    """`python -m services.router`, whose replicas are registered by its admin port."""

    name: ClassVar[str] = "aegis"
    package: ClassVar[str] = "aegis-bench"

    def command(self, front: Front) -> list[str]:
        """The router with the settings of `front`."""
        config = json.dumps({"router": dataclasses.asdict(front.settings)})
        options = ("--port", front.port, "--admin-port", 0, "--policy", front.policy, "--config", config)
        return python_module("services.router", *options)

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """Register the replicas, without a lease.

        Raises:
            StartError: it did not come up, or refuses one.
        """
        admin = (await process.ready(READY_S))["admin"]
        async with aiohttp.ClientSession() as session:
            for number, port in enumerate(front.replicas, 1):
                registration = {"url": f"http://{HOST}:{port}"}
                async with session.put(f"{admin}/replicas/r{number}", json=registration) as answer:
                    if answer.status >= 300:
                        raise StartError(f"{self.name} does not take r{number}: {await answer.text()}")
