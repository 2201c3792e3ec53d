"""How much may be in flight: a limit that follows latency. Pure: it is told the time.

Gradient2 of Netflix' concurrency-limits (Gradient2Limit.java; its defaults are those of `LimitSettings`), fed with the
means of windows as that library's WindowedLimit does it; but a window in which too few answers came goes on until they
are enough, or the limit of a slow replica would stay where it began. The gradient is the long mean of the latencies,
times a tolerance, over the last one, between 0.5 and 1:

    limit <- (1 - smoothing) limit + smoothing (gradient limit + queue)

While latency stays where it is the limit grows by smoothing * queue a window; where it rises above the tolerance the
limit shrinks in proportion. The long mean follows in the end, so that after an hour of overload that is normal.
A limit that begins far below what it will be doubles until then (`SlowStart`).
"""

from typing import Final

from services.router.settings import LimitSettings

WARM_UP: Final = 10
"""Windows that the long mean begins with, each counting the same (Gradient2Limit)."""
FASTER: Final = 2.0
"""Where the long mean is more than so many times the last one, an overload is over:"""
FORGETS: Final = 0.95
"""so the long mean shrinks by this a window."""
STEEPEST: Final = 0.5
"""The least gradient: an outlier takes no more than half."""
SAMPLES: Final = 10
"""Of fewer answers a mean says nothing (WindowedLimit)."""
LATER: Final = 10
"""So many windows after a limit has doubled, a rise of latency has another cause."""


class Gradient2:
    """A limit on what is in flight."""

    def __init__(self, settings: LimitSettings) -> None:
        """At `settings.initial`."""
        self._settings = settings
        self.value = float(settings.initial)
        """What the limit is; below the next whole number nothing is let in."""
        self._long_s = self._warm_up_s = 0.0
        self._windows = 0
        self._ends = 0.0
        """When the window has lasted long enough, seconds; 0 = it begins with the next answer."""
        self._sum_s = 0.0
        self._count = self._most = 0

    def admits(self, in_flight: int) -> bool:
        """Whether one more may come where there are so many."""
        return in_flight < int(self.value)

    def on_answer(self, latency_s: float, in_flight: int, now: float) -> None:
        """An answer came after `latency_s`, one of `in_flight`; failures say nothing of how long work takes."""
        self._sum_s += latency_s
        self._count += 1
        self._most = max(self._most, in_flight)
        if not self._ends:
            self._ends = now + self._settings.window_s
        if now < self._ends or self._count < SAMPLES:
            return
        self.update(self._sum_s / self._count, self._most)
        self._ends = now + self._settings.window_s
        self._sum_s = 0.0
        self._count = self._most = 0

    def update(self, latency_s: float, in_flight: int) -> None:
        """A window has ended: its mean latency, seconds, and the most that was in flight."""
        settings = self._settings
        if self._windows < WARM_UP:
            self._windows += 1
            self._warm_up_s += latency_s
            self._long_s = self._warm_up_s / self._windows
        else:
            self._long_s += (latency_s - self._long_s) * 2 / (settings.long_windows + 1)
        long_s = self._long_s
        if long_s > FASTER * latency_s:
            self._long_s *= FORGETS
        if in_flight < self.value / 2:  # what is asked limits it, not this
            return
        gradient = max(STEEPEST, min(1.0, settings.tolerance * long_s / latency_s))
        target = gradient * self.value + settings.queue
        self.value += settings.smoothing * (target - self.value)
        self.value = max(float(settings.least), min(float(settings.most), self.value))


class SlowStart(Gradient2):
    """Gradient2 from a guess: while latency stays where it is, the limit doubles with every window that reaches it.

    TCP's slow start (Jacobson, Congestion avoidance and control, SIGCOMM 1988), which ends before anything is lost, as
    soon as latency rises (Ha and Rhee, Hybrid slow start, PFLDNet 2008; RFC 9406). Two windows in a row must say so,
    since the mean of a few times scatters. Where all is taken, latency rises in proportion to what is too much: the
    limit falls back to what there is. Before the last doubling latency was within the tolerance, so that at most twice
    that is too much, and the rest of a rise is a fault's. One that comes later is a fault's, and Gradient2's matter.
    """

    def __init__(self, settings: LimitSettings) -> None:
        """At `settings.initial`."""
        super().__init__(settings)
        self._is_starting = True
        self._since = self._risen = 0
        """Windows since the limit doubled; those of the last ones that reached it, and in which latency had risen."""

    def update(self, latency_s: float, in_flight: int) -> None:
        """A window has ended, as of Gradient2."""
        settings = self._settings
        if not self._is_starting:
            super().update(latency_s, in_flight)
            return
        is_reached = in_flight >= int(self.value)
        self._since += 1
        if not self._windows or latency_s <= settings.tolerance * self._long_s:
            self._risen = 0
            super().update(latency_s, 0)  # for the long mean alone
            if is_reached:
                self._since = 0
                self.value = min(float(settings.most), 2 * self.value)
        elif is_reached:
            self._risen += 1
            if self._risen < 2:
                return
            self._is_starting = False
            if self._since > LATER:
                super().update(latency_s, in_flight)
            else:
                there_is = max(self.value * self._long_s / latency_s, self.value / (2 * settings.tolerance))
                self.value = max(float(settings.least), there_is + settings.queue)
