"""Whether a fit is true of the half of the log that it has not seen.

Three questions, each of which a wrong fit fails in its own way:

1. Are the services that the second half implies those of the first, and as independent of how busy it was?
2. Do its durations lie where the fit puts them, request by request, given who was there (`analysis.fitting.ahead`)?
3. Do they where the fleet is played in the simulator, from its arrivals alone, with demands drawn from the first half?

The second is asked again and again of fleets that the first half does not rule out, the third of the likeliest with
ever other demands; their mean at each host is the one that it really had, which the first question has compared: close
to saturation a line's length hangs on it more than on anything a fit could be wrong about. What the log has must lie
where these lie (a prediction interval of Student's t on logarithms, as for one more of them), or within `TOLERANCE` of
it. Where predictions one step ahead differ among each other by more than `WIDEST`, the log is too short to judge by;
that plays differ is the system's own way, close to saturation, and no fault of a fit.
"""

from dataclasses import dataclass

import numpy as np

from analysis.fitting.ahead import predicted
from analysis.fitting.assigning import Assignment, assignment
from analysis.fitting.failing import failing
from analysis.fitting.fleet import Fleet, Implied, fit, implied, independent, refuse_dependent, settled
from analysis.fitting.independence import Compared, compare
from analysis.fitting.inversion import Bools, Floats, Ints
from analysis.fitting.log import Log
from analysis.fitting.refusal import FitRefused
from experiments.fitting.measures import SHARES, Judged, errors, held, measures
from experiments.fitting.playing import BY_LOAD, Draw, Played, Policy, draw, play

RUNS = 20
"""Fleets that are played."""
TRIALS = 5
"""Plays of the first half by which the proxy's policy is told, each."""
AHEAD = ", one step ahead"
WIDEST = 4.0
"""Upper over lower end of such an interval beyond which nothing could be contradicted."""
MOST_PLAYED = 20_000
"""Requests of the second half that are played, and half as many before them, so that it does not begin with empty
hosts: at utilisation 0.9 a thousand requests of a host and more lie between an empty queue and a usual one."""
SEED = 16


@dataclass(frozen=True)
class Verdict:
    """A fit that held."""

    log: Log
    """As it was fitted."""
    fleet: Fleet
    """Fitted to all of it."""
    assignment: Assignment
    policy: Policy | None
    """By which it was played; None = as the log says."""
    judged: tuple[Judged, ...]
    unseen: tuple[Compared, ...]
    """Services of the second half: among themselves, and beside those of the first one."""
    demands_s: Floats
    """What each request of the log asked for at speed 1, seconds; drawn where it was not served. Shape (n,)."""


def fit_and_judge(log: Log, seed: int = SEED) -> Verdict:
    """Fit the first half, play the second one, and fit all of it.

    Raises:
        FitRefused: the log does not say, or the second half says otherwise than the first.
    """
    log = settled(log)
    half = len(log) // 2
    first = log.part(np.arange(half))
    seen = fit(first)
    outside = _without(log)
    under = implied(outside, seen.slots[0])  # at once, so that the second half begins with what was there
    is_later = outside.arrivals_s[under.place] >= log.arrivals_s[half]
    before, after = under.part(~is_later), under.part(is_later)
    unseen = _unseen(seen, before, after, log.step_s)
    rng = np.random.default_rng(seed)
    known_s = _at_speed_1(before, seen)
    ahead = _ahead(seen, outside, known_s, after, rng)
    how = assignment(first)
    policy = _policy(seen, first, known_s, seed) if how == "by load" else None
    last_s = log.arrivals_s[min(len(log), half + MOST_PLAYED) - 1]
    work = (before, after.part(outside.arrivals_s[after.place] <= last_s))
    judged = (*ahead, *_played(seen, log, half, work, policy, seed))
    _refuse(judged)
    fleet = fit(log)
    return Verdict(log, fleet, how, policy, judged, unseen, demands_of(log, fleet, rng))


def demands_of(log: Log, fleet: Fleet, rng: np.random.Generator) -> Floats:
    """What each request asked for: its own service at its host's speed; drawn from the others where it has none."""
    under = implied(log, fleet.slots[0])
    served_s = _at_speed_1(under, fleet)
    demands_s: Floats = rng.choice(served_s, len(log))
    demands_s[under.place] = served_s
    return np.asarray(np.maximum(demands_s, 1e-6))


def _at_speed_1(under: Implied, fleet: Fleet) -> Floats:
    return np.asarray(under.services_s * np.array([speed.value for speed in fleet.speeds])[under.host])


def _without(log: Log) -> Log:
    """The requests outside of the hosts' outages: when these come, no first half says."""
    outside = np.ones(len(log), np.bool_)
    for outage in failing(log).outages:
        if outage.kind == "failing":
            is_in = (log.arrivals_s >= outage.begin_s.low) & (log.arrivals_s <= outage.end_s.value)
            outside &= ~(is_in & (log.host == log.hosts.index(outage.host)))
    return log.part(outside)


def _unseen(seen: Fleet, before: Implied, after: Implied, step_s: float) -> tuple[Compared, ...]:
    """The second half's services under the first half's fleet.

    Raises:
        FitRefused: they depend on how busy it was, or are others than in the first half.
    """
    checks = independent(after, [speed.value for speed in seen.speeds], step_s)
    refuse_dependent(checks)
    halves = [("the first half and the second", before.host >= 0, after.host >= 0)]
    if len(seen.hosts) > 1:
        halves += [
            (f"{host} in the first half and in the second", before.host == number, after.host == number)
            for number, host in enumerate(seen.hosts)
        ]
    services = [_at_speed_1(each, seen) for each in (before, after)]
    for what, old, new in halves:
        both = compare(what, services[0][old], services[1][new], 2 * step_s)
        checks = (*checks, both)
        if not both.is_alike:
            raise FitRefused(
                "hold_out",
                f"services of {what} differ (means by a factor of {both.ratio:.2f}): the system changed, or there is "
                "more in it than hosts with slots",
                "fit the log before and after the change by themselves, or a day on which nothing was deployed",
            )
    return checks


def _ahead(seen: Fleet, log: Log, known_s: Floats, after: Implied, rng: np.random.Generator) -> list[Judged]:
    """Durations of the second half, one step ahead."""
    found = predicted(after.waits_s, after.host, known_s, seen.drawn, list(SHARES.values()), rng)
    lasted_s = (log.departures_s - log.arrivals_s)[after.place]
    return [
        held(f"{name}_ms{AHEAD}", float(np.quantile(lasted_s, share)) * 1e3, (found[:, place] * 1e3).tolist())
        for place, (name, share) in enumerate(SHARES.items())
    ]


def _policy(seen: Fleet, first: Log, known_s: Floats, seed: int) -> Policy | None:
    """The policy under which the first half comes out most as it was."""
    shown = _without(first)
    shown = shown.part(np.arange(max(0, len(shown) - MOST_PLAYED), len(shown)))
    recorded = Played(shown.departures_s - shown.arrivals_s, shown.served)
    metrics = measures(shown, np.ones(len(shown), np.bool_))
    off = []
    for policy in BY_LOAD:
        rng = np.random.default_rng(seed)
        logs = []
        for number in range(TRIALS):
            played = play(shown, draw(seen, number, rng), rng.choice(known_s, len(shown)), 0.0, seed + number, policy)
            logs.append([np.log(metric(played) / metric(recorded)) for metric in metrics.values()])
        off.append(float(np.abs(np.mean(logs, axis=0)).sum()))
    return BY_LOAD[int(np.argmin(off))]


def _played(
    seen: Fleet, log: Log, half: int, work: tuple[Implied, Implied], policy: Policy | None, seed: int
) -> list[Judged]:
    """Recorded against simulated, metric by metric."""
    rng = np.random.default_rng(seed)
    known_s = _at_speed_1(work[0], seen)
    speeds = tuple(speed.value for speed in seen.speeds)
    shown = _without(log.part(np.arange(max(0, half - MOST_PLAYED // 2), min(len(log), half + MOST_PLAYED))))
    measured = shown.arrivals_s >= log.arrivals_s[half]
    metrics = measures(shown, measured)
    share = seen.failing.error_share.value
    drawn: dict[str, list[float]] = {name: [] for name in metrics}
    for number in range(RUNS):
        demands_s = rng.choice(known_s, len(shown))
        _match(demands_s, shown.host, measured, work, seen, by_host=policy is None)
        fleet = Draw(seen.slots[number % len(seen.slots)], speeds)
        played = play(shown, fleet, demands_s, share, seed + 1000 * number, policy)
        for name, metric in metrics.items():
            drawn[name].append(metric(played))
    recorded = Played(shown.departures_s - shown.arrivals_s, shown.served)
    judged = [held(name, metric(recorded), drawn[name]) for name, metric in metrics.items()]
    return [*judged, errors(seen.failing.error_share, recorded, measured)]


def _match(
    demands_s: Floats, host: Ints, measured: Bools, work: tuple[Implied, Implied], seen: Fleet, *, by_host: bool
) -> None:
    """Scale demands, in place, to the mean that either half really had, at each host or over all."""
    for part, under in zip((~measured, measured), work, strict=True):
        real_s = _at_speed_1(under, seen)
        for number in range(len(seen.hosts)) if by_host else (-1,):
            rows, same = part & ((host == number) | (number < 0)), (under.host == number) | (number < 0)
            if rows.any() and same.any():
                demands_s[rows] *= real_s[same].mean() / demands_s[rows].mean()


def _refuse(judged: tuple[Judged, ...]) -> None:
    """Go on where every metric held, and could have failed.

    Raises:
        FitRefused: one did not.
    """
    for each in judged:
        if not each.holds:
            raise FitRefused(
                "hold_out",
                f"{each.name} of the half that was not fitted is {each.recorded:.4g}, simulated {each.simulated:.4g} "
                f"({each.low:.4g} to {each.high:.4g})",
                "look for what changed between the halves, or log the hosts' own queue and service times",
            )
    wide = next((each for each in judged if AHEAD in each.name and each.high > WIDEST * each.low), None)
    if wide is not None:
        raise FitRefused(
            "too_little",
            f"{wide.name} of the half that was not fitted lies anywhere between {wide.low:.4g} and {wide.high:.4g} by "
            "the first half: nothing could contradict the fit",
            "collect a log that is several times as long",
        )
