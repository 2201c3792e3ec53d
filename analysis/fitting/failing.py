"""What failed: the share of errors, retries, and the outages of hosts.

An outage is a stretch in which a host answers with errors one after the other, or in which it is asked no more while
its fellows are. How long a stretch has to be, its improbability says: with the share p of errors outside of outages,
k in a row have probability p^k; with the share q of the requests that go to the host, n requests go elsewhere one after
the other with probability (1 - q)^n.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.distributions.shares import clopper_pearson
from analysis.fitting.demand import Interval
from analysis.fitting.inversion import Floats, Ints
from analysis.fitting.log import Log

IMPROBABLE = 1e-9
"""A stretch that chance makes with this probability is none of chance."""
LEAST_SHARE = 0.01
"""Of errors, in what they are judged by: where there were none before, three in a row are not enough."""
HEALED = 3
"""Good answers in a row that end an outage."""


@dataclass(frozen=True)
class Outage:
    """A stretch in which a host did not do its work; seconds from the log's first request."""

    host: str
    kind: Literal["failing", "silent"]
    begin_s: Interval
    """Between the last good answer's request and the first that failed, or was missed."""
    end_s: Interval
    """Likewise; up to infinity where the log ends before it."""
    failed: int
    """Requests that failed in it; of a silent one, among the last `HEALED` before it."""
    asked: int
    """Of so many."""


@dataclass(frozen=True)
class Failing:
    """All that failed."""

    error_share: Interval
    """Of the requests outside of outages."""
    most_attempts: int
    """Of a request that was seen; 1 says only that there were none."""
    retried_share: float
    outages: tuple[Outage, ...]


def failing(log: Log) -> Failing:
    """What failed in a log."""
    outages = []
    bad = ~log.served
    spared = np.ones(len(log), np.bool_)
    for number, name in enumerate(log.hosts):
        mine = np.flatnonzero(log.host == number)
        if not len(mine):
            continue
        for outage in [*_failing(log, mine, name), *_silent(log, mine, name)]:
            outages.append(outage)
            inside = (log.arrivals_s >= outage.begin_s.value) & (log.arrivals_s <= outage.end_s.value)
            spared &= ~(inside & (log.host == number))
    failed, asked = int((bad & spared).sum()), int(spared.sum())
    return Failing(
        Interval(failed / max(1, asked), *clopper_pearson(failed, asked)),
        int(log.attempts.max()),
        float((log.attempts > 1).mean()),
        tuple(sorted(outages, key=lambda outage: outage.begin_s.value)),
    )


def _failing(log: Log, mine: Ints, name: str) -> list[Outage]:
    """Runs of errors, by arrival; they may be broken by less than `HEALED` good answers."""
    bad = ~log.served[mine]
    if not bad.any():
        return []
    usual = max(LEAST_SHARE, min(float(bad.mean()), 0.5))
    least = math.ceil(math.log(IMPROBABLE) / math.log(usual))
    found: list[Outage] = []
    places = np.flatnonzero(bad)
    begins = np.flatnonzero(np.diff(places, prepend=-HEALED - 1) > HEALED)
    for place, begin in enumerate(begins.tolist()):
        end = int(begins[place + 1]) if place + 1 < len(begins) else len(places)
        first, last = int(places[begin]), int(places[end - 1])
        if end - begin < least or (end - begin) < 0.5 * (last - first + 1):
            continue
        found.append(_between(log.arrivals_s[mine], first, last, name, "failing", end - begin))
    return found


def _between(at_s: Floats, first: int, last: int, name: str, kind: Literal["failing"], failed: int) -> Outage:
    before = float(at_s[first - 1]) if first else float(at_s[first])
    after = float(at_s[last + 1]) if last + 1 < len(at_s) else math.inf
    return Outage(
        name,
        kind,
        Interval(float(at_s[first]), before, float(at_s[first])),
        Interval(float(at_s[last]), float(at_s[last]), after),
        failed,
        last - first + 1,
    )


def _silent(log: Log, mine: Ints, name: str) -> list[Outage]:
    """Stretches in which only others are asked, though all that it was asked has been answered."""
    share = len(mine) / len(log)
    if share >= 1:
        return []
    least = math.ceil(math.log(IMPROBABLE) / math.log1p(-share))
    edges = np.concatenate([[-1], mine, [len(log)]])
    answered_s = np.fmax.accumulate(log.departures_s[mine])  # NaN: never, and nobody knows until when
    found: list[Outage] = []
    for place in np.flatnonzero(np.diff(edges) > least).tolist():
        idle_s = float(answered_s[place - 1]) if place else 0.0
        first = max(int(edges[place]) + 1, int(np.searchsorted(log.arrivals_s, idle_s)))
        after = int(edges[place + 1])
        if after - first <= least:
            continue
        near = mine[max(0, place - HEALED) : place]
        begin = Interval(float(log.arrivals_s[first]), idle_s, float(log.arrivals_s[first]))
        last_s = float(log.arrivals_s[after - 1])
        end = Interval(last_s, last_s, float(log.arrivals_s[after]) if after < len(log) else math.inf)
        found.append(Outage(name, "silent", begin, end, int((~log.served[near]).sum()), len(near)))
    return found
