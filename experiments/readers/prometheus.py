"""The answer of Prometheus' HTTP API to a range query (`/api/v1/query_range`): rates and histograms, no requests.

    curl -G http://prometheus:9090/api/v1/query_range --data-urlencode 'query=sum(rate(http_requests_total[1m]))' \
        -d start=... -d end=... -d step=15 > rate.json

The series of rates are added up. Counters (a name that ends in _total or _count) become rates by their increases, a
smaller value than before being a restart. Of series with `le` the durations' quantiles come, evenly spread within a
bucket: https://prometheus.io/docs/prometheus/latest/querying/api/#range-vectors
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from experiments.importing.batch import LATEST_S
from experiments.importing.curve import Curve, quantile
from experiments.importing.describing import FAILED, QUANTILES
from experiments.importing.errors import UnusableLog, WrongImport
from experiments.importing.json_lines import UNUSABLE
from experiments.importing.source import Head, Source

COUNTERS = ("_total", "_count", "_bucket")
CODES = ("code", "status", "status_code", "response_code", "http_status_code", "http_response_status_code")
"""Labels of an answer's status."""

Series = tuple[dict[str, str], np.ndarray, np.ndarray]
"""Labels, moments, values."""


class Prometheus:
    """A matrix, in one file or in several."""

    name: ClassVar[str] = "prometheus"
    about: ClassVar[str] = "the HTTP API's answer to a range query: rates and histograms, no requests"

    def sniff(self, head: Head) -> float:
        """Whether its keys stand at the beginning."""
        return float(b'"resultType"' in head.text[:4096] and b'"result"' in head.text)

    def read(self, source: Source) -> Iterator[Curve]:
        """One curve of all series together."""
        series: list[Series] = []
        broken = 0
        for path, text in source.documents():
            found, wrong = _series(str(path), text)
            series += found
            broken += wrong
        yield as_curve(series, broken)


def _series(name: str, text: bytes) -> tuple[list[Series], int]:
    try:
        answer = json.loads(text)
        if answer.get("status") == "error":
            raise WrongImport(f"{name}: Prometheus answered an error ({answer.get('error')})")
        data = answer["data"]
        if data["resultType"] != "matrix":
            raise WrongImport(f"{name}: is a {data['resultType']}; ask /api/v1/query_range, with start, end and step")
        results = list(data["result"])
    except UNUSABLE as error:
        if isinstance(error, WrongImport):
            raise
        raise WrongImport(f"{name}: is no answer of Prometheus ({type(error).__name__}: {error})") from error
    series, broken = [], 0
    for result in results:
        try:
            labels = {name: str(value) for name, value in (result.get("metric") or {}).items()}
            values = list(result.get("values") or [])
        except UNUSABLE:
            broken += 1
            continue
        told = [_sample(value) for value in values]
        broken += told.count(None)
        samples = dict(each for each in told if each is not None)  # of equal moments the last
        if samples:
            moments = np.array(sorted(samples))
            series.append((labels, moments, np.array([samples[moment] for moment in moments])))
    return series, broken


def _sample(value: Any) -> tuple[float, float] | None:  # noqa: ANN401 - whatever JSON holds
    """Moment and value; None = it is none."""
    try:
        moment, counted = float(value[0]), float(value[1])
    except UNUSABLE:
        return None
    return (moment, counted) if 0 <= moment < LATEST_S else None


def as_curve(series: list[Series], broken: int) -> Curve:
    """All series together.

    Raises:
        UnusableLog: none of them is a rate or a counter.
    """
    buckets = [each for each in series if "le" in each[0]]
    others = [each for each in series if "le" not in each[0] and not each[0].get("__name__", "").endswith("_sum")]
    counted = others or [each for each in buckets if each[0]["le"] == "+Inf"]
    if not counted:
        raise UnusableLog("no rate in it: query sum(rate(NAME_total[1m])), or a histogram's buckets by le")
    moments = np.unique(np.concatenate([times for _, times, _ in counted]))
    total, failed, has_codes = np.zeros(len(moments)), np.zeros(len(moments)), False
    known = np.zeros(len(moments), dtype=bool)
    for labels, times, values in counted:
        rates = _rates(labels, times, values)
        place = np.searchsorted(moments, times)
        is_known = np.isfinite(rates)
        known[place[is_known]] = True
        total[place] += np.nan_to_num(rates)
        if (code := next((labels[name] for name in CODES if name in labels), None)) is not None:
            has_codes = True
            if code[:1] == "5" or (code.isdigit() and int(code) >= FAILED):
                failed[place] += np.nan_to_num(rates)
    if not known.any():
        raise UnusableLog("no rate in it: one sample of each counter tells none; query a longer range")
    if not known[0]:
        moments, total, failed, known = moments[1:], total[1:], failed[1:], known[1:]
    share = float(failed.sum() / total.sum()) if has_codes and total.sum() > 0 else None
    return Curve(
        moments,
        np.where(known, total, np.nan),
        _durations(buckets),
        share,
        sum(len(times) for _, times, _ in series),
        broken,
        [] if buckets else ["no histogram in it, so nothing of durations"],
    )


def _rates(labels: dict[str, str], times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Requests a second at each moment: of a counter its increase, of anything else the value."""
    values = np.where(np.isfinite(values), values, np.nan)
    if not labels.get("__name__", "").endswith(COUNTERS):
        gauge: np.ndarray = np.maximum(values, 0.0)
        return gauge
    if len(values) == 1:
        return np.array([np.nan])
    increases = np.diff(values)
    increases = np.where(increases < 0, values[1:], increases)
    return np.concatenate([[np.nan], increases / np.diff(times)])


def _durations(buckets: list[Series]) -> dict[str, float]:
    """Quantiles over the whole range."""
    counts: dict[float, float] = defaultdict(float)
    for labels, times, values in buckets:
        rates = np.nan_to_num(_rates(labels, times, values))
        steps = np.diff(times, prepend=times[0])
        counts[_bound(labels["le"])] += float((rates * np.maximum(steps, 0.0)).sum())
    if not counts:
        return {}
    bounds = np.array(sorted(counts))
    heights = np.maximum.accumulate(np.array([counts[bound] for bound in bounds]))
    found: dict[str, Any] = {name: quantile(bounds, heights, q) for name, q in QUANTILES.items()}
    return {name: value for name, value in found.items() if value is not None}


def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("inf")
