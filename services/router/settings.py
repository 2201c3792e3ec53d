"""What the router can be told, with defaults, units and bounds."""

from dataclasses import dataclass, field
from typing import Annotated

from services.bounds import Bounds, Choices, hold, written

TICK_S = 0.1
"""How often leases and ejections are looked at, seconds."""
DRAIN_S = 5.0
"""Longest wait for requests in flight after SIGTERM, seconds."""
SETTLE_S = 0.1
"""Nothing must have been in flight for so long before a router ends: the next request may be on its way, seconds."""

KEEPALIVE_S = 15.0
"""Idle connections to replicas are closed by the router first: the replicas wait for 75 s (caddy #6452), what lies
between for minutes (Azure's load balancer 240 s, AWS' NLB 350 s)."""


@dataclass
class HealthCheckSettings:
    """Active health checks: `GET /readyz` of every replica."""

    enabled: bool = True
    """False: nobody is asked. A replica is in rotation from its registration on; passive ejection, its lease and its
    farewell alone take it out."""
    interval_s: Annotated[float, Bounds(0.05, 600)] = 0.5
    """Mean seconds between two checks of one replica."""
    jitter: Annotated[float, Bounds(0, 0.9)] = 0.2
    """Each interval is drawn from interval * (1 - jitter, 1 + jitter), so that checks do not fall together."""
    timeout_s: Annotated[float, Bounds(0.05, 60)] = 1.0
    """A check without an answer by then has failed."""
    unhealthy_threshold: Annotated[int, Bounds(1, 100)] = 2
    """Failed checks in a row that take a replica out."""
    healthy_threshold: Annotated[int, Bounds(1, 100)] = 2
    """Passed checks in a row that bring it back."""
    panic_threshold: Annotated[float, Bounds(0, 1)] = 0.5
    """Where checks find less than this share of the replicas healthy, what they say is ignored, and only failures at
    work keep a replica out (Envoy's panic threshold and its default); 0 = never."""


@dataclass
class EjectionSettings:
    """Passive ejection: a replica that fails at work is left out for a while (Envoy's outlier detection)."""

    enabled: bool = True
    """False: nobody is ejected for failing at work; health checks alone decide who is in rotation."""
    consecutive_failures: Annotated[int, Bounds(1, 1000)] = 5
    """Failed attempts in a row that eject (Envoy's default)."""
    refused: bool = True
    """True: a refused connection ejects at once, since nobody listens there; false: it is one failure of a row."""
    base_s: Annotated[float, Bounds(0.1, 3600)] = 2.0
    """First ejection, seconds; the k-th in a row lasts k times as long (Envoy's rule; its default is 30 s)."""
    max_s: Annotated[float, Bounds(0.1, 3600)] = 20.0
    """Longest ejection, seconds."""
    max_share: Annotated[float, Bounds(0, 1)] = 0.5
    """No more than this share of the replicas is passively ejected at a time (one always may be: Envoy's
    `always_eject_one_host`)."""


@dataclass
class RetrySettings:
    """When a failed attempt is made again: on another replica, on the same where no other is left (`retries.py`)."""

    max_attempts: Annotated[int, Bounds(1, 10)] = 3
    """Attempts a request, the first included."""
    other_replica: bool = True
    """True: on a replica that the request has not tried, while there is one; false: on whomever the policy picks, the
    same one included (Envoy without its `previous_hosts` predicate)."""
    backoff_base_s: Annotated[float, Bounds(0, 60)] = 0.0
    """The k-th retry waits for a random time up to 2^(k - 1) times this, seconds ("full jitter"; Envoy's is 0.025); 0 =
    it is made at once, elsewhere."""
    backoff_max_s: Annotated[float, Bounds(0, 600)] = 0.25
    """Longest wait before a retry, seconds (Envoy's: ten times its base)."""
    budget: Annotated[str, Choices("window", "concurrent", "throttle")] = "window"
    """What bounds the retries of all requests together: `window` (a share of the last seconds' requests: Finagle),
    `concurrent` (a share of the attempts under way: Envoy), `throttle` (none while failures prevail: gRPC)."""
    budget_ratio: Annotated[float, Bounds(0, 10)] = 0.2
    """Of `window` and `concurrent`: retries per request (Finagle's and Envoy's default)."""
    budget_min_per_s: Annotated[float, Bounds(0, 1_000_000)] = 3.0
    """Of `window`: retries a second that are allowed whatever the traffic (Finagle's default is 10)."""
    budget_window_s: Annotated[float, Bounds(1, 60)] = 10.0
    """Of `window`: how long a request adds to the budget, seconds (Finagle's ttl)."""
    budget_min_concurrent: Annotated[int, Bounds(0, 1_000_000)] = 3
    """Of `concurrent`: retries under way that are allowed whatever the traffic (Envoy's min_retry_concurrency)."""
    throttle_tokens: Annotated[float, Bounds(1, 1000)] = 10.0
    """Of `throttle`: the most tokens; a failed attempt takes one, and retries need more than half of them (gRPC's
    maxTokens)."""
    throttle_ratio: Annotated[float, Bounds(0.001, 1000)] = 0.1
    """Of `throttle`: tokens that a good answer brings (gRPC's tokenRatio)."""
    max_body_bytes: Annotated[int, Bounds(0, 16 << 20)] = 65_536
    """A larger request body is streamed and not kept, so the request is not retried once it is on its way."""


@dataclass
class HedgingSettings:
    """A second attempt beside one that is slow: elsewhere, of requests that may be sent twice (`patience.py`)."""

    enabled: bool = False
    """True: the first good answer wins, and the other attempt is cancelled."""
    percentile: Annotated[float, Bounds(0.5, 0.999)] = 0.95
    """The second attempt is made when the first has no answer after this share of the latest attempts had theirs (The
    Tail at Scale: 0.95)."""
    budget_ratio: Annotated[float, Bounds(0, 1)] = 0.05
    """Second attempts per request of the last 10 s, at most (Finagle's maxExtraLoad); `router.retry.budget` pays for
    them, too."""
    min_delay_s: Annotated[float, Bounds(0.001, 60)] = 0.001
    """Not before so many seconds (Finagle's minSendBackupAfterMs)."""


@dataclass
class TimeoutSettings:
    """How long the router waits."""

    connect_s: Annotated[float, Bounds(0.01, 60)] = 0.5
    """For a connection to a replica."""
    attempt_s: Annotated[float, Bounds(0.01, 600)] = 2.0
    """For the answer of one attempt (its headers, where it is longer than 64 KiB), once the request has been sent;
    at most `overall_s`."""
    adaptive_factor: Annotated[float, Bounds(0, 1000)] = 0.0
    """An attempt is given up after so many times a percentile of the latest attempts' times, if the request may be
    tried again; else it keeps `attempt_s`. 0 = off."""
    adaptive_percentile: Annotated[float, Bounds(0.5, 0.999)] = 0.99
    """Which percentile that is."""
    adaptive_floor_s: Annotated[float, Bounds(0.001, 600)] = 0.1
    """No attempt is given up so before so many seconds."""
    overall_s: Annotated[float, Bounds(0.01, 600)] = 8.0
    """For the answer of a request, all attempts together, once its body is there."""
    head_s: Annotated[float, Bounds(0.1, 3600)] = 60.0
    """For the head of a request, from its first byte on (nginx's default)."""
    idle_s: Annotated[float, Bounds(0.1, 3600)] = 30.0
    """Between two pieces of a body, in either direction and on either side; how long an answer may take to begin is
    `attempt_s`."""
    told: bool = False
    """Replicas are told how long an attempt is waited for (`X-Aegis-Deadline-Ms`), also where the client has not
    said how long it waits; where it has, they always are."""


@dataclass
class LimitSettings:
    """How much may be in flight; beyond it a request is answered 503 at once (`limits.py`)."""

    standing_share: Annotated[float, Bounds(0, 1)] = 0.5
    """A request is refused where the line before the replicas' slots stays longer than so much of `timeouts.attempt_s`,
    or grows as chance does not make it grow (`standing_line.py`). 0 = never; nor is it where a replica has not said how
    many slots it has."""
    adaptive: bool = False
    """True: the attempts under way at all replicas are limited, by how their latency moves (Netflix' Gradient2, whose
    defaults the following are)."""
    initial: Annotated[int, Bounds(1, 100_000)] = 20
    """What the limit begins with."""
    least: Annotated[int, Bounds(1, 100_000)] = 20
    """It never falls below this."""
    most: Annotated[int, Bounds(1, 100_000)] = 200
    """Nor does it rise above this."""
    queue: Annotated[float, Bounds(0, 10_000)] = 4.0
    """Room to grow: how much the limit aims above what latency says."""
    smoothing: Annotated[float, Bounds(above=0, most=1)] = 0.2
    """The share of a window's finding that the limit takes over."""
    tolerance: Annotated[float, Bounds(1, 100)] = 1.5
    """So many times its long mean latency may be before the limit shrinks."""
    long_windows: Annotated[int, Bounds(1, 100_000)] = 600
    """Memory of the long mean, in windows."""
    window_s: Annotated[float, Bounds(0.1, 60)] = 1.0
    """Answers are averaged over so many seconds (its WindowedLimit)."""
    replica_requests: Annotated[int, Bounds(0, 100_000)] = 0
    """Circuit breaking: the most attempts under way at one replica, which is left out meanwhile; 0 = no limit. Envoy's
    `max_requests` (1,024 by default) counts those of a whole cluster, HAProxy's `maxconn` those of a server."""


@dataclass
class RouterSettings:
    """All of it."""

    health: HealthCheckSettings = field(default_factory=HealthCheckSettings)
    ejection: EjectionSettings = field(default_factory=EjectionSettings)
    retry: RetrySettings = field(default_factory=RetrySettings)
    hedging: HedgingSettings = field(default_factory=HedgingSettings)
    timeouts: TimeoutSettings = field(default_factory=TimeoutSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)

    def validate(self, name: str = "router") -> None:
        """Check every bound, and that no key caps another one without a word.

        Args:
            name: what the keys begin with.

        Raises:
            ValueError: with the key, its value and its bounds.
        """
        hold(self, name)
        if self.ejection.max_share == 0:
            raise ValueError(
                f"{name}.ejection.max_share=0: must be above 0, since one replica always may be ejected; "
                f"{name}.ejection.enabled=false turns ejection off"
            )
        caps = (
            ("timeouts", "attempt_s", "overall_s"),
            ("ejection", "base_s", "max_s"),
            ("retry", "backoff_base_s", "backoff_max_s"),
            ("limits", "least", "initial"),
            ("limits", "initial", "most"),
        )
        for section, key, cap in caps:
            settings = getattr(self, section)
            value, most = getattr(settings, key), getattr(settings, cap)
            if value > most:
                raise ValueError(
                    f"{name}.{section}.{key}={written(value)}: must be at most {name}.{section}.{cap}={written(most)}; "
                    "set both"
                )
