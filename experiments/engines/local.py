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

    @classmethod
    def check(cls, config: Config) -> None:
        """There is no image."""
        require(config.engine.image is None, "engine.image", config.engine.image, "left out, it is of engine=compose")
        super().check(config)

    @classmethod
    def launcher(cls, config: Config, logs: Path) -> "Launcher":
        """Child processes."""
        from experiments.live.launching import LocalLauncher

        return LocalLauncher(logs)
