"""What is asked of the system: rate, its course, arrivals, demand. Light: a wrong configuration answers at once."""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.plan.arrivals import ARRIVALS, Arrivals
from experiments.plan.numbers import numbers
from experiments.plan.profiles import PROFILES, Profile
from record.schema import LONGEST_S
from services.backend.settings import DISTRIBUTIONS
from services.bounds import Bounds, Choices, hold, written
from services.plugins import Point

if TYPE_CHECKING:
    from experiments.plan.profiles import Knots
    from experiments.plan.traces.reading import Recorded
    from experiments.plan.traces.scaling import Scaling

T = TypeVar("T")
HEAVY = ("hyperexponential", "pareto", "empirical")
"""Distributions that the schedule draws, but no replica by itself."""
MOST_SKEWED = 10_000_000
"""Keys whose shares are summed up, eight bytes each."""


@dataclass
class CallDemandSettings:
    """The work of one call: seconds of service at speed 1."""

    mean_ms: Annotated[float, Bounds(0.01, 10_000)] = 50.0
    """Mean, milliseconds."""
    distribution: Annotated[str, Choices(*DISTRIBUTIONS)] = "exponential"
    """`exponential`, `lognormal` or `constant`."""
    sigma: Annotated[float, Bounds(0.01, 3)] = 1.0
    """Standard deviation of the logarithm; lognormal only (1.0: squared coefficient of variation 1.7)."""
    replica_noise: Annotated[float, Bounds(0, 1)] = 0.0
    """0 = the demand is the request's alone, 1 = drawn anew on every attempt."""


@dataclass
class ClassDemandSettings:
    """The work of one request of a class: seconds of service at speed 1."""

    mean_ms: Annotated[float, Bounds(0.01, 10_000)] = 50.0
    """Mean, milliseconds."""
    distribution: Annotated[str, Choices(*DISTRIBUTIONS, *HEAVY)] = "exponential"
    """`exponential`, `lognormal` or `constant`; `hyperexponential` (few requests are much longer), `pareto` (bounded)
    or `empirical` (drawn from `file`), which no replica draws: they go with `replica_noise=0` only."""
    sigma: Annotated[float, Bounds(0.01, 3)] = 1.0
    """Standard deviation of the logarithm; lognormal only (1.0: squared coefficient of variation 1.7)."""
    cv: Annotated[float, Bounds(1, 100)] = 3.0
    """Coefficient of variation; hyperexponential only, with two phases that have half of the work each."""
    alpha: Annotated[float, Bounds(0.1, 10)] = 1.5
    """Exponent of the tail, P(X > x) ~ x^-alpha; pareto only."""
    spread: Annotated[float, Bounds(1.1, 1e9)] = 1000.0
    """The largest value over the smallest; pareto only."""
    file: str = ""
    """Observed demands, one number a line in any unit: what counts is how they are distributed, as their mean becomes
    `mean_ms`; empirical only."""


@dataclass
class DemandSettings(ClassDemandSettings):
    """The work of one request: seconds of service at speed 1."""

    replica_noise: Annotated[float, Bounds(0, 1)] = 0.0
    """0 = the demand is the request's alone, 1 = drawn anew on every attempt."""


@dataclass
class RequestClass:
    """Requests that are alike, and differ from others."""

    name: str = ""
    """What the column `class` of the schedule calls them; empty = their place, `1`, `2`, ..."""
    share: Annotated[float, Bounds(above=0, most=1e6)] = 1.0
    """How many of all requests they are, in proportion to the others' shares."""
    demand: ClassDemandSettings = field(default_factory=ClassDemandSettings)
    method: Annotated[str, Choices("GET", "POST")] = "GET"
    """`GET` or `POST`."""
    body_bytes: Annotated[int, Bounds(0, 10_000_000)] = 1000
    """Length of the body, of POST requests."""


def with_plugins(settings: type[T]) -> type[T]:
    """The dataclass with a field for the parameters of every profile, and of every process of arrivals, that has some:
    `workload.spike`, `workload.gamma` and so on."""
    taken = {each.name for each in dataclasses.fields(settings)}  # type: ignore[arg-type]
    added: list[tuple[str, type, Any]] = []
    for name, plugin in [*PROFILES.usable().items(), *ARRIVALS.usable().items()]:
        if name not in taken and _has_parameters(plugin):
            added.append((name, plugin, field(default_factory=plugin)))
            taken.add(name)
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


@with_plugins
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
    arrivals: str = "poisson"
    """When requests come around that rate, a file of `experiments/plan/arrivals/`: `poisson`, `uniform` (evenly
    spaced), `gamma`, `hyperexponential`, `mmpp`, `hawkes`; its parameters stand under `workload.<arrivals>`."""
    profile: str = "constant"
    """The rate's course, a file of `experiments/plan/profiles/`; its parameters stand under `workload.<profile>`."""
    demand: DemandSettings = field(default_factory=DemandSettings)
    keys: Annotated[int, Bounds(1, 1_000_000_000)] = 1000
    """How many different keys requests carry."""
    key_skew: Annotated[float, Bounds(0, 10)] = 0.0
    """Zipf's exponent: the k-th most frequent key has a share in proportion to k^-this. 0 = all alike."""
    post_share: Annotated[float, Bounds(0, 1)] = 0.0
    """Share of the requests that are POST, drawn from the seed: what a router must not ask for twice once it was sent.
    The others are GET."""
    body_bytes: Annotated[int, Bounds(0, 10_000_000)] = 1000
    """Length of a POST request's body."""
    classes: list[RequestClass] = field(default_factory=list)
    """Kinds of requests, in place of `demand`, `post_share` and `body_bytes`: a list of `{name: read, share: 9, demand:
    {mean_ms: 5}}`. Empty = all are of one kind."""
    trace: str | None = None
    """A file of requests as they were recorded, `scheduled_s` and where known `demand_s`, `key`, `method`, `size`:
    Parquet, CSV or JSON lines (docs/traffic.md). It is played in place of rate, profile and arrivals, and the run lasts
    as long as it does, unless `duration_s` is typed. Unset = what is asked is drawn."""
    trace_from_s: Annotated[float, Bounds(0, 1e12)] = 0.0
    """The run begins at this second of the trace."""
    trace_for_s: Annotated[float | None, Bounds(above=0, most=1e9)] = None
    """Seconds of the trace that are played. Unset = to its end."""
    trace_speed: Annotated[float, Bounds(0.001, 1000)] = 1.0
    """Seconds of the trace in one of the run: every gap is divided by it."""
    trace_height: Annotated[float, Bounds(0.001, 1000)] = 1.0
    """Requests for each recorded one: below 1 so many of them are kept, drawn from the seed; above 1 the trace is laid
    over itself, each copy shifted."""
    trace_shift_s: Annotated[float | None, Bounds(0, LONGEST_S)] = None
    """The furthest that a copy is shifted, round the part that is played; drawn from the seed. Unset = that part's
    whole length; longer than bursts, shorter than the day's course keeps both."""
    trace_repeat: Annotated[int, Bounds(1, 1_000_000)] = 1
    """How often the trace is played, one time after the other."""

    def course(self) -> Profile:
        """The profile that was chosen, with its parameters.

        Raises:
            ValueError: there is none of this name.
        """
        return cast(Profile, self._chosen(PROFILES, self.profile))

    def process(self) -> Arrivals:
        """The process of arrivals that was chosen, with its parameters.

        Raises:
            ValueError: there is none of this name.
        """
        return cast(Arrivals, self._chosen(ARRIVALS, self.arrivals))

    def _chosen(self, point: Point, name: str) -> object:
        wanted = point.find(name)
        try:
            chosen = getattr(self, name, None) or wanted()
        except TypeError as error:
            raise ValueError(f"{point.kind}={name}: its parameters need defaults ({error})") from error
        if not isinstance(chosen, wanted):
            raise ValueError(f"{point.kind}={name}: workload has a key of this name; rename the file")
        return cast(object, chosen)

    def has_own_rate(self) -> bool:
        """Whether arrivals have a rate of their own, which only in the mean over seeds is the profile's."""
        return self.process().has_own_rate

    def rate_changes(self) -> bool:
        """Whether it does so over a run: by its profile, a trace, or arrivals with a rate of their own."""
        return self.profile != "constant" or self.trace is not None or self.has_own_rate()

    def knots(self) -> "Knots":
        """The cumulative expected number of requests, as `Profile.knots` gives it."""
        return self.course().knots(self.rate_rps, self.duration_s)

    def peak_rps(self) -> float:
        """The highest rate of the profile, or the requests in the busiest second of the trace, requests a second."""
        if self.trace is None:
            return self.rate_rps * self.course().peak()
        from experiments.plan.traces.scaling import busiest_rps

        return busiest_rps(self.recorded().scheduled_s, self.scaling(), self.duration_s)

    def most_requests(self) -> float:
        """A bound on the expected number of requests."""
        return self.peak_rps() * self.duration_s if self.trace is None else self.expected_requests()

    def expected_requests(self) -> float:
        """The number of requests, in the mean over seeds."""
        if self.trace is None:
            return float(self.knots()[1][-1])
        from experiments.plan.traces.scaling import expected

        return expected(self.recorded().scheduled_s, self.scaling(), self.duration_s)

    def mean_demand_s(self) -> float:
        """Of a request, seconds of service at speed 1."""
        if self.classes:
            means_ms = [each.demand.mean_ms for each in self.classes]
            return sum(share * mean for share, mean in zip(self.shares(), means_ms, strict=True)) / 1e3
        demand = None if self.trace is None else self.recorded().demand_s
        return self.demand.mean_ms / 1e3 if demand is None else float(demand.mean())

    def shares(self) -> list[float]:
        """Of each class, together 1."""
        total = sum(each.share for each in self.classes)
        return [each.share / total for each in self.classes]

    def recorded(self) -> "Recorded":
        """The part of the trace that is played.

        Raises:
            ValueError: it cannot be taken as it is; one line.
        """
        assert self.trace is not None
        from experiments.plan.traces.reading import read

        return read(self.trace, self.trace_from_s, self.trace_for_s)

    def scaling(self) -> "Scaling":
        """How the trace is played; its last second counts as a whole one where its length is not given.

        Raises:
            ValueError: as `recorded`.
        """
        from experiments.plan.traces.scaling import Scaling

        length_s = self.trace_for_s
        if length_s is None:
            length_s = (float(self.recorded().scheduled_s[-1]) // self.trace_speed + 1) * self.trace_speed
        return Scaling(length_s, self.trace_speed, self.trace_height, self.trace_shift_s, self.trace_repeat)

    def check_trace(self) -> None:
        """Hold the keys of the trace against what they may be.

        Raises:
            ValueError: with the key, its value, and what it may be.
        """
        hold(self, "workload")
        for name in ("from_s", "for_s", "speed", "height", "shift_s", "repeat"):
            key = f"trace_{name}"
            if self.trace is None and (value := getattr(self, key)) != getattr(WorkloadSettings(), key):
                raise ValueError(f"workload.{key}={written(value)}: goes with workload.trace=FILE")

    def validate(self) -> None:
        """Check choices and bounds.

        Raises:
            ValueError: with the key, its value, and what it may be.
        """
        self.check_trace()
        for name, plugin in ((self.profile, self.course()), (self.arrivals, self.process())):
            try:
                plugin.check()
            except ValueError as error:
                raise ValueError(f"workload.{name}.{error}") from error
        if self.trace is None:
            self.process().check_load(self.knots())
        if self.key_skew > 0 and self.keys > MOST_SKEWED:
            must = f"at most {MOST_SKEWED:,} where workload.key_skew is set"
            raise ValueError(f"workload.keys={self.keys}: must be {must}")
        demand = self.demand
        if demand.distribution == "empirical":
            numbers(demand.file, "workload.demand.file")
        if demand.distribution in HEAVY and demand.replica_noise > 0:
            must = f"0 with workload.demand.distribution={demand.distribution}, which no replica draws"
            raise ValueError(f"workload.demand.replica_noise={written(demand.replica_noise)}: must be {must}")
        self._check_classes()
        if self.warmup_s >= self.duration_s:
            raise ValueError(
                f"workload.warmup_s={written(self.warmup_s)}: must be below "
                f"workload.duration_s={written(self.duration_s)}"
            )

    def _check_classes(self) -> None:
        names = [each.name for each in self.classes if each.name]
        for number, each in enumerate(self.classes):
            key = f"workload.classes[{number}]"
            if each.demand.distribution == "empirical":
                numbers(each.demand.file, f"{key}.demand.file")
            if names.count(each.name) > 1:
                raise ValueError(f"{key}.name={each.name}: must be another one than that of the other classes")
        for key, value in (
            ("trace", self.trace),
            ("post_share", self.post_share),
            ("demand.replica_noise", self.demand.replica_noise),
        ):
            if self.classes and value:
                raise ValueError(f"workload.{key}={value}: does not go with workload.classes")
