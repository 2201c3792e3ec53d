"""Clients that ask again: whether a request is sent once more, and when. Pure: it is told the time.

The generator and the simulator call the same object. Three attempts a request, and a client's own bound on the ratio of
retries to requests (10 %): Google, Site Reliability Engineering, 2016, chapter 21; how layers multiply, chapter 22.
"""

from experiments.plan.client_retries import ClientRetrySettings
from services.backoff import full_jitter_s
from services.draws import uniform
from services.router.budgets import WindowBudget

WINDOW_S = 10.0
"""Requests and retries of so many seconds count for the budget, as in the router's own (Finagle's RetryBudget)."""
LEAST_S = 0.001
"""Who has less time left, in seconds, does not ask again."""
RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
"""What may be otherwise a moment later."""


class ClientRetries:
    """All clients of one generator."""

    def __init__(
        self, settings: ClientRetrySettings, timeout_s: float, seed: int, deadline_ms: float | None = None
    ) -> None:
        """`timeout_s` is what all attempts of a request have together; `seed` is that of the pauses.

        After `deadline_ms`, if they say one, none begins.
        """
        self._settings = settings
        self._timeout_s = timeout_s
        self._latest_s = timeout_s if deadline_ms is None else min(timeout_s, deadline_ms / 1e3)
        self._attempt_s = timeout_s if settings.attempt_s is None else min(settings.attempt_s, timeout_s)
        self._seed = seed
        self._budget = None if settings.budget is None else WindowBudget(settings.budget, 0.0, WINDOW_S)

    def on_request(self, now: float) -> None:
        """A request is sent for the first time."""
        if self._budget is not None:
            self._budget.on_request(now)

    def limit_s(self, elapsed_s: float) -> float:
        """How long an attempt is waited for that is sent `elapsed_s` after the first, seconds."""
        return min(self._attempt_s, self._timeout_s - elapsed_s)

    def pause_s(
        self, request_id: int, sends: int, outcome: str, status: int | None, elapsed_s: float, now: float,
        *, is_post: bool,
    ) -> float | None:  # fmt: skip
        """Seconds until the request is sent again; None = its last attempt was that.

        Args:
            request_id: which.
            sends: how often it was sent.
            outcome: how that ended, of `record.schema.OUTCOMES`.
            status: of its answer.
            elapsed_s: since it was sent for the first time, seconds.
            now: seconds.
            is_post: what must not be done twice.
        """
        settings = self._settings
        if outcome in ("ok", "dropped") or (outcome == "http_error" and status not in RETRIED_STATUSES):
            return None
        if sends >= settings.max_attempts or (is_post and not settings.post and outcome != "refused"):
            return None
        u = uniform(self._seed, str(request_id), "client", str(sends), "retry")
        pause_s = full_jitter_s(sends, settings.backoff_base_s, settings.backoff_max_s, u)
        if elapsed_s + pause_s > self._latest_s - LEAST_S or not (self._budget is None or self._budget.take(now)):
            return None
        return pause_s
