"""What is asked of the system: rate, its course, arrivals, demand. Light: a wrong configuration answers at once."""

from dataclasses import dataclass, field

ARRIVALS = ("poisson", "uniform")
PROFILES = ("constant", "step", "ramp", "spike", "diurnal")
DISTRIBUTIONS = ("exponential", "lognormal", "constant")


@dataclass
class DemandSettings:
    """The work of one request: seconds of service at speed 1."""

    mean_ms: float = 50.0
    """Mean, milliseconds."""
    distribution: str = "exponential"
    """`exponential`, `lognormal` or `constant`."""
    sigma: float = 1.0
    """Standard deviation of the logarithm; lognormal only (1.0: squared coefficient of variation 1.7)."""
    replica_noise: float = 0.0
    """0 = the demand is the request's alone, 1 = drawn anew on every attempt."""


@dataclass
class StepSettings:
    """From one rate to another at once."""

    at: float = 0.5
    """When, as a share of the duration."""
    factor: float = 2.0
    """The rate afterwards, times `rate_rps`."""


@dataclass
class RampSettings:
    """From one rate to another in a straight line over the whole duration."""

    start_factor: float = 0.5
    """The first rate, times `rate_rps`."""
    end_factor: float = 1.5
    """The last rate, times `rate_rps`."""


@dataclass
class SpikeSettings:
    """Up, and back."""

    at: float = 0.25
    """When it begins, as a share of the duration."""
    lasts: float = 0.3
    """How long, as a share of the duration."""
    factor: float = 3.0
    """The rate meanwhile, times `rate_rps`."""


@dataclass
class DiurnalSettings:
    """A sine around `rate_rps`, beginning at its lowest, as a day does."""

    periods: float = 1.0
    """Days in the duration."""
    amplitude: float = 0.6
    """Half the distance between lowest and highest rate, times `rate_rps`; below 1."""


@dataclass
class WorkloadSettings:
    """The schedule's parameters."""

    rate_rps: float = 80.0
    """Mean rate before the profile's factors, requests a second."""
    utilisation: float | None = None
    """Sets `rate_rps`: the share of what the replicas that a run begins with can do. Unset = `rate_rps` is as given."""
    duration_s: float = 30.0
    """From the run's start, warm-up included, seconds."""
    warmup_s: float = 5.0
    """Left out of every metric, seconds."""
    arrivals: str = "poisson"
    """`poisson` or `uniform` (evenly spaced)."""
    profile: str = "constant"
    """`constant`, `step`, `ramp`, `spike` or `diurnal`."""
    step: StepSettings = field(default_factory=StepSettings)
    ramp: RampSettings = field(default_factory=RampSettings)
    spike: SpikeSettings = field(default_factory=SpikeSettings)
    diurnal: DiurnalSettings = field(default_factory=DiurnalSettings)
    demand: DemandSettings = field(default_factory=DemandSettings)
    keys: int = 1000
    """How many different keys requests carry."""

    def peak_rps(self) -> float:
        """The highest rate of the profile, requests a second."""
        factor = {
            "step": max(1.0, self.step.factor),
            "ramp": max(self.ramp.start_factor, self.ramp.end_factor),
            "spike": max(1.0, self.spike.factor),
            "diurnal": 1 + self.diurnal.amplitude,
        }
        return self.rate_rps * factor.get(self.profile, 1.0)

    def most_requests(self) -> float:
        """A bound on the expected number of requests."""
        return self.peak_rps() * self.duration_s

    def validate(self) -> None:
        """Check choices and bounds.

        Raises:
            ValueError: with the key, its value, and what it may be.
        """
        for name, choices in (("arrivals", ARRIVALS), ("profile", PROFILES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"workload.{name}={getattr(self, name)}: must be one of {', '.join(choices)}")
        if self.demand.distribution not in DISTRIBUTIONS:
            raise ValueError(
                f"workload.demand.distribution={self.demand.distribution}: must be one of {', '.join(DISTRIBUTIONS)}"
            )
        for key, value, low, high in (
            ("rate_rps", self.rate_rps, 0.01, 100_000),
            ("duration_s", self.duration_s, 1, 86_400),
            ("warmup_s", self.warmup_s, 0, 86_400),
            ("keys", self.keys, 1, 1_000_000_000),
            ("demand.mean_ms", self.demand.mean_ms, 0.01, 10_000),
            ("demand.sigma", self.demand.sigma, 0.01, 3),
            ("demand.replica_noise", self.demand.replica_noise, 0, 1),
            ("step.at", self.step.at, 0, 1),
            ("step.factor", self.step.factor, 0, 100),
            ("ramp.start_factor", self.ramp.start_factor, 0, 100),
            ("ramp.end_factor", self.ramp.end_factor, 0, 100),
            ("spike.at", self.spike.at, 0, 1),
            ("spike.lasts", self.spike.lasts, 0, 1 - self.spike.at),
            ("spike.factor", self.spike.factor, 0, 100),
            ("diurnal.periods", self.diurnal.periods, 0.01, 1000),
            ("diurnal.amplitude", self.diurnal.amplitude, 0, 0.999),
        ):
            if not low <= value <= high:
                raise ValueError(f"workload.{key}={value:g}: must be between {low:g} and {high:g}")
        if self.warmup_s >= self.duration_s:
            raise ValueError(
                f"workload.warmup_s={self.warmup_s:g}: must be below workload.duration_s={self.duration_s:g}"
            )
