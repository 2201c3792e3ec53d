"""How long an attempt is waited for before something is done about it, by what attempts have taken of late.

Two things may be done: a second attempt is made beside it on another replica, and the first good answer wins (hedging:
Dean and Barroso, The Tail at Scale, CACM 56(2), 2013; Finagle's BackupRequestFilter, whose window, least delay and
budget these are); or it is given up, and made again elsewhere (the adaptive time-out). Only requests that may be sent
twice have either. The rules of retries hold for both: attempts and their budget bound them, and where they do not allow
another attempt, the one under way keeps its whole time.

A request's first attempt counts, also where it was cancelled for the other one's answer or timed out: with the time
that it had had, which is beyond the percentile as its true time is, so that the percentile stays right. (In Finagle
second attempts count as well; those that are cancelled had little time, and the percentile falls: 8 % of extra load
where 5 % was asked for.) Failures, and attempts whose client has gone, say nothing.
"""

from services.router.budgets import WindowBudget
from services.router.running_percentile import RunningPercentile
from services.router.settings import HedgingSettings, TimeoutSettings

NEVER_S = float("inf")
SUPERSEDED = "superseded"
"""Why an attempt is cancelled: another one of the same request has been answered."""
TIMEOUT = "timeout"
HEDGES_TTL_S = 10.0
"""How long a request allows for hedges (Finagle's ttl), seconds."""


class Patience:
    """For all requests of a router; told the time, seconds."""

    def __init__(self, hedging: HedgingSettings, timeouts: TimeoutSettings) -> None:
        """At least one of the two is on."""
        self._hedging = hedging
        self._timeouts = timeouts
        self._to_hedge = RunningPercentile(hedging.percentile) if hedging.enabled else None
        self._to_give_up = RunningPercentile(timeouts.adaptive_percentile) if timeouts.adaptive_factor > 0 else None
        self._budget = WindowBudget(hedging.budget_ratio, 0.0, HEDGES_TTL_S)

    def on_request(self, now: float) -> None:
        """A request came in."""
        self._budget.on_request(now)

    def on_finish(self, latency_s: float, now: float) -> None:
        """An attempt was answered, or is known to take longer than this."""
        if self._to_hedge is not None:
            self._to_hedge.add(latency_s, now)
        if self._to_give_up is not None:
            self._to_give_up.add(latency_s, now)

    def hedge_s(self, now: float) -> float:
        """After how long without an answer an attempt gets a second one beside it, seconds; infinity = never."""
        slow_s = None if self._to_hedge is None else self._to_hedge.value(now)
        return NEVER_S if slow_s is None else max(slow_s, self._hedging.min_delay_s)

    def give_up_s(self, now: float) -> float:
        """After how long without an answer an attempt is given up if another may follow, seconds; infinity = never."""
        slow_s = None if self._to_give_up is None else self._to_give_up.value(now)
        timeouts = self._timeouts
        return NEVER_S if slow_s is None else max(slow_s * timeouts.adaptive_factor, timeouts.adaptive_floor_s)

    def allows(self, now: float) -> bool:
        """Whether a hedge may be withdrawn."""
        return self._budget.allows(now)

    def withdraw(self, now: float) -> None:
        """One hedge."""
        self._budget.withdraw(now)
