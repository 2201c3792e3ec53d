"""Target tracking ahead of time: of the load that is forecast for when a replica that is started now serves."""

import math
from typing import ClassVar

from services.bounds import Bounds
from services.manager.observation import Observation

MOST_STEPS = 2.5
"""In a look. Of what was within a longer one nobody knows, and the same value again and again would be no trend. Looks
are whole numbers of steps as a rule, but for some milliseconds."""


class Predictive:
    """Replicas for the larger of the load that is and the load that will be once a replica has started.

    The forecaster is exponential smoothing with a damped trend (Holt, 1957; Gardner and McKenzie, 1985), and an
    additive season (Winters, 1960) where `season_s` is given, by the formulas of Hyndman and Athanasopoulos,
    "Forecasting: Principles and Practice", 3rd ed., 8.2 and 8.3. The load is requests in flight, averaged over each
    `step_s`; where there is no season, a look that is longer than 2.5 of these is a step itself. How far ahead is the
    start-up time that the manager has measured, in whole steps; `startup_s` until it has, in the run's seconds as that
    is. Like AWS' predictive scaling it only adds. Windows and rates are the wrapper's.
    """

    name: ClassVar[str] = "predictive"
    reads: ClassVar[frozenset[str]] = frozenset({"in_flight"})

    def __init__(
        self,
        *,
        target: float = 0.6,
        startup_s: float = 5.0,
        step_s: float = 1.0,
        level: float = 0.5,
        trend: float = 0.2,
        damping: float = 0.95,
        season_s: float = 0.0,
        season: float = 0.1,
    ) -> None:
        """`target`: requests in flight per slot; `startup_s`: how long a start takes, until one was measured, in the
        run's seconds; `step_s`: seconds of a value of the series; `level`: smoothing of the level (alpha); `trend`: of
        the trend (beta*); `damping`: of the trend, a step (phi); `season_s`: seconds of a season, 0 = there is none;
        `season`: smoothing of the season (gamma).
        """
        Bounds(0.01, 100).check("scaler.target", target)
        Bounds(0, 3600).check("scaler.startup_s", startup_s)
        Bounds(0.1, 3600).check("scaler.step_s", step_s)
        Bounds(0.01, 1).check("scaler.level", level)
        Bounds(0, 1).check("scaler.trend", trend)
        Bounds(0, 1).check("scaler.damping", damping)
        Bounds(0, 604_800).check("scaler.season_s", season_s)
        Bounds(0, 1).check("scaler.season", season)
        if season_s and (round(season_s / step_s) < 2 or abs(season_s / step_s - round(season_s / step_s)) > 1e-6):
            raise ValueError(
                f"scaler.season_s={season_s:g}: must be two or more whole steps of scaler.step_s={step_s:g}, or 0"
            )
        self._target = target
        self._startup_s = startup_s
        self._step_s = step_s
        self._look_s = math.inf if season_s else MOST_STEPS * step_s
        """Looks that are longer are values themselves."""
        self._value_s = step_s
        """What the last value was the mean of."""
        self._forecaster = Smoothing(level, trend, damping, season, round(season_s / step_s))
        self._at: float | None = None
        self._left_s = step_s
        """Of the step under way."""
        self._sum = 0.0
        """Request-seconds in it."""
        self.why = ""

    def decide(self, observation: Observation, now: float) -> float | None:
        """The number; None where no replica is in rotation, or nothing was seen before."""
        since = self._at
        if since is None or observation.in_flight is not None:  # what is seen next is of the time without it, too
            self._at = now
        slots = observation.slots_ready
        if observation.in_flight is None or since is None or not slots:
            self.why = "nobody is in rotation" if not slots else "nothing was seen before"
            return None
        self._add(observation.in_flight, now - since)
        measured_s, factor = observation.startup_s, observation.time_factor
        ahead_s = self._startup_s * factor if measured_s is None else measured_s
        will_be = self._forecaster.ahead(math.ceil(ahead_s / self._value_s - 1e-9))
        ahead = "no forecast yet" if will_be is None else f"in {ahead_s / factor:.1f} s {will_be:.2f} by the forecast"
        self.why = f"{observation.in_flight:.2f} in flight, {ahead}"
        each = sum(slots) / len(slots)
        return max(observation.in_flight, will_be or 0.0) / (each * self._target)

    def _add(self, load: float, length_s: float) -> None:
        """`load` was the mean of the last `length_s` seconds."""
        if length_s > self._look_s:
            self._forecaster.add(load)
            self._value_s, self._left_s, self._sum = length_s, self._step_s, 0.0
            return
        self._value_s = self._step_s
        while length_s >= self._left_s - 1e-9:
            self._forecaster.add((self._sum + load * self._left_s) / self._step_s)
            length_s -= self._left_s
            self._left_s, self._sum = self._step_s, 0.0
        if length_s > 0:
            self._left_s -= length_s
            self._sum += load * length_s


class Smoothing:
    """Holt-Winters with a damped trend and additive season of `period` steps; 0 = none."""

    def __init__(self, alpha: float, beta: float, phi: float, gamma: float, period: int) -> None:
        self._alpha, self._beta, self._phi, self._gamma = alpha, beta, phi, gamma
        self._level: float | None = None
        self._trend = 0.0
        self._season = [0.0] * max(1, period)
        self._is_seasonal = period > 1
        self._step = 0
        """How many values there were."""

    def begin(self, level: float, trend: float = 0.0) -> None:
        """The first value, and the trend to begin with."""
        self._level, self._trend, self._step = level, trend, 1

    def add(self, value: float) -> None:
        """The next value."""
        if self._level is None:
            self.begin(value)
            return
        place = self._step % len(self._season)
        self._step += 1
        season, expected = self._season[place], self._level + self._phi * self._trend
        level = self._alpha * (value - season) + (1 - self._alpha) * expected
        self._trend = self._beta * (level - self._level) + (1 - self._beta) * self._phi * self._trend
        if self._is_seasonal:
            self._season[place] = self._gamma * (value - expected) + (1 - self._gamma) * season
        self._level = level

    def ahead(self, steps: int) -> float | None:
        """The forecast of the value `steps` after the last; None = there was none."""
        if self._level is None:
            return None
        phi = self._phi
        damped = steps if phi == 1 else phi * (1 - phi**steps) / (1 - phi)
        season = self._season[(self._step - 1 + steps) % len(self._season)]
        return max(0.0, self._level + damped * self._trend + season)
