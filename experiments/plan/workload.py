"""What is asked of the system: rate, its course, arrivals, demand. Light: a wrong configuration answers at once."""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.plan.profiles import PROFILES, Profile
from record.schema import LONGEST_S
from services.bounds import Bounds, Choices, hold, written

if TYPE_CHECKING:
    from experiments.plan.profiles import Knots

T = TypeVar("T")


@dataclass
class DemandSettings:
    """The work of one request: seconds of service at speed 1."""

    mean_ms: Annotated[float, Bounds(0.01, 10_000)] = 50.0
    """Mean, milliseconds."""
    distribution: Annotated[str, Choices("exponential", "lognormal", "constant")] = "exponential"
    """`exponential`, `lognormal` or `constant`."""
    sigma: Annotated[float, Bounds(0.01, 3)] = 1.0
    """Standard deviation of the logarithm; lognormal only (1.0: squared coefficient of variation 1.7)."""
    replica_noise: Annotated[float, Bounds(0, 1)] = 0.0
    """0 = the demand is the request's alone, 1 = drawn anew on every attempt."""


def with_profiles(settings: type[T]) -> type[T]:
    """The dataclass with a field for the parameters of every profile that has some, `workload.spike` and so on."""
    taken = {each.name for each in dataclasses.fields(settings)}  # type: ignore[arg-type]
    added: list[tuple[str, type, Any]] = [
        (name, profile, field(default_factory=profile))
        for name, profile in PROFILES.usable().items()
        if name not in taken and _has_parameters(profile)
    ]
    made = dataclasses.make_dataclass(settings.__name__, added, bases=(settings,))
    made.__module__, made.__doc__ = settings.__module__, settings.__doc__
    return made


def _has_parameters(profile: type) -> bool:
    """Whether there is something to set, all of it with defaults (what cannot be used is refused when it is chosen)."""
    try:
        OmegaConf.structured(profile)
        return dataclasses.is_dataclass(profile()) and bool(dataclasses.fields(profile))
    except (TypeError, OmegaConfBaseException):
        return False


@with_profiles
@dataclass
class WorkloadSettings:
    """The schedule's parameters."""

    rate_rps: Annotated[float, Bounds(0.01, 100_000)] = 80.0
    """Mean rate before the profile's factors, requests a second."""
    utilisation: Annotated[float | None, Bounds(above=0, most=10)] = None
    """Sets `rate_rps`: the share of what the replicas that a run begins with can do. Unset = `rate_rps` is as given."""
    duration_s: Annotated[float, Bounds(1, LONGEST_S)] = 30.0
    """From the run's start, warm-up included, seconds."""
    warmup_s: Annotated[float, Bounds(0, 86_400)] = 5.0
    """Left out of every metric, seconds."""
    arrivals: Annotated[str, Choices("poisson", "uniform")] = "poisson"
    """`poisson` or `uniform` (evenly spaced)."""
    profile: str = "constant"
    """The rate's course, a file of `experiments/plan/profiles/`; its parameters stand under `workload.<profile>`."""
    demand: DemandSettings = field(default_factory=DemandSettings)
    keys: Annotated[int, Bounds(1, 1_000_000_000)] = 1000
    """How many different keys requests carry."""

    def course(self) -> Profile:
        """The profile that was chosen, with its parameters.

        Raises:
            ValueError: there is none of this name.
        """
        wanted = PROFILES.find(self.profile)
        try:
            chosen = getattr(self, self.profile, None) or wanted()
        except TypeError as error:
            raise ValueError(f"workload.profile={self.profile}: its parameters need defaults ({error})") from error
        if not isinstance(chosen, wanted):
            raise ValueError(f"workload.profile={self.profile}: workload has a key of this name; rename the file")
        return cast(Profile, chosen)

    def knots(self) -> "Knots":
        """The cumulative expected number of requests, as `Profile.knots` gives it."""
        return self.course().knots(self.rate_rps, self.duration_s)

    def peak_rps(self) -> float:
        """The highest rate of the profile, requests a second."""
        return self.rate_rps * self.course().peak()

    def most_requests(self) -> float:
        """A bound on the expected number of requests."""
        return self.peak_rps() * self.duration_s

    def validate(self) -> None:
        """Check choices and bounds.

        Raises:
            ValueError: with the key, its value, and what it may be.
        """
        hold(self, "workload")
        course = self.course()
        try:
            course.check()
        except ValueError as error:
            raise ValueError(f"workload.{self.profile}.{error}") from error
        if self.warmup_s >= self.duration_s:
            raise ValueError(
                f"workload.warmup_s={written(self.warmup_s)}: must be below "
                f"workload.duration_s={written(self.duration_s)}"
            )
