"""What runs the system under test: the shape of an engine, which is a file of `experiments/engines/`.

The room is looked up by its name, since its files import nearly everything, the plan too. They import what is heavy
where it is used: a wrong configuration must answer at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

from experiments.plan.config import Config
from experiments.plan.fault_plan import Fault
from services.plugins import Point

if TYPE_CHECKING:
    from experiments.runner.progress import Progress
    from record.writing import Recorder

_ROOM = import_module("experiments.engines")
ENGINES = Point(
    _ROOM.__name__,
    cast(list[str], _ROOM.__path__),
    "engines",
    "engine",
    ("check", "check_here", "create"),
    ("is_virtual", "most_replicas", "most_requests", "cleanup"),
)


class RunError(RuntimeError):
    """A run cannot go on; one line."""


class Readiness(Protocol):
    """What else must be ready, so that it takes nothing from the measurement: MLflow."""

    async def ready(self) -> None:
        """Wait until it is idle."""


class Execution(Protocol):
    """One run, about to happen."""

    async def run(self, companion: Readiness | None) -> None:
        """Do it; the folder's raw rows are complete when this returns.

        Args:
            companion: to be awaited before the load starts, or after all where nothing can be late.

        Raises:
            RunError, StartError, EngineError, TimeoutError, OSError: it failed, as the text says.
        """


class Engine(Protocol):
    """The shape of every engine. `based_on`, where a class has it, names the engine whose entry of the configuration
    (`conf/engine/<name>.yaml`) that of a file outside the tree begins with. `has_paths`, likewise, says whether it
    plays what happens on the way from the router to a replica (`experiments.relay.faults`), `has_starts` whether it
    plays starts (`autoscaling.starts`), `has_external` whether it sends the load to a proxy or service that nobody here
    has started (`router.url`), `has_data_planes` whether it starts another one in the router's place
    (`router.data_plane`)."""

    name: ClassVar[str]
    """Of its file."""
    is_virtual: ClassVar[bool]
    """Whether it runs in virtual time: no processes, nothing is late, and runs do not spoil each other."""
    most_replicas: ClassVar[int]
    most_requests: ClassVar[int]
    """A larger fleet or schedule is refused."""
    cleanup: ClassVar[str | None]
    """Module that removes what a killed run leaves besides processes: `python -m MODULE PROJECT`; None = nothing."""

    @classmethod
    def check(cls, config: Config) -> None:
        """Refuse what it cannot do, and keys that only other engines read.

        Raises:
            ValueError: with one line that names the key, its value and what it may be.
        """

    @classmethod
    def check_here(cls, config: Config) -> None:
        """Refuse what cannot be run on this machine, or with what is installed.

        Raises:
            ConfigError: with the key and the ways out.
        """

    @classmethod
    def create(cls, config: Config, faults: list[Fault], recorder: "Recorder", progress: "Progress") -> Execution:
        """The run of a checked configuration.

        Args:
            config: the run's.
            faults: in order of time, one target each.
            recorder: takes events, samples and rows; the run's folder with its schedule is there.
            progress: what the user sees.
        """


def engine_of(config: Config) -> type[Engine]:
    """The engine that a configuration chooses.

    Raises:
        ValueError: there is none of this name, or it cannot be used.
    """
    return cast(type[Engine], ENGINES.find(config.engine.name))
