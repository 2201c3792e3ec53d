"""nginx: `least_conn`, passive failure detection alone (experiments/exporting/nginx.py)."""

import shutil
from typing import ClassVar

from experiments.data_planes import Front
from services.processes import ServiceProcess

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    """One worker in the foreground."""

    name: ClassVar[str] = "nginx"
    package: ClassVar[str] = "nginx-light"

    def command(self, front: Front) -> list[str] | None:
        """Everything that it writes goes into `front.folder`."""
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if program is None:
            return None
        folder = front.folder
        path = front.configured(self.name, [f"{name}_temp_path {folder}/{name};" for name in TEMPORARY])
        process = f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log warn;"
        return [program, "-c", str(path), "-p", str(folder), "-e", str(folder / "error.log"), "-g", process]

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """Nothing is left to be done."""
