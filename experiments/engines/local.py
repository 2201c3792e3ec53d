"""Processes of this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from experiments.live.engine import LiveEngine
from experiments.plan.config import Config, require

if TYPE_CHECKING:
    from experiments.live.launching import Launcher


class Local(LiveEngine):
    """Each service and each replica is a process."""

    name: ClassVar[str] = "local"
    has_paths: ClassVar[bool] = True
    has_starts: ClassVar[bool] = True
    has_external: ClassVar[bool] = True
    has_data_planes: ClassVar[bool] = True

    @classmethod
    def check(cls, config: Config) -> None:
        """There is no image."""
        require(config.engine.image is None, "engine.image", config.engine.image, "left out, it is of engine=compose")
        super().check(config)

    @classmethod
    def launcher(cls, config: Config, logs: Path) -> "Launcher":
        """Child processes; behind a proxy of the user's at the ports that it knows."""
        from experiments.live.launching import LocalLauncher

        first = None if config.router is None else config.router.replica_port
        ports = {} if first is None else {id_: first + number for number, id_ in enumerate(config.replica_ids)}
        return LocalLauncher(logs, ports)
