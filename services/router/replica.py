"""What the router knows of one replica. Plain, told the time (seconds on a monotonic clock)."""

from typing import Any, Literal, get_args

from services.router.work import Worker

State = Literal["pending", "ready", "ejected", "draining"]
STATES: tuple[State, ...] = get_args(State)


class Replica(Worker):
    """One replica as the router sees it."""

    __slots__ = (
        "admin_url", "concurrency", "cpu_at", "cpu_s", "draining", "ejected_until", "ejections_in_row",
        "ejections_total", "fails", "failures_in_row", "failures_total", "healthy", "id", "latency_s", "lease_s",
        "lease_until", "passes", "requests_total", "url", "weight",
    )  # fmt: skip

    def __init__(self, id: str, url: str) -> None:
        """It has just registered."""
        super().__init__()
        self.id = id
        self.url = url
        self.admin_url: str | None = None
        self.weight = 1.0
        self.concurrency: int | None = None
        self.cpu_s: float | None = None
        """CPU seconds that its process has used, as it said at `cpu_at`; None = it says nothing of it."""
        self.cpu_at = 0.0
        self.requests_total = 0
        self.failures_total = 0
        self.ejections_total = 0
        self.latency_s: float | None = None
        self.lease_until: float | None = None
        self.lease_s = 0.0
        """How long it was when it was last renewed."""
        self.draining = False
        self.healthy: bool | None = None
        """None until the first check has answered."""
        self.passes = 0
        self.fails = 0
        self.failures_in_row = 0
        self.ejections_in_row = 0
        self.ejected_until: float | None = None

    @property
    def state(self) -> State:
        """Why it is in rotation (`ready`), or not."""
        if self.draining:
            return "draining"
        if self.healthy is None:
            return "pending"
        return "ready" if self.healthy and self.ejected_until is None else "ejected"


def describe(replica: Replica, now: float) -> dict[str, Any]:
    """A replica as the admin port shows it."""
    latency, lease = replica.latency_s, replica.lease_until
    return {
        "id": replica.id,
        "url": replica.url,
        "admin_url": replica.admin_url,
        "weight": replica.weight,
        "state": replica.state,
        "concurrency": replica.concurrency,
        "in_flight": replica.in_flight,
        "in_flight_seconds_total": round(replica.in_flight_seconds(now), 6),
        "work_seconds_total": round(replica.work_seconds(now), 6),
        "busy_seconds_total": round(replica.busy_seconds(now), 6),
        "cpu_seconds_total": replica.cpu_s,
        "cpu_at_s": None if replica.cpu_s is None else replica.cpu_at,
        "requests_total": replica.requests_total,
        "failures_total": replica.failures_total,
        "latency_ewma_ms": None if latency is None else round(latency * 1e3, 3),
        "lease_remaining_s": None if lease is None else round(lease - now, 3),
    }


def may_work(replica: Replica) -> bool:
    """Whether nothing but a failed check speaks against it."""
    return replica.healthy is not None and replica.ejected_until is None and not replica.draining
