"""Ways to run replicas, one a file. An engine only starts and stops them; they register with the router themselves."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Running:
    """A replica that an engine runs."""

    id: str
    url: str
    admin_url: str
    pid: int | None
    state: str
    """`running`, `draining` or `dead`."""


class Engine(Protocol):
    """The shape of every engine."""

    def running(self) -> list[Running]:
        """The replicas there are, dead ones included until they are started again or stopped."""

    async def start(self, id_: str) -> None:
        """Start replica `id_`; a dead one comes back at its address. Raises RuntimeError with its last words."""

    async def drain(self, id_: str) -> None:
        """Let replica `id_` finish and leave; returns when it is gone."""

    async def close(self) -> None:
        """Drain all."""
