"""Counts of what happens to every request, as plain numbers; Prometheus' families are made when they are asked for.

prometheus_client's own counters take a lock each, and its histograms compare a value with one bound after another:
together ten times the cost of these. They are of one thread, as the data plane is.
"""

import time
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString


class Counts(Collector):
    """A counter with one label, whose values are known: `counts[value] += 1`."""

    def __init__(self, name: str, documentation: str, label: str, values: Collection[str]) -> None:
        """Every value begins at zero, so that the first increase is seen as one."""
        self._name, self._documentation, self._label = name, documentation, label
        self.counts = dict.fromkeys(values, 0)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The family as it is now."""
        family = CounterMetricFamily(self._name, self._documentation, labels=[self._label])
        for value, count in self.counts.items():
            family.add_metric([value], count)
        yield family


class Times(Collector):
    """A histogram of seconds, without labels."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float]) -> None:
        """`bounds` in rising order, seconds; what is above the last one counts as infinite."""
        self._name, self._documentation = name, documentation
        self._bounds = bounds
        self._names = [*map(floatToGoString, bounds), "+Inf"]
        self._counts = [0] * len(self._names)
        self._sum_s = 0.0
        self._exemplars: dict[int, Exemplar] = {}

    def observe(self, seconds: float) -> None:
        """Count a time: in the first bucket whose bound is no less."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum_s += seconds

    def keep(self, seconds: float, trace_id: str) -> None:
        """A time that has been counted is of a trace that is kept: it becomes its bucket's exemplar."""
        self._exemplars[bisect_left(self._bounds, seconds)] = Exemplar({"trace_id": trace_id}, seconds, time.time())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The family as it is now."""
        family, below, buckets = HistogramMetricFamily(self._name, self._documentation), 0, []
        for number, (name, count) in enumerate(zip(self._names, self._counts, strict=True)):
            below += count
            exemplar = self._exemplars.get(number)
            buckets.append((name, below) if exemplar is None else (name, below, exemplar))
        family.add_metric([], buckets, self._sum_s)
        yield family
