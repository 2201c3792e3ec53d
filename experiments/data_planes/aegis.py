"""Aegis' own router."""

import dataclasses
import json
import sys
from typing import ClassVar

import aiohttp

from experiments.data_planes import Front
from experiments.exporting import joined
from services.processes import ServiceProcess, StartError, python_module

READY_S = 30.0


class Aegis:
    """`python -m services.router`, whose replicas are registered by its admin port."""

    name: ClassVar[str] = "aegis"
    package: ClassVar[str] = "aegis-bench"

    def program(self) -> str:
        """This Python."""
        return sys.executable

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
            for each in front.replicas:
                registration = {"url": f"http://{joined(each.host, each.port)}"}
                async with session.put(f"{admin}/replicas/{each.name}", json=registration) as answer:
                    if answer.status >= 300:
                        raise StartError(f"{self.name} does not take {each.name}: {await answer.text()}")
