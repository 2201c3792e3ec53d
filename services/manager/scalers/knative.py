"""Knative's pod autoscaler (KPA): a long window, and a short one in which it panics."""

import math
from typing import ClassVar

from services.bounds import Bounds, Choices
from services.manager.observation import Observation
from services.manager.windows import TimedMean

PER_CENT = 100.0
RPS = 200.0
"""requests-per-second-target-default."""


class Knative:
    """knative/serving, pkg/autoscaler/scaling/autoscaler.go, tests at 01f103ef3c89; defaults of config-autoscaler.

    Wanted is the load over `target` a replica, in the mean of the stable window, within the rates. Where the mean of
    the panic window asks for `panic_threshold` times those that are ready, it panics: the larger of both windows, and
    never fewer, until that was not so for a stable window. It also begins in panic where there is more than one. What
    it wants of nobody is 0, which the bounds lift. Not here: the activator and its burst capacity, which send requests,
    and revisions that cannot be reached.
    """

    name: ClassVar[str] = "knative"
    reads: ClassVar[frozenset[str]] = frozenset({"in_flight", "rate_rps"})
    bounded_only: ClassVar[bool] = True
    every_s: ClassVar[float] = 2.0
    """tick-interval."""

    def __init__(
        self,
        *,
        metric: str = "concurrency",
        target: float = 0.0,
        target_utilization: float = 70.0,
        stable_window_s: float = 60.0,
        panic_window: float = 10.0,
        panic_threshold: float = 200.0,
        max_scale_up_rate: float = 1000.0,
        max_scale_down_rate: float = 2.0,
        scale_down_delay_s: float = 0.0,
        activation_scale: int = 1,
    ) -> None:
        """`metric`: concurrency, requests in flight, or rps, requests a second; `target`: of it a replica, 0 = its
        slots (containerConcurrency), 200 where metric=rps; `target_utilization`: per cent of the target to aim at
        (container-concurrency-target-percentage); `stable_window_s`: of the mean that counts (stable-window);
        `panic_window`: per cent of it (panic-window-percentage); `panic_threshold`: per cent of those that are ready,
        asked for in the panic window (panic-threshold-percentage); `max_scale_up_rate`: times as many at once;
        `max_scale_down_rate`: this part of them at once; `scale_down_delay_s`: the highest number of so long counts;
        `activation_scale`: the fewest where there is any load.
        """
        Choices("concurrency", "rps").check("scaler.metric", metric)
        Bounds(0, 1e6).check("scaler.target", target)
        Bounds(1, 100).check("scaler.target_utilization", target_utilization)
        Bounds(6, 3600).check("scaler.stable_window_s", stable_window_s)
        Bounds(1, 100).check("scaler.panic_window", panic_window)
        Bounds(110, 1000).check("scaler.panic_threshold", panic_threshold)
        Bounds(1.01, 1e6).check("scaler.max_scale_up_rate", max_scale_up_rate)
        Bounds(1.01, 1e6).check("scaler.max_scale_down_rate", max_scale_down_rate)
        Bounds(0, 3600).check("scaler.scale_down_delay_s", scale_down_delay_s)
        Bounds(1, 10_000).check("scaler.activation_scale", activation_scale)
        self._metric = metric
        self._target = target
        self._utilization = target_utilization / PER_CENT
        self._stable_s = stable_window_s
        self._panic_s = stable_window_s * panic_window / PER_CENT
        self._threshold = panic_threshold / PER_CENT
        self._up, self._down = max_scale_up_rate, max_scale_down_rate
        self._delay_s = scale_down_delay_s
        self._activation = activation_scale
        self._seen = TimedMean(stable_window_s)
        self._at: float | None = None
        self._panics_since: float | None = None
        self._panic_most = 0
        self._wanted: list[tuple[float, int]] = []
        self.why = ""

    def decide(self, observation: Observation, now: float) -> float | None:
        """The number after windows and rates; None where nothing was seen yet."""
        since, self._at = self._at, now
        if since is None:
            self._panic_most = observation.ready
            self._panics_since = now if observation.ready > 1 else None
        value = observation.in_flight if self._metric == "concurrency" else observation.rate_rps
        if value is not None and since is not None:
            self._seen.add(value, since, now)
        stable, panic = self._seen.over(self._stable_s, now), self._seen.over(self._panic_s, now)
        if stable is None or panic is None:
            self.why = f"its metric was not seen in the {'stable' if stable is None else 'panic'} window"
            return None
        each = self._each(observation)
        number = self.scale(stable, panic, each, observation.ready, now)
        mode = "stable" if self._panics_since is None else f"panics, no fewer than {self._panic_most}"
        self.why = f"mean {stable:.2f}, {panic:.2f} in the panic window, {each:.2f} a replica; {mode}"
        return float(number)

    def _each(self, observation: Observation) -> float:
        """What a replica is to have."""
        own = observation.slots_each if self._metric == "concurrency" else RPS
        return (self._target or own) * self._utilization

    def scale(self, stable: float, panic: float, each: float, ready: int, now: float) -> int:
        """The number of replicas for those means of both windows, `each` of it a replica."""
        there = max(1, ready)
        most, least = math.ceil(self._up * there), math.floor(there / self._down)
        asked, asked_in_panic = math.ceil(stable / each), math.ceil(panic / each)
        wanted = int(min(max(asked, least), most))
        wanted_in_panic = int(min(max(asked_in_panic, least), most))
        if self._activation > 1:
            wanted = max(wanted, self._activation) if asked > 0 else wanted
            wanted_in_panic = max(wanted_in_panic, self._activation) if asked_in_panic > 0 else wanted_in_panic
        if asked_in_panic / there >= self._threshold:
            self._panics_since = now
        elif self._panics_since is not None and self._panics_since + self._stable_s < now:
            self._panics_since, self._panic_most = None, 0
        if self._panics_since is not None:
            self._panic_most = wanted = max(wanted, wanted_in_panic, self._panic_most)
        return self._delayed(wanted, now)

    def _delayed(self, wanted: int, now: float) -> int:
        """The highest number of the delay."""
        if self._delay_s == 0:
            return wanted
        self._wanted = [(at, number) for at, number in self._wanted if at > now - self._delay_s]
        self._wanted.append((now, wanted))
        return max(number for _, number in self._wanted)
