"""Virtual time: the same decisions, no processes."""

from typing import TYPE_CHECKING, ClassVar

from experiments.plan.config import Config, require
from experiments.plan.fault_plan import Fault

if TYPE_CHECKING:
    from experiments.plan.engines import Execution
    from experiments.runner.progress import Progress
    from record.writing import Recorder


class Sim:
    """The simulator, with the delays that were measured on a machine."""

    name: ClassVar[str] = "sim"
    is_virtual: ClassVar[bool] = True
    most_replicas: ClassVar[int] = 10_000
    most_requests: ClassVar[int] = 40_000_000
    cleanup: ClassVar[str | None] = None
    has_paths: ClassVar[bool] = True
    has_starts: ClassVar[bool] = True

    @classmethod
    def check(cls, config: Config) -> None:
        """Nothing burns CPU, can be looked at, or is sent late."""
        engine, kind = f"engine={cls.name}", config.replica.kind
        require(config.engine.image is None, "engine.image", config.engine.image, "left out, it is of engine=compose")
        require(kind == "sleep", "replica.kind", kind, f"sleep ({engine} burns no CPU)")
        require(not config.load.ui, "load.ui", config.load.ui, f"false ({engine} has nothing to look at)")
        require(not config.load.fit, "load.fit", config.load.fit, f"false ({engine} sends any rate on time)")
        if config.engine.delays is not None:
            startup_ms, most_s = config.engine.delays.startup.median_ms, config.engine.startup_timeout_s
            must = f"at most engine.startup_timeout_s={most_s:g} s: a live start is given up then; raise that, too"
            require(startup_ms <= most_s * 1e3, "engine.delays.startup.median_ms", f"{startup_ms:g}", must)
        if config.has_manager and config.router is not None:
            count = config.router.count
            require(count == 1, "router.count", count, "1 where something scales: a manager reads one router")

    @classmethod
    def check_here(cls, config: Config) -> None:
        """Every machine can."""

    @classmethod
    def create(cls, config: Config, faults: list[Fault], recorder: "Recorder", progress: "Progress") -> "Execution":
        """A simulation."""
        from experiments.simulator.simulation import Simulation  # pandas and pyarrow

        return Simulation(config, faults, recorder, progress)
