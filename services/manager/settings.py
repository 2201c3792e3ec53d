"""What holds for every scaler, with defaults, units and bounds."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from services.bounds import Bounds, hold

LEAST_INTERVAL_S = 0.1
"""Between two looks of a manager, seconds."""


@dataclass
class SignalSettings:
    """How metrics come to the scaler: late, averaged, not at all (docs/scaling.md). Its seconds pass as fast as the
    scaler's own (`scaler.time_factor`), but for those of `missing`."""

    delay_s: Annotated[float, Bounds(0, 600)] = 0.0
    """What is seen is so old at least, seconds."""
    resolution_s: Annotated[float, Bounds(0, 600)] = 0.0
    """A sample is the mean of so many seconds (metrics-server: 15; CloudWatch: 60); 0 = from one look to the next."""
    gaps: Annotated[float, Bounds(0, 1)] = 0.0
    """Share of the samples that never come, drawn by the seed."""
    missing: list[Any] = field(default_factory=list)
    """Samples that end then never come: a list of `[from_s, to_s]`, seconds since the manager's first look."""
    stale: bool = False
    """Where a sample does not come, the last one is seen again, as if nothing were wrong; else nothing is seen, and
    nothing changes."""

    @property
    def is_set(self) -> bool:
        """Whether anything is other than the truth."""
        return bool(self.delay_s or self.resolution_s or self.gaps or self.missing)

    def validate(self, key: str) -> None:
        """Check what `hold` does not.

        Raises:
            ValueError: with the key below `key`, its value and what it must be.
        """
        for place, window in enumerate(self.missing):
            path, must = f"{key}.missing.{place}", "must be [from_s, to_s], two numbers from 0 on in rising order"
            is_pair = isinstance(window, list | tuple) and len(window) == 2
            if not is_pair or not all(isinstance(t, int | float) and not isinstance(t, bool) for t in window):
                raise ValueError(f"{path}={window}: {must}")
            if not 0 <= window[0] < window[1] < float("inf"):
                raise ValueError(f"{path}={window}: {must}")
        if self.stale and not (self.gaps or self.missing):
            raise ValueError(f"{key}.stale=true: every sample comes; add {key}.gaps or {key}.missing")


READ_WITH = (("extra_sigma", "extra_s"), ("pull_sigma", "pull_s"), ("hosts", "pull_s"), ("crash_after_s", "crash"))
"""Keys of starts that are read only where another one is set."""


@dataclass
class StartSettings:
    """How starts go that the manager makes after the run's beginning, and what becomes of those that fail
    (docs/scaling.md); drawn by seed, replica and number of the start. Seconds are the run's."""

    extra_s: Annotated[float, Bounds(0, 3600)] = 0.0
    """A start takes so much longer than its process does: the median of a lognormal time, seconds."""
    extra_sigma: Annotated[float, Bounds(0, 3)] = 0.0
    """Standard deviation of its logarithm; 0 = always the median."""
    pull_s: Annotated[float, Bounds(0, 3600)] = 0.0
    """Pulling the image, which a host's first start waits for, and what else starts there meanwhile: likewise."""
    pull_sigma: Annotated[float, Bounds(0, 3)] = 0.0
    """Likewise."""
    hosts: Annotated[int, Bounds(0, 10_000)] = 0
    """Replicas are spread over so many hosts in turn; 0 = each has its own. Hosts of the run's first replicas have the
    image."""
    never_ready: Annotated[float, Bounds(0, 1)] = 0.0
    """Share of the starts that never become ready: they are given up after `engine.startup_timeout_s`."""
    crash: Annotated[float, Bounds(0, 1)] = 0.0
    """Of those that become ready, the share whose process crashes after `crash_after_s`."""
    crash_after_s: Annotated[float, Bounds(0.1, 86_400)] = 5.0
    """Seconds from ready to the crash."""
    supply: Annotated[int, Bounds(0, 10_000)] = 0
    """So many replicas can be had at a time, those that drain and that stand by included: the start of one more is
    refused, as by a cloud without capacity. 0 = as many as are wanted."""
    warm: Annotated[int, Bounds(0, 1000)] = 0
    """So many more are started and stand by out of rotation; where more are wanted they join at once, and others are
    started in their place."""
    backoff_s: Annotated[float, Bounds(0, 3600)] = 1.0
    """A replica that failed, in its start or after it, is started again at once, the next time after so many seconds,
    then twice as many, and so on (Kubernetes: 10)."""
    backoff_most_s: Annotated[float, Bounds(0, 86_400)] = 30.0
    """No pause is longer; one that went well for twice as long begins anew (Kubernetes: 300)."""

    @property
    def needs_engine(self) -> bool:
        """Whether the engine has to play something."""
        return bool(self.extra_s or self.pull_s or self.never_ready or self.crash or self.warm)

    def validate(self, key: str) -> None:
        """Refuse what nothing would read.

        Raises:
            ValueError: with the key below `key`, its value and what it needs.
        """
        for name, needed in READ_WITH:
            value = getattr(self, name)
            if value != getattr(StartSettings, name) and not getattr(self, needed):
                raise ValueError(f"{key}.{name}={value:g}: says nothing without {key}.{needed}; set that, too")


@dataclass
class ScalingSettings:
    """Bounds, tolerance, windows and rate limits around a scaler's wish; of one that has windows and rates of its own
    the bounds alone (docs/scaling.md)."""

    min_replicas: int = 1
    """No fewer replicas, whatever the scaler wishes; at most as many as the engine runs."""
    max_replicas: int = 6
    """No more replicas, likewise."""
    interval_s: Annotated[float, Bounds(0, 600)] = 1.0
    """Seconds between two decisions, the run's whatever `scaler.time_factor` is, 0.1 at least. 0 = as often as the
    scaler decides where it comes from, in its own seconds: `hpa`, `keda` and `target_tracking` every 15, `knative`
    every 2; who comes from nowhere does so every second of the run."""
    tolerance: Annotated[float, Bounds(0, 1)] = 0.1
    """A metric within this share of its target, over those that it is of, changes nothing (Kubernetes' default)."""
    stabilization_up_s: Annotated[float, Bounds(0, 3600)] = 0.0
    """Scaling up takes the lowest wish of so many seconds (Kubernetes: 0), which pass as fast as the scaler's do
    (`scaler.time_factor`)."""
    stabilization_down_s: Annotated[float, Bounds(0, 3600)] = 5.0
    """Scaling down takes the highest wish of so many seconds, likewise (Kubernetes: 300; a run here lasts a minute)."""
    max_up: int = 2
    """At most so many replicas more in one decision."""
    max_down: int = 1
    """At most so many fewer in one decision."""
    max_starting: Annotated[int, Bounds(1, 10_000)] = 16
    """At most so many replicas start at the same time, those of a run's beginning too (Kubernetes' ReplicaSet: 500;
    here they share one machine's cores)."""
    self_heal: bool = True
    """Start a replica again when its process ended by itself."""
    signal: SignalSettings = field(default_factory=SignalSettings)
    starts: StartSettings = field(default_factory=StartSettings)

    def validate(self, most_replicas: int = 64) -> None:
        """Check every bound; `most_replicas` is what an engine can run.

        Raises:
            ValueError: with the key, its value and its bounds.
        """
        for name in ("min_replicas", "max_replicas", "max_up", "max_down"):
            Bounds(1, most_replicas).check(f"autoscaling.{name}", getattr(self, name))
        hold(self, "autoscaling")
        if 0 < self.interval_s < LEAST_INTERVAL_S:
            must = f"0, or between {LEAST_INTERVAL_S:g} and 600"
            raise ValueError(f"autoscaling.interval_s={self.interval_s:g}: must be {must}")
        self.signal.validate("autoscaling.signal")
        self.starts.validate("autoscaling.starts")
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"autoscaling.min_replicas={self.min_replicas}: must not exceed max_replicas={self.max_replicas}"
            )
