"""What the router can be told, with defaults, units and bounds."""

from dataclasses import dataclass, field

TICK_S = 0.1
"""How often leases and ejections are looked at, seconds."""
DRAIN_S = 5.0
"""Longest wait for requests in flight after SIGTERM, seconds."""


def check(section: str, settings: object, bounds: dict[str, tuple[float, float]]) -> None:
    """Hold fields against their bounds.

    Raises:
        ValueError: `section.field=value: must be between low and high`.
    """
    for name, (low, high) in bounds.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise ValueError(f"{section}.{name}={value:g}: must be between {low:g} and {high:g}")


@dataclass
class HealthCheckSettings:
    """Active health checks: `GET /readyz` of every replica."""

    interval_s: float = 0.5
    """Mean seconds between two checks of one replica."""
    jitter: float = 0.2
    """Each interval is drawn from interval * (1 - jitter, 1 + jitter), so that checks do not fall together."""
    timeout_s: float = 1.0
    """A check without an answer by then has failed."""
    unhealthy_threshold: int = 2
    """Failed checks in a row that take a replica out."""
    healthy_threshold: int = 2
    """Passed checks in a row that bring it back."""


@dataclass
class EjectionSettings:
    """Passive ejection: a replica that fails at work is left out for a while (Envoy's outlier detection)."""

    consecutive_failures: int = 5
    """Failed attempts in a row that eject (Envoy's default)."""
    base_s: float = 2.0
    """First ejection, seconds; the k-th in a row lasts k times as long (Envoy's rule; its default is 30 s)."""
    max_s: float = 20.0
    """Longest ejection, seconds."""
    max_share: float = 0.5
    """No more than this share of the replicas is passively ejected at a time (one always may be)."""


@dataclass
class RetrySettings:
    """When a failed attempt is made again, on another replica."""

    max_attempts: int = 3
    """Attempts a request, the first included."""
    budget_ratio: float = 0.2
    """Retries per request (Finagle's and Envoy's default)."""
    budget_min_per_s: float = 3.0
    """Retries a second that are allowed whatever the traffic (Envoy's min_retry_concurrency is 3)."""
    budget_window_s: float = 10.0
    """How long a request adds to the budget, seconds (Finagle's ttl)."""
    max_body_bytes: int = 65_536
    """A larger request body is streamed and not kept, so the request is not retried once it is on its way."""


@dataclass
class TimeoutSettings:
    """How long the router waits."""

    connect_s: float = 0.5
    """For a connection to a replica."""
    attempt_s: float = 2.0
    """For the answer of one attempt (its headers, where it is longer than 64 KiB), once the request has been sent."""
    overall_s: float = 8.0
    """For the answer of a request, all attempts together, once its body is there."""
    idle_s: float = 30.0
    """Between two pieces of a body, in either direction and on either side."""


@dataclass
class RouterSettings:
    """All of it."""

    health: HealthCheckSettings = field(default_factory=HealthCheckSettings)
    ejection: EjectionSettings = field(default_factory=EjectionSettings)
    retry: RetrySettings = field(default_factory=RetrySettings)
    timeouts: TimeoutSettings = field(default_factory=TimeoutSettings)

    def validate(self) -> None:
        """Check every bound.

        Raises:
            ValueError: with the key, its value and its bounds.
        """
        check(
            "router.health",
            self.health,
            {
                "interval_s": (0.05, 600),
                "jitter": (0, 0.9),
                "timeout_s": (0.05, 60),
                "unhealthy_threshold": (1, 100),
                "healthy_threshold": (1, 100),
            },
        )
        check(
            "router.ejection",
            self.ejection,
            {
                "consecutive_failures": (1, 1000),
                "base_s": (0.1, 3600),
                "max_s": (0.1, 3600),
                "max_share": (0, 1),
            },
        )
        check(
            "router.retry",
            self.retry,
            {
                "max_attempts": (1, 10),
                "budget_ratio": (0, 10),
                "budget_min_per_s": (0, 1e6),
                "budget_window_s": (1, 60),
                "max_body_bytes": (0, 16 << 20),
            },
        )
        check(
            "router.timeouts",
            self.timeouts,
            {
                "connect_s": (0.01, 60),
                "attempt_s": (0.01, 600),
                "overall_s": (0.01, 600),
                "idle_s": (0.1, 3600),
            },
        )
