"""Budgets of retries: what all requests together may try again, so that a failure is not answered by a storm.

    window      so many retries a request of the last seconds, and a floor (Finagle's RetryBudget: a leaky bucket)
    concurrent  so many retries under way for all that is under way (Envoy's retry_budget)
    throttle    none while failures outweigh successes (gRPC's retryThrottling, gRFC A6)
"""

from collections import deque

from services.router.policy import Outcome
from services.router.settings import RetrySettings


class Budget:
    """The shape of each; told the time, seconds. What means nothing to one is left as it is here: nothing is done."""

    attends: bool
    """Whether it wants to hear of attempts that begin and end."""

    def on_request(self, now: float) -> None:
        """A request came in."""

    def allows(self, now: float, ends: Outcome | None = None, *, is_retry: bool = False) -> bool:
        """Whether a retry may be withdrawn.

        `ends`: how the attempt that it follows ends, which counts already though `on_finish` is told of it later (None:
        none ends); `is_retry`: that one was withdrawn itself.
        """
        raise NotImplementedError

    def withdraw(self, now: float) -> None:
        """One retry."""

    def take(self, now: float, ends: Outcome | None = None, *, is_retry: bool = False) -> bool:
        """Withdraw one retry; False where the budget is spent. The rest as for `allows`."""
        if not self.allows(now, ends, is_retry=is_retry):
            return False
        self.withdraw(now)
        return True

    def give_back(self) -> None:
        """A retry that was withdrawn will not be made."""

    def on_start(self) -> None:
        """An attempt begins."""

    def on_finish(self, outcome: Outcome, *, is_retry: bool) -> None:
        """It has ended; `is_retry`: it was withdrawn."""


class WindowBudget(Budget):
    """Retries as a share of the window's requests, plus a floor.

    Finagle's RetryBudget(ttl, minRetriesPerSec, percentCanRetry): a request puts in 1, a retry takes 1 / share out,
    both are forgotten after the ttl, and there is a reserve of minRetriesPerSec x ttl retries. Its defaults are 10 s,
    10 a second and 0.2. Both slide in steps of a tenth. As there, a retry that is not made stays taken out.
    """

    attends = False

    def __init__(self, ratio: float, min_per_s: float, window_s: float) -> None:
        """Retries a request; retries a second that are allowed whatever the traffic; how long both count, seconds."""
        self._ratio = ratio
        self._floor = min_per_s * window_s
        self._step = window_s / 10
        self._counts: deque[list[float]] = deque()
        self._requests = 0.0
        self._retries = 0.0

    def _slot(self, now: float) -> list[float]:
        number = now // self._step
        if self._counts and self._counts[-1][0] == number:
            return self._counts[-1]
        while self._counts and self._counts[0][0] <= number - 10:
            _, requests, retries = self._counts.popleft()
            self._requests -= requests
            self._retries -= retries
        self._counts.append([number, 0.0, 0.0])
        return self._counts[-1]

    def on_request(self, now: float) -> None:
        """A request came in: it pays in."""
        self._slot(now)[1] += 1
        self._requests += 1

    def allows(self, now: float, ends: Outcome | None = None, *, is_retry: bool = False) -> bool:
        """Whether a retry may be withdrawn, however the attempt ends."""
        self._slot(now)
        return self._retries + 1 <= self._ratio * self._requests + self._floor

    def withdraw(self, now: float) -> None:
        """One retry."""
        self._slot(now)[2] += 1
        self._retries += 1

    def take(self, now: float, ends: Outcome | None = None, *, is_retry: bool = False) -> bool:
        """Both at once."""
        slot = self._slot(now)
        if self._retries + 1 > self._ratio * self._requests + self._floor:
            return False
        slot[2] += 1
        self._retries += 1
        return True


class ConcurrentBudget(Budget):
    """Retries under way, those that wait for their turn included, are fewer than a share of all attempts under way.

    Envoy's retry_budget (`budget_percent` 20 %, `min_retry_concurrency` 3): another is allowed while there are fewer
    than the larger of the two. A retry that fails gives its place to the one that follows it, as Envoy resets its own
    before it asks for the next (`RetryStateImpl::shouldRetry`).
    """

    attends = True

    def __init__(self, ratio: float, least: int) -> None:
        """Of what is under way, and whatever is under way."""
        self._ratio = ratio
        self._least = least
        self._attempts = 0
        self._retries = 0

    def allows(self, now: float, ends: Outcome | None = None, *, is_retry: bool = False) -> bool:
        """Whether there are fewer, once the attempt has ended."""
        attempts, retries = self._attempts, self._retries
        if ends is not None:
            attempts, retries = attempts - 1, retries - is_retry
        return retries < max(int(self._ratio * attempts), self._least)

    def withdraw(self, now: float) -> None:
        """One retry."""
        self._retries += 1

    def give_back(self) -> None:
        """A retry that was withdrawn will not be made."""
        self._retries -= 1

    def on_start(self) -> None:
        """An attempt begins."""
        self._attempts += 1

    def on_finish(self, outcome: Outcome, *, is_retry: bool) -> None:
        """It has ended."""
        self._attempts -= 1
        self._retries -= is_retry


class ThrottleBudget(Budget):
    """Tokens: a failure takes one, a success brings a part of one; retries only while more than half are there.

    gRPC's retryThrottling (gRFC A6); 10 tokens and a ratio of 0.1 are what its documentation shows, it has no default.
    A failure takes its token before the retry that would follow it is judged.
    """

    attends = True

    def __init__(self, most: float, ratio: float) -> None:
        """All tokens are there; `ratio` a success."""
        self._most = most
        self._ratio = ratio
        self.tokens = most

    def allows(self, now: float, ends: Outcome | None = None, *, is_retry: bool = False) -> bool:
        """Whether more than half are there, once the attempt has ended."""
        return self._after(ends) > self._most / 2

    def _after(self, ends: Outcome | None) -> float:
        """The tokens after an attempt that ends so; one that was cancelled is neither a success nor a failure."""
        if ends == "ok":
            return min(self._most, self.tokens + self._ratio)
        return self.tokens if ends in (None, "cancelled") else max(0.0, self.tokens - 1)

    def on_finish(self, outcome: Outcome, *, is_retry: bool) -> None:
        """A success or a failure."""
        self.tokens = self._after(outcome)


def budget_of(settings: RetrySettings) -> Budget:
    """The one that the settings name."""
    if settings.budget == "concurrent":
        return ConcurrentBudget(settings.budget_ratio, settings.budget_min_concurrent)
    if settings.budget == "throttle":
        return ThrottleBudget(settings.throttle_tokens, settings.throttle_ratio)
    return WindowBudget(settings.budget_ratio, settings.budget_min_per_s, settings.budget_window_s)
