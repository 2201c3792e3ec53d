"""Containers of a Docker engine on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from experiments.live.engine import LiveEngine
from experiments.plan.config import Config, ConfigError, require
from experiments.plan.installed import IS_TREE
from experiments.plan.outside import plugins_of

if TYPE_CHECKING:
    from experiments.live.launching import Launcher


class Compose(LiveEngine):
    """Each service and each replica is a container of one image."""

    name: ClassVar[str] = "compose"
    cleanup: ClassVar[str | None] = "experiments.live.containers"

    @classmethod
    def check(cls, config: Config) -> None:
        """The image holds the tree, no folder of this machine is mounted, and there is one network with one router."""
        require(not config.tier.replicas, "tier.replicas", config.tier.replicas, "0, or engine=local or engine=sim")
        for about in plugins_of(config, ()):
            if about["key"] in ("policy", "scaler"):
                raise ConfigError(
                    f"{about['key']}={about['name']}: {about['file']} is not in the image of engine=compose; take "
                    "engine=local or engine=sim, or put the file into the tree"
                )
        require(config.ledger != "always", "ledger", config.ledger, "auto or never: no folder of its containers stays")
        super().check(config)

    @classmethod
    def check_here(cls, config: Config) -> None:
        """An image is built from a tree only."""
        if config.engine.image is None and not IS_TREE:
            raise ConfigError(
                "engine.image=null: Aegis is installed without the tree that images are built from; name one"
            )
        super().check_here(config)

    @classmethod
    def launcher(cls, config: Config, logs: Path) -> "Launcher":
        """Containers in a network of their own."""
        from experiments.live.containers import ContainerLauncher  # Docker's client

        return ContainerLauncher(config.engine.image, logs)
