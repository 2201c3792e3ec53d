"""As few replicas as Erlang's formula lets keep an objective of waiting."""

from typing import ClassVar

from services.bounds import Bounds
from services.manager.erlang import fewest, load_of
from services.manager.observation import Observation
from services.manager.windows import TimedMean

WAIT = 0.2
"""Of the time that a request is served, where no objective of waiting is given: 20 ms of 100. Waiting in proportion to
service is what a user minds (stretch: Bender, Chakrabarti and Muthukrishnan, "Flow and stretch metrics for scheduling
continuous job streams", SODA 1998); the fifth is ours. Of call centres' "80/20", 20 s of calls of minutes, it is a
tenth."""
REQUESTS = 100
"""Enough to average over, where no window is given: the load is off by sqrt(2 / N) of itself, 14 %. Where L requests
are in flight, come as Poisson's and stay for s seconds, their mean over T seconds has a variance of 2 L s / T, T far
above s, and N = T L / s come (Riordan, "Telephone traffic time averages", Bell System Technical Journal 30, 1951)."""
LEAST_WINDOW_S = 5.0
"""No window that is found is shorter."""
NOT_SET = -1.0


class Queueing:
    """The smallest number at which `share` of the requests waits for `wait_ms` at most, by Erlang C.

    Erlang (1917); "square-root staffing" is its limit (Halfin and Whitt, 1981). Where no objective is given, it is a
    fifth of the service: then the number follows from the load alone, as long as requests may be. Requests a second are
    those that were sent in the last `window_s`. Where it is not given, it is as long as 100 requests take, but no
    longer than a start was measured to take, since who averages for longer than that is later by more than replicas
    are; 5 s at least. Seconds of service each, where they are not given, are those at which the line would be as long
    as it is: of as many servers as there are slots in rotation, in flight L, the load is what Erlang's mean gives L
    for, and service = load / requests done a second (utilisation law), as right in a line that grows without end. All
    slots count as behind one line: where each replica has its own, they wait longer, and the service that is found is
    too long, which asks for more. Windows and rates are the wrapper's.
    """

    name: ClassVar[str] = "queueing"
    reads: ClassVar[frozenset[str]] = frozenset({"in_flight", "rate_rps"})

    def __init__(
        self, *, wait_ms: float = NOT_SET, share: float = 0.95, service_ms: float = 0.0, window_s: float = 0.0
    ) -> None:
        """`wait_ms`: the objective of waiting for a slot, -1 = a fifth of the service; `share`: of the requests that
        are to keep it; `service_ms`: milliseconds of service a request, 0 = found by what is seen; `window_s`: over so
        long what is seen is averaged, 0 = over 100 requests, but for no longer than a start takes, 5 s at least.
        """
        if wait_ms != NOT_SET:
            Bounds(0, 600_000).check("scaler.wait_ms", wait_ms)
        Bounds(0.01, 0.9999).check("scaler.share", share)
        Bounds(0, 600_000).check("scaler.service_ms", service_ms)
        if window_s:
            Bounds(0.1, 3600).check("scaler.window_s", window_s)
        self._wait_s = None if wait_ms == NOT_SET else wait_ms / 1e3
        self._share = share
        self._service_s = service_ms / 1e3
        self._window_s = window_s
        self._rate = TimedMean(window_s)
        self._work = TimedMean(window_s)
        self._at: float | None = None
        self.why = ""

    def decide(self, observation: Observation, now: float) -> float | None:
        """The number; None where nobody is in rotation, or nothing was seen before."""
        since, self._at = self._at, now
        slots = observation.slots_ready
        if observation.in_flight is None or observation.rate_rps is None or since is None or not slots:
            self.why = "nobody is in rotation" if not slots else "nothing was seen before"
            return None
        longest_s = self._window_s or max(LEAST_WINDOW_S, observation.startup_s or 0.0)
        for mean, value in ((self._rate, observation.rate_rps), (self._work, observation.in_flight)):
            mean.keep(longest_s)
            mean.add(value, since, now)
        window_s = self._window_s or _enough_s(self._rate.over(longest_s, now), longest_s, observation.time_factor)
        rate, work = self._rate.over(window_s, now), self._work.over(window_s, now)
        if rate is None or work is None:
            return None
        grown_s = (self._work.seen_s(window_s, now) - (now - since)) / observation.time_factor
        # A line that grows evenly is at the middle of a window what it is on average.
        growth = 2 * (observation.in_flight - work) / grown_s if grown_s > 0 else 0.0
        service_s = self._service_s or _service_s(rate - growth, work, sum(slots))
        if service_s is None:
            self.why = "nothing came" if work == 0 else "no request was done: no service time"
            return 0.0 if work == 0 else None
        each = max(1, round(sum(slots) / len(slots)))
        self.why = f"{rate:.2f} requests a second of {1e3 * service_s:.1f} ms each"
        wait_s = WAIT * service_s if self._wait_s is None else self._wait_s
        return float(fewest(rate * service_s, service_s, wait_s, self._share, each))


def _enough_s(rate_rps: float | None, longest_s: float, time_factor: float) -> float:
    """The scaler's seconds in which `REQUESTS` come, of which the run has fewer; within the bounds."""
    return min(max(LEAST_WINDOW_S, REQUESTS * time_factor / rate_rps), longest_s) if rate_rps else longest_s


def _service_s(done: float, work: float, servers: int) -> float | None:
    """Seconds of service a request, where `done` are served a second; None = none is."""
    return load_of(servers, work) / done if done > 0 and work > 0 else None
