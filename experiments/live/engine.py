"""What the engines have in common that run real processes and send a real load: their limits, and what they lack."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from experiments.calibration import machine
from experiments.plan.config import Config, ConfigError, require
from experiments.plan.data_planes import check_installed
from experiments.plan.fault_plan import Fault
from experiments.plan.installed import missing

if TYPE_CHECKING:
    from experiments.live.launching import Launcher
    from experiments.plan.engines import Execution
    from experiments.runner.progress import Progress
    from record.writing import Recorder


class LiveEngine:
    """An engine but for its name, and for where it starts the services."""

    name: ClassVar[str]
    is_virtual: ClassVar[bool] = False
    most_replicas: ClassVar[int] = 64
    most_requests: ClassVar[int] = 5_000_000
    cleanup: ClassVar[str | None] = None

    @classmethod
    def check(cls, config: Config) -> None:
        """Delays are the machine's own, and one router is started."""
        require(config.engine.delays is None, "engine.delays", "...", "left out, they are of engine=sim")
        count = 1 if config.router is None else config.router.count
        require(count == 1, "router.count", count, "1, or engine=sim")

    @classmethod
    def check_here(cls, config: Config) -> None:
        """Locust sends the load, as much as this machine was found to send on time."""
        if (reason := missing("load")) is not None:
            raise ConfigError(f"engine={cls.name}: {reason}; engine=sim does without")
        if config.stands_in:
            check_installed(config)
        machine.check(config)

    @classmethod
    def launcher(cls, config: Config, logs: Path) -> "Launcher":
        """What starts the services, whose logs go to the folder `logs`."""
        raise NotImplementedError

    @classmethod
    def create(cls, config: Config, faults: list[Fault], recorder: "Recorder", progress: "Progress") -> "Execution":
        """A measurement."""
        from experiments.live.measurement import Measurement
        from services.descriptors import raise_limit

        raise_limit()  # each process that it starts takes some
        return Measurement(config, faults, recorder, progress, cls.launcher)
