"""How starts of replicas go that are not the processes' own matter, and when one that failed is tried again. Pure."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

from services.draws import uniform
from services.manager.settings import StartSettings

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Start:
    """What is drawn for one start."""

    wait_s: float = 0.0
    """So much longer than its process takes; infinity = it never becomes ready."""
    crash_after_s: float | None = None
    """It crashes so long after it was ready; None = it does not."""

    def options(self) -> dict[str, object]:
        """As options of services.backend; nothing where the start is as the process has it."""
        options: dict[str, object] = {"ready_after_s": self.wait_s} if self.wait_s else {}
        return options if self.crash_after_s is None else {**options, "crash_after_s": self.crash_after_s}


@dataclass(slots=True)
class _Failed:
    count: int
    """In a row."""
    again_at: float
    well_since: float
    """Since when nothing has gone wrong; infinity while it starts."""


class Starts:
    """Draws by a hash of seed, replica and the number of its start: the same live and simulated.

    A replica that failed, in its start or after it, is started again at once the first time, then after `backoff_s`,
    twice that, and so on, at most `backoff_most_s`; one that went well for twice that, or was not wanted for so long,
    begins anew: as the kubelet does with containers (10 s, 300 s; kubernetes #12648, #133472). A start is not yet well,
    however long it takes.
    """

    def __init__(self, settings: StartSettings, seed: int) -> None:
        """Nothing has been started."""
        self.settings = settings
        self._seed = seed
        self._numbers: Counter[str] = Counter()
        """Starts of each replica."""
        self._pulled: dict[int, float] = {}
        """When each host has the image."""
        self._failed: dict[str, _Failed] = {}

    def begun(self, ids: Iterable[str]) -> None:
        """These have been there from the beginning: their hosts have the image."""
        for id_ in ids:
            self._pulled[self._host(id_)] = -math.inf

    def draw(self, id_: str, now: float) -> Start:
        """The next start of a replica, which begins now."""
        s = self.settings
        if (failed := self._failed.get(id_)) is not None:
            if self._is_over(failed, now):
                del self._failed[id_]
            failed.well_since = math.inf
        self._numbers[id_] += 1
        number = str(self._numbers[id_])
        host = self._host(id_)
        if host not in self._pulled:
            u = uniform(self._seed, f"host-{host}", "manager", "1", "pull")
            self._pulled[host] = now + lognormal_s(s.pull_s, s.pull_sigma, u)
        if self._u(id_, number, "never ready") < s.never_ready:
            return Start(math.inf)
        extra_s = lognormal_s(s.extra_s, s.extra_sigma, self._u(id_, number, "extra"))
        wait_s = max(0.0, self._pulled[host] - now) + extra_s
        return Start(wait_s, s.crash_after_s if self._u(id_, number, "crash") < s.crash else None)

    def _u(self, id_: str, number: str, purpose: str) -> float:
        return uniform(self._seed, id_, "manager", number, purpose)

    def _host(self, id_: str) -> int:
        """Replicas are spread over the hosts in turn; without hosts each has its own."""
        place = int(id_[1:]) - 1
        return place % self.settings.hosts if self.settings.hosts else place

    def failed(self, id_: str, now: float) -> tuple[int, float]:
        """A replica's start has failed, or it has ended by itself: how often in a row, and seconds until it is tried
        again."""
        s, before = self.settings, self._failed.get(id_)
        count = 1 if before is None or self._is_over(before, now) else before.count + 1
        again_s = 0.0 if count == 1 else min(s.backoff_most_s, s.backoff_s * 2.0 ** min(count - 2, 64))
        self._failed[id_] = _Failed(count, now + again_s, now + again_s)
        return count, again_s

    def up(self, id_: str, now: float) -> None:
        """It is up, since this moment if it was not known to be."""
        failed = self._failed.get(id_)
        if failed is not None and failed.well_since == math.inf:
            failed.well_since = now

    def _is_over(self, failed: _Failed, now: float) -> bool:
        return now - failed.well_since > 2 * self.settings.backoff_most_s

    def may_start(self, id_: str, now: float) -> bool:
        """Whether its pause is over, if it has one."""
        failed = self._failed.get(id_)
        return failed is None or now >= failed.again_at - 1e-9


def lognormal_s(median_s: float, sigma: float, u: float) -> float:
    """The quantile `u`, seconds, rounded to 0.1 us so that it is the same on every machine."""
    return median_s if sigma == 0 else round(median_s * math.exp(sigma * _NORMAL.inv_cdf(u)), 7)
