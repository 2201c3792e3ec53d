"""As few replicas as Erlang's formula lets keep an objective of waiting."""

from typing import ClassVar

from services.bounds import Bounds
from services.manager.erlang import fewest, load_of
from services.manager.observation import Observation
from services.manager.windows import TimedMean


class Queueing:
    """The smallest number at which `share` of the requests waits for `wait_ms` at most, by Erlang C.

    Erlang (1917); "square-root staffing" is its limit (Halfin and Whitt, 1981). Requests a second are those that were
    sent in the last `window_s`. Seconds of service each, where they are not given, are those at which the line would
    be as long as it is: of as many servers as there are slots in rotation, in flight L, the load is what Erlang's mean
    gives L for, and service = load / requests done a second (utilisation law), as right in a line that grows without
    end. All slots count as behind one line: where each replica has its own, they wait longer, and the service that is
    found is too long, which asks for more. Windows and rates are the wrapper's.
    """

    name: ClassVar[str] = "queueing"
    reads: ClassVar[frozenset[str]] = frozenset({"in_flight", "rate_rps"})

    def __init__(
        self, *, wait_ms: float = 20.0, share: float = 0.95, service_ms: float = 0.0, window_s: float = 5.0
    ) -> None:
        """`wait_ms`: the objective of waiting for a slot; `share`: of the requests that are to keep it; `service_ms`:
        milliseconds of service a request, 0 = found by what is seen; `window_s`: over so long what is seen is averaged.
        """
        Bounds(0, 600_000).check("scaler.wait_ms", wait_ms)
        Bounds(0.01, 0.9999).check("scaler.share", share)
        Bounds(0, 600_000).check("scaler.service_ms", service_ms)
        Bounds(0.1, 3600).check("scaler.window_s", window_s)
        self._wait_s = wait_ms / 1e3
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
        self._rate.add(observation.rate_rps, since, now)
        self._work.add(observation.in_flight, since, now)
        rate, work = self._rate.over(self._window_s, now), self._work.over(self._window_s, now)
        if rate is None or work is None:
            return None
        grown_s = (self._work.seen_s(self._window_s, now) - (now - since)) / observation.time_factor
        # A line that grows evenly is at the middle of a window what it is on average.
        growth = 2 * (observation.in_flight - work) / grown_s if grown_s > 0 else 0.0
        service_s = self._service_s or _service_s(rate - growth, work, sum(slots))
        if service_s is None:
            self.why = "nothing came" if work == 0 else "no request was done: no service time"
            return 0.0 if work == 0 else None
        each = max(1, round(sum(slots) / len(slots)))
        self.why = f"{rate:.2f} requests a second of {1e3 * service_s:.1f} ms each"
        return float(fewest(rate * service_s, service_s, self._wait_s, self._share, each))


def _service_s(done: float, work: float, servers: int) -> float | None:
    """Seconds of service a request, where `done` are served a second; None = none is."""
    return load_of(servers, work) / done if done > 0 and work > 0 else None
