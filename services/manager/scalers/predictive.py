"""Target tracking ahead of time: of the load that is forecast for when a replica that is started now serves."""

import math
from typing import ClassVar

from services.bounds import Bounds
from services.manager.observation import Observation
from services.manager.windows import TimedMean

MOST_STEPS = 2.5
"""In a look. Of what was within a longer one nobody knows, and the same value again and again would be no trend. Looks
are whole numbers of steps as a rule, but for some milliseconds."""
STEPS_A_START = 5
"""Where no step is given: so many steps ahead is when a start is over, however long it takes."""
LEAST_STEP_S = 0.1
SEASONAL_STEP_S = 1.0
"""Where no step is given, but a season, of which steps must be a whole part."""


class Predictive:
    """Replicas for the larger of the load that is and the load that will be once a replica has started.

    The forecaster is exponential smoothing with a damped trend (Holt, 1957; Gardner and McKenzie, 1985), and an
    additive season (Winters, 1960) where `season_s` is given, by the formulas of Hyndman and Athanasopoulos,
    "Forecasting: Principles and Practice", 3rd ed., 8.2 and 8.3. The load is requests in flight, averaged over each
    `step_s`; where there is no season, a look that is longer than 2.5 of these is a step itself. Where `step_s` is not
    given, a step is a fifth of a start, and no shorter than a look: what is looked at more closely than it can be
    answered is noise. How far ahead is the start-up time that the manager has measured, in whole steps; `startup_s`
    until it has, in the run's seconds as that is. Like AWS' predictive scaling it only adds. Windows and rates are the
    wrapper's.
    """

    name: ClassVar[str] = "predictive"
    reads: ClassVar[frozenset[str]] = frozenset({"in_flight"})

    def __init__(
        self,
        *,
        target: float = 0.6,
        startup_s: float = 5.0,
        step_s: float = 0.0,
        level: float = 0.5,
        trend: float = 0.2,
        damping: float = 0.95,
        season_s: float = 0.0,
        season: float = 0.1,
    ) -> None:
        """`target`: requests in flight per slot; `startup_s`: how long a start takes, until one was measured, in the
        run's seconds; `step_s`: seconds of a value of the series, 0 = a fifth of a start, a look at least, with a
        season 1; `level`: smoothing of the level (alpha); `trend`: of the trend (beta*); `damping`: of the trend, a
        step (phi); `season_s`: seconds of a season, 0 = there is none; `season`: smoothing of the season (gamma).
        """
        Bounds(0.01, 100).check("scaler.target", target)
        Bounds(0, 3600).check("scaler.startup_s", startup_s)
        if step_s:
            Bounds(LEAST_STEP_S, 3600).check("scaler.step_s", step_s)
        Bounds(0.01, 1).check("scaler.level", level)
        Bounds(0, 1).check("scaler.trend", trend)
        Bounds(0, 1).check("scaler.damping", damping)
        Bounds(0, 604_800).check("scaler.season_s", season_s)
        Bounds(0, 1).check("scaler.season", season)
        if season_s:
            step_s = step_s or SEASONAL_STEP_S
            if round(season_s / step_s) < 2 or abs(season_s / step_s - round(season_s / step_s)) > 1e-6:
                must = f"must be two or more whole steps of scaler.step_s={step_s:g}, or 0"
                raise ValueError(f"scaler.season_s={season_s:g}: {must}")
        self._target = target
        self._startup_s = startup_s
        self._given_s = step_s
        """Seconds of a step; 0 = they follow from starts."""
        self._look_s = MOST_STEPS * step_s if step_s and not season_s else math.inf
        """Looks that are longer are values themselves."""
        self._step_s = 0.0
        """What the last value was the mean of; 0 = there was none."""
        self._forecaster = Smoothing(level, trend, damping, season, round(season_s / step_s) if season_s else 0)
        self._at: float | None = None
        self._loads = TimedMean(step_s)
        """Of the last step, whenever it began."""
        self._filled_s = 0.0
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
        measured_s, factor, look_s = observation.startup_s, observation.time_factor, now - since
        ahead_s = self._startup_s * factor if measured_s is None else measured_s
        step_s = self._given_s or max(LEAST_STEP_S, ahead_s / STEPS_A_START, look_s)
        if look_s > self._look_s:
            step_s, self._filled_s, self._sum = look_s, 0.0, 0.0
        self._add(observation.in_flight, look_s, step_s)
        self._loads.keep(step_s)
        self._loads.add(observation.in_flight, since, now)
        is_now = self._loads.over(step_s, now) or 0.0
        will_be = self._forecaster.ahead(math.ceil(ahead_s / step_s - 1e-9))
        ahead = "no forecast yet" if will_be is None else f"in {ahead_s / factor:.1f} s {will_be:.2f} by the forecast"
        self.why = f"{is_now:.2f} in flight, {ahead}"
        each = sum(slots) / len(slots)
        return max(is_now, will_be or 0.0) / (each * self._target)

    def _add(self, load: float, length_s: float, step_s: float) -> None:
        """`load` was the mean of the last `length_s` seconds; a step is `step_s` long from now on."""
        if self._step_s and self._step_s != step_s:
            self._forecaster.stretch(step_s / self._step_s)
        self._step_s = step_s
        while self._filled_s + length_s >= step_s - 1e-9:
            part_s = max(0.0, step_s - self._filled_s)
            self._forecaster.add((self._sum + load * part_s) / (self._filled_s + part_s))
            length_s -= part_s
            self._filled_s = self._sum = 0.0
        if length_s > 1e-9:
            self._filled_s += length_s
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

    def stretch(self, factor: float) -> None:
        """Steps are so many times as long from now on, and with them what the trend adds in one."""
        self._trend *= factor

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
