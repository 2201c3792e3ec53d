"""A fitted fleet as overrides of a run: what `aegis run +scenario=routed` needs to play it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from analysis.fitting.fleet import Fleet

Z90 = 1.2815515655446004
"""The normal distribution's 90th percentile, in standard deviations."""


def replica_of(fleet: Fleet) -> dict[str, str]:
    """Which replica stands for which host: r1, r2, ... in the hosts' order."""
    return {host: f"r{number}" for number, host in enumerate(fleet.hosts, 1)}


def overrides(fleet: Fleet) -> list[str]:
    """Keys and values of the fleet, as they are typed; what is asked of it is not among them."""
    speeds = ",".join(f"{speed.value:.4g}" for speed in fleet.speeds)
    typed = [
        f"replicas={len(fleet.hosts)}",
        f"replica.concurrency={fleet.slots[0]}",
        f"replica.speeds=[{speeds}]",
        f"router.retry.max_attempts={fleet.failing.most_attempts}",
    ]
    if outages := outages_of(fleet):
        typed.append(faults(outages, len(fleet.hosts), 0.0, fleet.span_s))
    return typed


def demand(fleet: Fleet) -> list[str]:
    """Of requests that are drawn, in place of the log's own."""
    found = fleet.demand
    typed = [f"workload.demand.mean_ms={found.mean_ms.value:.6g}"]
    if found.family != "empirical":
        typed.append(f"workload.demand.distribution={found.family}")
    if found.family == "lognormal":
        typed.append(f"workload.demand.sigma={found.sigma:.4g}")
    return typed


def delays(fleet: Fleet) -> list[str]:
    """Of engine=sim: what the proxy took; the way to the hosts is in the demand."""
    median_ms, p90_ms = fleet.overhead_ms or (0.0, 0.0)
    sigma = min(3.0, math.log(p90_ms / median_ms) / Z90) if 0 < median_ms < p90_ms else 0.0
    ways = [("client", 0.0, 0.0), ("router", median_ms, sigma), ("replica", 0.0, 0.0)]
    return [
        f"engine.delays.{way}.{key}={value:.4g}"
        for way, median, spread in ways
        for key, value in (("median_ms", median), ("sigma", spread))
    ]


class Failed(NamedTuple):
    """A stretch in which a replica answers with errors; seconds from the log's first request."""

    number: int
    """Of the replica, from 1."""
    begin_s: float
    end_s: float
    rate: float
    """Share of its requests that fail."""


def outages_of(fleet: Fleet) -> list[Failed]:
    """The outages in which hosts answered with errors; one in which a host was not asked leaves nothing to play."""
    return [
        Failed(
            fleet.hosts.index(outage.host) + 1,
            outage.begin_s.value,
            min(outage.end_s.value, fleet.span_s),
            outage.failed / outage.asked,
        )
        for outage in fleet.failing.outages
        if outage.kind == "failing"
    ]


def faults(outages: Sequence[Failed], replicas: int, begin_s: float, span_s: float) -> str:
    """The override that plays them, of as many replicas as there are, in a stretch of the log that begins then."""
    typed = []
    for outage in outages:
        at_s, end_s = max(0.0, outage.begin_s - begin_s), min(span_s, outage.end_s - begin_s)
        if outage.number <= replicas and at_s < end_s:
            typed.append(
                f"{{at_s: {at_s:.3f}, action: error, target: r{outage.number}, "
                f"for_s: {max(end_s - at_s, 0.001):.3f}, rate: {outage.rate:.4g}}}"
            )
    return "faults=[" + ",".join(typed) + "]"
