"""Proxies that can stand before the replicas, one a file: `mine.py` has a class with `name = "mine"`.

Each is configured as the router is (`RouterSettings`): the same checks, time-outs, attempts and ejection, as far as it
knows them, on one worker, so that a comparison is about the proxy.

    name, package          of its file; what installs it
    command(front)         writes its configuration into `front.folder`; returns the command that runs it in the
                           foreground, or None where it is not installed
    began(process, front)  is awaited once the command runs; what is still to be done until it passes requests on

`python -m experiments.router_cost` compares them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from experiments.exporting import EXPORTERS, Deployment, Exporter, Upstream
from record.files import write_text
from services.plugins import Point
from services.processes import ServiceProcess
from services.router.settings import RouterSettings

DATA_PLANES = Point(__name__, __path__, "data_planes", "data_plane", ("command", "began"), ("package",))
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Front:
    """Where a proxy listens, what is behind it, and how it behaves."""

    port: int
    replicas: tuple[int, ...]
    """Their ports; one may occur several times."""
    settings: RouterSettings
    policy: str
    """Of Aegis' router; the others balance by the fewest requests in flight."""
    folder: Path

    def configured(self, name: str, lines: Sequence[str] = (), **options: int) -> Path:
        """The file of the exporter `name`, as this wants it: `least_request`, its options, and lines of one's own."""
        upstreams = tuple(Upstream(f"r{number}", HOST, port) for number, port in enumerate(self.replicas, 1))
        exporter: Exporter = EXPORTERS.create(name, {})
        policy = {"name": "least_request", **options}
        wanted = Deployment(HOST, self.port, upstreams, self.settings, policy, lines=tuple(lines))
        path = self.folder / exporter.file
        write_text(path, exporter.render(wanted).text)
        return path


class DataPlane(Protocol):
    """The shape of every proxy."""

    name: ClassVar[str]
    package: ClassVar[str]

    def command(self, front: Front) -> list[str] | None:
        """The command that runs it in the foreground; None = it is not installed."""

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """It runs: do what is still to be done."""
