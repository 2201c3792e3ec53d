"""What a cell of a board shows: numbers over its runs, with intervals of any level. Pure."""

import math
from collections.abc import Sequence

from analysis.comparison.compared import Compared
from analysis.comparison.effects import is_worst
from analysis.comparison.statistics import paired
from analysis.distributions.shares import clopper_pearson
from analysis.standings.board import Spanned
from record.metrics import Metrics, value_of


def on_its_scale(value: float, *, is_ratio: bool) -> float | None:
    """A number as it is told: of a logarithm the ratio; None = without a bound."""
    if is_ratio:
        return math.exp(value) if abs(value) < 700 else None
    return value if math.isfinite(value) else None


def mean_of(compared: Compared, runs: Sequence[Metrics]) -> float | None:
    """Over runs: the geometric mean, of a share the mean; None where a run has none."""
    values = [value_of(m, compared.key) for m in runs]
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known or (compared.by == "ratio" and min(known) <= 0):
        return None
    return math.exp(sum(map(math.log, known)) / len(known)) if compared.by == "ratio" else sum(known) / len(known)


def beyond(compared: Compared, runs: Sequence[Metrics]) -> float | None:
    """What the quantile lies beyond in each of the runs in which it lies among what was not served, but for those that
    served nothing: the smallest of their largest served latencies; None = there is none.
    """
    return min((far for far in _bounds(compared, runs) if far > 0), default=None)


def without_any(compared: Compared, runs: Sequence[Metrics]) -> int:
    """In how many runs nothing at all was served where the quantile is looked for."""
    return sum(far == 0 for far in _bounds(compared, runs))


def _bounds(compared: Compared, runs: Sequence[Metrics]) -> list[float]:
    """The largest latency that was served, of each run whose quantile lies among what was not; 0 = nothing was."""
    if (key := compared.beyond_key) is None:
        return []
    return [far for m in runs if (far := value_of(m, key)) is not None]


def unknown(compared: Compared, runs: Sequence[Metrics]) -> int:
    """How many runs have no number, and not for being worse than any: nothing was asked then, or the floor has none."""
    values = [value_of(m, compared.key) for m in runs if not is_worst(compared, m)]
    return sum(value is None or (compared.by == "ratio" and value <= 0) for value in values)


def spanned(compared: Compared, runs: Sequence[Metrics], level: float) -> Spanned:
    """The mean with its interval of 1 - `level`."""
    value = mean_of(compared, runs)
    if value is None:
        return Spanned(None)
    values = [value_of(m, compared.key) or 0.0 for m in runs]
    if compared.by == "ratio":
        low, high = paired([math.log(each) for each in values]).interval(level)
        return Spanned(value, on_its_scale(low, is_ratio=True), on_its_scale(high, is_ratio=True))
    counts = [round(share * m["offered_requests"]) for share, m in zip(values, runs, strict=True)]
    return _share(counts, [m["offered_requests"] for m in runs], level)


def _share(events: Sequence[int], trials: Sequence[int], level: float) -> Spanned:
    """The share of all, with the wider of Clopper and Pearson's interval and Student's over the runs."""
    low, high = clopper_pearson(sum(events), sum(trials), level)
    if len(events) > 1:
        by_runs = paired([e / t for e, t in zip(events, trials, strict=True)]).interval(level)
        low, high = max(0.0, min(low, by_runs[0])), min(1.0, max(high, by_runs[1]))
    return Spanned(sum(events) / sum(trials), low, high)


def lost_spanned(runs: Sequence[Metrics], level: float) -> Spanned:
    """Beyond the floor's, which is known to the last request."""
    all_lost = _share([m["failed_requests"] for m in runs], [m["offered_requests"] for m in runs], level)
    least = sum(m.get("floor_failed_requests") or 0 for m in runs) / sum(m["offered_requests"] for m in runs)
    value, low, high = ((each or 0.0) - least for each in (all_lost.value, all_lost.low, all_lost.high))
    return Spanned(value, low, high)


def lost_beyond_floor(metrics: Metrics) -> int:
    """Requests of a run that were lost beyond those that the floor loses; negative where the floor loses more."""
    return metrics["failed_requests"] - (metrics.get("floor_failed_requests") or 0)


def share_lost(runs: Sequence[Metrics]) -> float:
    """Of all requests that were asked, those of which the floor loses some as well included."""
    return sum(m["failed_requests"] for m in runs) / sum(m["offered_requests"] for m in runs)
