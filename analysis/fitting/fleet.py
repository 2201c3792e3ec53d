"""The fit: a fleet whose queues would have written the log, each part with an interval, or a refusal."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np

from analysis.fitting import sharing
from analysis.fitting.demand import Demand, Interval, Rates, rates
from analysis.fitting.failing import Failing, failing
from analysis.fitting.independence import Compared, beside, compare, halves, way_s
from analysis.fitting.inversion import Bools, Floats, Ints, presence, services_s
from analysis.fitting.log import LEAST_SERVED, Log
from analysis.fitting.refusal import FitRefused
from analysis.fitting.slots import ODDS, Candidates, HostLog, candidates, host_log

SEED = 15
"""Of the resamples: the same log gives the same fit."""
LEAST_OF_HOST = 100
"""Answered requests of a host below which it has no speed."""
MOST_ROWS = 400_000
"""Requests of a log that are fitted: its last ones, a matter of minutes."""
OVERHEAD = 0.05
"""Share of the median duration that the proxy's own time must pass for it to matter when it was taken."""
APART_ODDS, APART_Z = 1e9, 3.0
"""By so much a host must speak against the number of slots of all hosts to be one of another kind."""
RARE = 0.02
"""Share of the requests that hosts may have which are left out, since there is too little of them."""
LEAST_WAITED = 0.01
"""Share of the requests that must have waited: below it a fleet's behaviour under more load is a guess."""


@dataclass(frozen=True)
class Fleet:
    """What wrote the log."""

    hosts: tuple[str, ...]
    slots: tuple[int, ...]
    """The numbers of slots a host that the log does not rule out, the likeliest first."""
    speeds: tuple[Interval, ...]
    """Of each host, relative to `reference`."""
    reference: str
    """The host of speed 1: `demand` is what a request takes there."""
    demand: Demand
    failing: Failing
    overhead_ms: tuple[float, float] | None
    """The proxy's own time for a request, milliseconds: median and 90th percentile, or twice the mean where the clock
    is too coarse for them; None = the log does not say."""
    utilisation: tuple[float, ...]
    """Of each host's slots, over the log."""
    waited: float
    """Share of the served requests that waited for a slot."""
    requests: int
    span_s: float
    checks: tuple[Compared, ...]
    notes: tuple[str, ...]
    drawn: Floats = field(repr=False, compare=False)
    """Speeds that the log does not rule out, shape (some, hosts); the demand's uncertainty is in them, too."""

    @property
    def slots_interval(self) -> Interval:
        """The likeliest number, and the fewest and the most."""
        return Interval(self.slots[0], min(self.slots), max(self.slots))


@dataclass(frozen=True)
class Implied:
    """The services of the served requests under a number of slots, in the log's order; shape (n,) each."""

    place: Ints
    """In the log."""
    host: Ints
    services_s: Floats
    waits_s: Floats
    begins_s: Floats
    """When each began to be served."""
    found: Floats
    """Requests at the host when it came."""
    found_anywhere: Floats
    """Requests at all hosts when it came."""

    def part(self, which: Bools) -> Self:
        """Those alone that are marked."""
        return type(self)(*(getattr(self, each.name)[which] for each in fields(self)))


def implied(log: Log, slots: int) -> Implied:
    """Services and waits of all hosts, if each has so many slots; failed requests held none."""
    served = np.flatnonzero(log.served)
    services, waits, found = (np.zeros(len(served)) for _ in range(3))
    for number in range(len(log.hosts)):
        mine = log.host[served] == number
        rows = served[mine]
        if not len(rows):
            continue
        arrivals_s, departures_s = log.arrivals_s[rows], log.departures_s[rows]
        services[mine] = services_s(arrivals_s, departures_s, [slots])[:, 0]
        waits[mine] = departures_s - arrivals_s - services[mine]
        found[mine] = presence(arrivals_s, departures_s).found
    anywhere = presence(log.arrivals_s[served], log.departures_s[served]).found
    begins = log.departures_s[served] - services
    return Implied(served, log.host[served], services, waits, begins, found, anywhere.astype(np.float64))


def fit(log: Log) -> Fleet:
    """The fleet behind a log, or behind the part of it that is to be fitted.

    Raises:
        FitRefused: the log does not say.
    """
    log, notes = _bounded(log)
    failed = failing(log)
    log = _without_outages(log, failed)
    hosts = [_of_host(log, number) for number in range(len(log.hosts))]
    rare = [name for name, host in zip(log.hosts, hosts, strict=True) if len(host.found) < LEAST_OF_HOST]
    if rare:
        raise FitRefused(
            "too_little",
            f"{', '.join(rare)}: fewer than {LEAST_OF_HOST} requests were answered",
            "collect a longer log, or leave out hosts that only came or went",
        )
    slots = _slots(log, hosts)
    rng = np.random.default_rng(SEED)
    under = implied(log, slots[0])
    found = rates(under.services_s, under.host, len(log.hosts), log.step_s, rng)
    for other in slots[1:]:
        again = implied(log, other)
        found = _joined(found, rates(again.services_s, again.host, len(log.hosts), log.step_s, rng))
    checks = independent(under, [speed.value for speed in found.speeds], log.step_s)
    refuse_dependent(checks)
    waits = under.waits_s > max(2 * log.step_s, 1e-3 * found.demand.mean_ms.value / 1e3)
    if waits.mean() < LEAST_WAITED:
        raise _nobody_waited(float(waits.mean()), slots)
    span_s = max(1e-9, float(log.arrivals_s[-1] - log.arrivals_s[0]))
    busy = np.bincount(under.host, under.services_s, minlength=len(log.hosts)) / span_s / slots[0]
    known = log.overhead_s[np.isfinite(log.overhead_s)]
    return Fleet(
        log.hosts,
        tuple(slots),
        found.speeds,
        log.hosts[found.reference],
        found.demand,
        failed,
        _overhead_ms(known, log.step_s) if len(known) else None,
        tuple(busy.tolist()),
        float(waits.mean()),
        len(log),
        span_s,
        checks,
        (*log.notes, *notes),
        found.drawn,
    )


def _overhead_ms(known_s: Floats, step_s: float) -> tuple[float, float]:
    middle, upper = np.quantile(known_s, [0.5, 0.9]).tolist()
    if upper <= 2 * step_s:
        middle = upper = float(known_s.mean())
    return middle * 1e3, upper * 1e3


def settled(log: Log) -> Log:
    """The log without hosts that hardly count, and with each request at its host from the likelier moment on.

    That is at once, or after the proxy's own time.

    A proxy's time for a request is longer than its host's by what it held it back before (a line of its own) or by
    what its client took to read after; the log does not say which. The likelihood of the best number of slots does.
    """
    log = _without_rare(log)
    known = log.overhead_s[np.isfinite(log.overhead_s)]
    lasted_s = (log.departures_s - log.arrivals_s)[log.served]
    if not len(known) or np.quantile(known, 0.99) <= max(2 * log.step_s, OVERHEAD * float(np.median(lasted_s))):
        return log
    late = log.held_back()
    scores = [
        float(candidates([_of_host(each, number) for number in range(len(log.hosts))], log.step_s).total.max())
        for each in (log, late)
    ]
    return late if scores[1] > scores[0] else log


def _without_rare(log: Log) -> Log:
    """Without hosts of which either half of the log knows hardly anything, if hardly any request went there."""
    half = len(log) // 2
    counts = np.array([np.bincount(log.host[part][log.served[part]], minlength=len(log.hosts)) for part in (
        slice(0, half), slice(half, None))])  # fmt: skip
    rare = np.flatnonzero(counts.min(axis=0) < LEAST_OF_HOST)
    share = float(np.isin(log.host, rare).mean())
    if not len(rare) or share > RARE or len(rare) == len(log.hosts):
        return log
    return log.without(rare.tolist(), f"{len(rare)} hosts with {100 * share:.2g} % of the requests: left out")


def _bounded(log: Log) -> tuple[Log, list[str]]:
    if len(log) <= MOST_ROWS:
        return log, []
    last = np.arange(len(log)) >= len(log) - MOST_ROWS
    return log.part(last), [f"the last {MOST_ROWS:,} requests of {len(log):,} were fitted"]


def _without_outages(log: Log, failed: Failing) -> Log:
    spared = np.ones(len(log), np.bool_)
    for outage in failed.outages:
        if outage.kind == "failing":
            is_in = (log.arrivals_s >= outage.begin_s.low) & (log.arrivals_s <= outage.end_s.value)
            spared &= ~(is_in & (log.host == log.hosts.index(outage.host)))
    log = log.part(spared)
    if log.served.sum() < LEAST_SERVED:
        raise FitRefused(
            "too_little",
            f"outside of outages {int(log.served.sum()):,} requests were answered",
            f"collect a log with at least {LEAST_SERVED:,} of ordinary operation beside the outage",
        )
    return log


def _of_host(log: Log, number: int) -> HostLog:
    rows = log.served & (log.host == number)
    return host_log(log.arrivals_s[rows], log.departures_s[rows], log.step_s)


def _slots(log: Log, hosts: Sequence[HostLog]) -> list[int]:
    """The numbers of slots that all hosts may have, the likeliest first.

    Raises:
        FitRefused: they share them, nobody waited, or the hosts do not agree.
    """
    together = candidates(hosts, log.step_s)
    alone = [candidates([host], log.step_s) for host in hosts] if len(hosts) > 1 else [together]
    _refuse_sharing(alone, hosts, log.step_s)
    kept, best = together.kept(), together.best
    if together.slots[-1] in kept:
        share = sum(int((host.found >= best).sum()) for host in hosts) / sum(len(host.found) for host in hosts)
        raise _nobody_waited(share, kept)
    for name, one in zip(log.hosts, alone, strict=True):
        if best not in one.kept(APART_ODDS, APART_Z) and one.slots[-1] not in one.kept():
            raise FitRefused(
                "hosts_differ",
                f"{name} looks as if it had {one.best} slots, all hosts together as if they had {best}",
                "fit hosts with other numbers of slots by themselves (a fleet here has one number)",
            )
    return [best, *(each for each in kept if each != best)]


def _refuse_sharing(lines: Sequence[Candidates], hosts: Sequence[HostLog], step_s: float) -> None:
    """Go on where the hosts have lines rather than share their slots among all requests.

    Raises:
        FitRefused: they look as if they shared them.
    """
    shared = [sharing.candidates([host], step_s) for host in hosts]
    gain = sum(float(one.total.max() - line.total.max()) for one, line in zip(shared, lines, strict=True))
    if gain > math.log(ODDS) * len(hosts):
        slots = ", ".join(dict.fromkeys(str(one.best) for one in shared))
        raise FitRefused(
            "not_a_queue",
            f"the hosts look as if {slots} slots were shared among all requests that are there (processor sharing), "
            "not as if requests waited for one",
            "nothing more: it is no fleet with lines; replica.discipline=ps plays such hosts",
        )
    if gain > math.log(ODDS):
        share = sum(int((host.found >= line.best).sum()) for host, line in zip(hosts, lines, strict=True))
        raise _nobody_waited(share / sum(len(host.found) for host in hosts), [min(line.best for line in lines)])


def _nobody_waited(share: float, slots: Sequence[int]) -> FitRefused:
    return FitRefused(
        "nobody_waited",
        f"{100 * share:.2g} % of the requests waited, too few to tell waiting from service: a host has at least "
        f"{min(slots)} slots, and the log sets no upper limit",
        "collect busier hours, in which more requests are at a host at once than it has slots, or a load test",
    )


def _joined(first: Rates, other: Rates) -> Rates:
    demand = Demand(
        first.demand.mean_ms.joined(other.demand.mean_ms),
        first.demand.spread.joined(other.demand.spread),
        first.demand.family,
        first.demand.sigma,
        first.demand.off,
        first.demand.quantiles_ms,
    )
    speeds = tuple(one.joined(also) for one, also in zip(first.speeds, other.speeds, strict=True))
    return Rates(speeds, demand, first.reference, first.drawn)


def independent(under: Implied, speeds: Sequence[float], step_s: float) -> tuple[Compared, ...]:
    """Whether the demands that follow know nothing of waiting, host and fleet."""
    demands_s = under.services_s * np.asarray(speeds)[under.host]
    waited = under.waits_s > max(2 * step_s, 1e-9)
    busy, busy_fleet = _within_hosts(under.found, under.host), halves(under.found_anywhere)[1]
    groups = (
        ("those who waited and those who did not", waited),
        ("those who found their host busy and those who did not", busy),
        ("those who found the fleet busy and those who did not", busy_fleet),
    )
    way = way_s(demands_s[~waited], demands_s[waited])
    checks = [compare(what, demands_s[~which], demands_s[which], 2 * step_s, way) for what, which in groups]
    short, long = beside(under.begins_s, under.services_s, demands_s)
    checks.append(compare("those begun beside a short one and those beside a long one", short, long, 2 * step_s))
    return tuple(checks)


def _within_hosts(found: Floats, host: Ints) -> Bools:
    """Marks of those who found their own host busier than it was half of the time."""
    busy = np.zeros(len(found), np.bool_)
    for number in np.unique(host):
        mine = host == number
        busy[mine] = halves(found[mine])[1]
    return busy


def refuse_dependent(checks: Sequence[Compared]) -> None:
    """Go on where services are independent of how busy it was.

    Raises:
        FitRefused: they are not.
    """
    worst = min(checks, key=lambda check: check.p)
    if worst.is_alike:
        return
    longer = worst.ratio if math.isfinite(worst.ratio) else 1.0
    raise FitRefused(
        "not_a_queue",
        f"services of {worst.what} differ (means by a factor of {longer:.2f}): no number of slots explains it, as "
        "where a host shares its speed among all requests, or something behind the hosts slows down under load",
        "log the time in the hosts' own queues, or the calls that they make (spans)",
    )
