"""HAProxy: `leastconn`, active checks and `observe layer7` (experiments/exporting/haproxy.py)."""

import shutil
from typing import ClassVar

from experiments.data_planes import Front
from services.processes import ServiceProcess


class Haproxy:
    """One thread in the foreground."""

    name: ClassVar[str] = "haproxy"
    package: ClassVar[str] = "haproxy"

    def command(self, front: Front) -> list[str] | None:
        """The program of the path, or of /usr/sbin."""
        program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
        return None if program is None else [program, "-db", "-f", str(front.configured(self.name))]

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """Nothing is left to be done."""
