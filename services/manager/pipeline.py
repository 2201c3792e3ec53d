"""What lies between the truth and the scaler: metrics are averaged, come late, and are missing. Pure: told the time.

As where metrics are scraped: metrics-server takes CPU every 15 s (`--metric-resolution`) over windows of about that,
Prometheus a minute apart by default, CloudWatch has values of a minute. Readiness, the number that is wanted and how
long starts take come from elsewhere, and are true.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.draws import uniform
from services.manager.observation import Observation, ReplicaLoad
from services.manager.settings import SignalSettings

TOLERANCE_S = 0.01
"""Looks that are so near to a sample's end are at it: an event loop's timers are not exact."""
OF_REPLICAS = ("in_flight", "rate_rps", "busy", "cpu")
OF_ALL = ("in_flight", "rate_rps", "offered_rps", "busy", "cpu")


@dataclass(frozen=True, slots=True)
class Sample:
    """The metrics of one stretch of time."""

    at: float
    """When it was over."""
    window_s: float
    """How long it was."""
    metrics: Observation | None
    """None = it is missing."""


class Pipeline:
    """Shows the last sample that has come through, instead of what was seen at this look."""

    def __init__(self, settings: SignalSettings, seed: int, time_factor: float = 1.0) -> None:
        """Its seconds of delay and resolution pass `time_factor` times as fast, as the scaler's do; `seed` draws which
        samples are missing."""
        self._settings = settings
        self._seed = seed
        self._delay_s = settings.delay_s / time_factor
        self._resolution_s = settings.resolution_s / time_factor
        self._is_there = settings.is_set
        self._at: float | None = None
        """The last look."""
        self._began = 0.0
        """The first one."""
        self._since = 0.0
        """When the sample under way began."""
        self._pieces: list[tuple[float, Observation]] = []
        """How long each look of it is of, and what it showed."""
        self._number = 0
        self._samples: deque[Sample] = deque()
        """The newest that has come through, and those that are on their way."""
        self._known: Sample | None = None
        """The newest that has come through and is not missing."""

    def see(self, truth: Observation, now: float) -> Observation:
        """What the scaler sees at `now`, which never runs back; without a pipeline the truth itself."""
        if not self._is_there:
            return truth
        before, self._at = self._at, now
        if before is None:
            self._began = self._since = now
        else:
            self._pieces.append((now - before, truth))
            if now >= self._ends - TOLERANCE_S:
                self._take(now)
        return self._shown(truth, now)

    @property
    def _ends(self) -> float:
        """When the sample under way is over: at multiples of the resolution, counted from the first look."""
        if self._resolution_s == 0:
            return self._since
        number = int((self._since - self._began + TOLERANCE_S) / self._resolution_s)
        return self._began + (number + 1) * self._resolution_s

    def _take(self, now: float) -> None:
        self._number += 1
        is_missing = self._is_missing(self._number, now - self._began)
        metrics = None if is_missing else averaged(self._pieces)
        self._samples.append(Sample(now, now - self._since, metrics))
        self._since, self._pieces = now, []

    def _is_missing(self, number: int, at_s: float) -> bool:
        settings = self._settings
        if any(first <= at_s < last for first, last in settings.missing):
            return True
        return settings.gaps > 0 and uniform(self._seed, str(number), "manager", "1", "gap") < settings.gaps

    def _shown(self, truth: Observation, now: float) -> Observation:
        limit = now - self._delay_s + TOLERANCE_S
        while self._samples and self._samples[0].at <= limit:
            newest = self._samples.popleft()
            if newest.metrics is not None or not self._settings.stale:
                self._known = newest
        known = self._known
        if known is None or known.metrics is None:
            return with_metrics(truth, None, 0.0, None)
        return with_metrics(truth, known.metrics, now - known.at, known.window_s)


def averaged(pieces: list[tuple[float, Observation]]) -> Observation:
    """The mean over looks of so many seconds each, of what was seen in them; of latencies all together."""
    if len(pieces) == 1:
        return pieces[0][1]
    of_each: dict[str, list[tuple[float, ReplicaLoad]]] = {}
    for length_s, seen in pieces:
        for load in seen.replicas:
            of_each.setdefault(load.id, []).append((length_s, load))
    last = pieces[-1][1]
    replicas = [_with(loads[-1][1], {name: _mean(loads, name) for name in OF_REPLICAS}) for loads in of_each.values()]
    known = [seen.latencies for _, seen in pieces if seen.latencies is not None]
    latencies: Counter[float] = Counter()
    for each in known:
        latencies.update(each)
    means: Any = {name: _mean(pieces, name) for name in OF_ALL}
    return replace(last, replicas=replicas, latencies=latencies if known else None, **means)


def _with(load: ReplicaLoad, numbers: Mapping[str, Any]) -> ReplicaLoad:
    return replace(load, **numbers)


def _mean(pieces: Iterable[tuple[float, object]], name: str) -> float | None:
    """Of a number, over the seconds in which it was seen; None = it never was."""
    seen = [(length_s, value) for length_s, each in pieces if (value := getattr(each, name)) is not None]
    whole_s = sum(length_s for length_s, _ in seen)
    return sum(length_s * value for length_s, value in seen) / whole_s if whole_s > 0 else None


def with_metrics(truth: Observation, metrics: Observation | None, age_s: float, window_s: float | None) -> Observation:
    """Who there is now, with the metrics of then; one that was not there then has none."""
    then = {} if metrics is None else {load.id: load for load in metrics.replicas}
    replicas = [
        _with(load, {name: getattr(then.get(load.id), name, None) for name in OF_REPLICAS}) for load in truth.replicas
    ]
    values: Any = {name: None if metrics is None else getattr(metrics, name) for name in (*OF_ALL, "latencies")}
    return replace(truth, replicas=replicas, age_s=age_s, window_s=window_s, **values)
