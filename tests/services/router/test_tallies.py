"""What Prometheus reads of the data plane is what its own client would have said of the same requests."""

import random

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.openmetrics.exposition import generate_latest

from services.exposition import LATENCY_S, new_registry
from services.router.tallies import Counts, Times


def text(registry):
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


@pytest.mark.parametrize("seed", [1, 2])
def test_dashboards_read_the_same_counts_and_buckets_as_from_prometheus_own_client(seed):
    new_registry()  # no `_created` series
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counts, times = Counts("a", "doc", "outcome", ("ok", "error")), Times("t_seconds", "doc", LATENCY_S)
    ours.register(counts)
    ours.register(times)
    counter = Counter("a", "doc", ["outcome"], registry=theirs)
    histogram = Histogram("t_seconds", "doc", buckets=LATENCY_S, registry=theirs)
    for outcome in ("ok", "error"):
        counter.labels(outcome)
    rng = random.Random(seed)
    for _ in range(2000):
        outcome, seconds = rng.choice(("ok", "error")), rng.choice((rng.expovariate(10), rng.choice(LATENCY_S), 30.0))
        counts.counts[outcome] += 1
        counter.labels(outcome).inc()
        times.observe(seconds)
        histogram.observe(seconds)
    assert text(ours) == text(theirs)


def test_the_exemplar_of_a_bucket_leads_to_the_last_trace_that_fell_into_it():
    times, registry = Times("t_seconds", "doc", LATENCY_S), CollectorRegistry()
    registry.register(times)
    for trace_id in ("1" * 32, "2" * 32):
        times.observe(0.05)
        times.keep(0.05, trace_id)
    exemplars = [line for line in text(registry) if "trace_id" in line]
    assert len(exemplars) == 1 and "2" * 32 in exemplars[0] and '_bucket{le="0.056234"}' in exemplars[0]
