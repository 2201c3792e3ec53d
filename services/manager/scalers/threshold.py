"""Step scaling: an alarm on a threshold, and a change by how far it is breached."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from services.bounds import Bounds, Choices
from services.manager.observation import Observation
from services.manager.signals import OF_SLOTS, SIGNALS, shared
from services.manager.windows import TimedMean

UP: list[Any] = [{"breach": 10, "change": 10}, {"breach": 20, "change": 30}]
DOWN: list[Any] = [{"breach": -10, "change": -10}, {"breach": -20, "change": -30}]
"""The documentation's example."""
PER_CENT = 100.0


class Threshold:
    """AWS' step scaling (EC2 Auto Scaling User Guide, "Step and simple scaling policies", as of 2025).

    The metric is a signal of `services.manager.signals`: those of slots in per cent of the slots in rotation, as
    requests in flight are by default, those of replicas a replica; averaged over each `period_s`, as CloudWatch does.
    After so many periods in a row beyond the threshold the step that is breached furthest changes the number, and again
    at each period's end as long as that holds. Upwards the change is of those that have warmed up, and nothing is added
    that is there already but warms up; downwards nothing is done while one does: for `warmup_s` from when it first came
    into rotation. Rounded as there: down above 1, to 1 between 0 and 1, downwards likewise.
    """

    name: ClassVar[str] = "threshold"
    bounded_only: ClassVar[bool] = True

    def __init__(
        self,
        *,
        metric: str = "in_flight",
        threshold: float = 50.0,
        up: list[Any] = UP,
        down: list[Any] = DOWN,
        adjustment: str = "PercentChangeInCapacity",
        min_magnitude: int = 1,
        period_s: float = 60.0,
        up_periods: int = 1,
        down_periods: int = 1,
        warmup_s: float = 300.0,
    ) -> None:
        """`metric`: the signal; `threshold`: of it, as of in_flight per cent of the slots; `up`: a list of {breach,
        change}, the change from so many points above the threshold on; `down`: likewise, both below 0; `adjustment`:
        what a change is of (AdjustmentType); `min_magnitude`: a change in per cent is of so many at least
        (MinAdjustmentMagnitude); `period_s`: seconds of a value (Period); `up_periods`: beyond the threshold in a row,
        to go up (EvaluationPeriods); `down_periods`: likewise, to go down; `warmup_s`: a replica warms up for so long
        from its rotation on (EstimatedInstanceWarmup).
        """
        Choices(*SIGNALS).check("scaler.metric", metric)
        Bounds(0.1, 1e6).check("scaler.threshold", threshold)
        Choices("PercentChangeInCapacity", "ChangeInCapacity", "ExactCapacity").check("scaler.adjustment", adjustment)
        Bounds(1, 1000).check("scaler.min_magnitude", min_magnitude)
        Bounds(1, 3600).check("scaler.period_s", period_s)
        Bounds(1, 100).check("scaler.up_periods", up_periods)
        Bounds(1, 100).check("scaler.down_periods", down_periods)
        Bounds(0, 3600).check("scaler.warmup_s", warmup_s)
        self._metric = metric
        self.reads = frozenset({metric})
        self._unit = PER_CENT if metric in OF_SLOTS else 1.0
        self._threshold = threshold
        self._up = _steps(up, "scaler.up", 1, adjustment)
        self._down = _steps(down, "scaler.down", -1, adjustment)
        self._adjustment = adjustment
        self._magnitude = min_magnitude
        self._period_s = period_s
        self._periods = {1: up_periods, -1: down_periods}
        self._warmup_s = warmup_s
        self._seen = TimedMean(period_s)
        self._at: float | None = None
        self._period_at = 0.0
        """When the period under way began."""
        self._points: list[float] = []
        """Of the periods that are over, the latest last."""
        self._ready_since: dict[str, float] = {}
        """When each first came into rotation."""
        self._present = 0
        self.why = ""

    def decide(self, observation: Observation, now: float) -> float | None:
        """The number, another one at a period's end only; None where nothing was seen yet."""
        since, self._at = self._at, now
        self._warm(observation, now, is_first=since is None)
        seen = shared(observation, self._metric)
        if since is None:
            self._period_at = now
        elif seen is not None:
            self._seen.add(self._unit * seen[0] / seen[1], since, now)
        if now < self._period_at + self._period_s - 1e-9:
            self.why = "between two periods"
            return float(observation.current) if self._points else None
        point = self._seen.over(now - self._period_at, now)
        self._period_at = now
        if point is None:  # insufficient data: neither alarm
            self._points.clear()
            self.why = "nothing was seen in the period"
            return None
        self._points = [*self._points, point][-max(self._periods.values()) :]
        warming = self._warming(observation.current, now)
        way = next((word for word, steps, sign in (("up", self._up, 1), ("down", self._down, -1))
                    if self._breached(steps, sign) is not None), None)  # fmt: skip
        of = "% of the slots" if self._metric in OF_SLOTS else self._metric
        self.why = f"{point:.1f} {of}, {f'alarm {way}' if way else 'no alarm'}, {warming} warm up"
        return float(self.step(observation.current, warming))

    def _warm(self, observation: Observation, now: float, *, is_first: bool) -> None:
        """Those of the first look have been there for long."""
        since = float("-inf") if is_first else now
        known = self._ready_since
        self._ready_since = {r.id: known.get(r.id, since) for r in observation.replicas if r.ready or r.id in known}
        self._present = len(observation.replicas)

    def _warming(self, current: int, now: float) -> int:
        """Of those that there are or are wanted: who has not begun to start will have to warm up, too."""
        warm = sum(since <= now - self._warmup_s for since in self._ready_since.values())
        return max(self._present, current) - warm

    def step(self, current: int, warming: int) -> int:
        """The number after the alarms of the last periods, where so many of `current` warm up."""
        up, down = self._breached(self._up, 1), self._breached(self._down, -1)
        if up is not None:
            return max(current, self._changed(max(0, current - warming), up))
        if down is not None and not warming:
            return max(0, min(current, self._changed(current, down)))
        return current

    def _breached(self, steps: Sequence[tuple[float, float]], sign: int) -> float | None:
        """The change of the step that the latest period breaches furthest; None = there is no alarm."""
        count = self._periods[sign]
        nearest = min(breach * sign for breach, _ in steps)
        beyond = [(point - self._threshold) * sign + 1e-9 for point in self._points[-count:]]
        if len(beyond) < count or min(beyond) < nearest:
            return None
        return next((change for breach, change in reversed(steps) if beyond[-1] >= breach * sign), None)

    def _changed(self, capacity: int, change: float) -> int:
        if self._adjustment == "ExactCapacity":
            return round(change)
        if self._adjustment == "ChangeInCapacity":
            return capacity + round(change)
        amount = capacity * abs(change) / PER_CENT
        whole = max(math.floor(amount + 1e-9), self._magnitude) if amount > 0 else 0
        return capacity + (whole if change > 0 else -whole)


def _steps(content: Sequence[Any], key: str, sign: int, adjustment: str) -> list[tuple[float, float]]:
    """Breach and change of each, the nearest to the threshold first.

    Raises:
        ValueError: with the key, its value and what it must be.
    """
    if not content:
        raise ValueError(f"{key}=[]: must have one step at least, as [{{breach: {10 * sign}, change: {10 * sign}}}]")
    steps = []
    for number, step in enumerate(content):
        where = f"{key}.{number}"
        if not isinstance(step, Mapping) or set(step) != {"breach", "change"}:
            raise ValueError(f"{where}={step}: must be a section with breach, change")
        for name, value in step.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{where}.{name}={value}: must be a number")
        (Bounds(0, 1e4) if sign > 0 else Bounds(-1e4, 0)).check(f"{where}.breach", step["breach"])
        change, is_exact = step["change"], adjustment == "ExactCapacity"
        Bounds(0 if is_exact else -1e4, 1e4).check(f"{where}.change", change)
        if adjustment != "PercentChangeInCapacity" and change != round(change):
            raise ValueError(f"{where}.change={change}: must be a whole number where adjustment={adjustment}")
        steps.append((float(step["breach"]), float(step["change"])))
    return sorted(steps, key=lambda step: step[0] * sign)
