"""The metrics that arms are compared by. Light: the configuration reads the names from here."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Compared:
    """A key of `metrics.json`."""

    key: str
    label: str
    unit: str
    lower_is_better: bool = True
    by: Literal["ratio", "share", "seconds", "count"] = "ratio"
    """Compared by the ratio, or by the difference: of shares, and of seconds and other counts that are whole and may be
    none. What is best in the middle is not compared, as a scaler's jitter, which may be above 0 and below."""
    quantile: float | None = None
    """Of latency, which one."""
    digits: int = 1
    """After the point, where a value is told."""
    beyond: str | None = None
    """The key that has a number where this has none since it lies among requests that were not served; of a quantile
    that follows from its name."""

    @property
    def beyond_key(self) -> str | None:
        """That key; None = its number is never lacking for such a reason."""
        return self.key.replace("_ms", "_beyond_ms") if self.quantile is not None else self.beyond

    @property
    def is_share(self) -> bool:
        """Whether it counts requests."""
        return self.by == "share"

    @property
    def is_whole(self) -> bool:
        """Whether it is counted whole."""
        return self.by in ("seconds", "count")

    @property
    def is_percent(self) -> bool:
        """Whether it is told as a percentage: of requests, of time, of what is needed."""
        return self.unit == "share"


FAILED = "error_rate"
"""Lost requests: what every other verdict stands behind."""
REGRET = "scaling_regret"
"""What scalers are judged by: what a run cost over what the best schedule would have."""
COMPARED = (
    Compared("latency_p50_ms", "latency p50", "ms", quantile=0.5),
    Compared("latency_p90_ms", "latency p90", "ms", quantile=0.9),
    Compared("latency_p99_ms", "latency p99", "ms", quantile=0.99),
    Compared("latency_p999_ms", "latency p99.9", "ms", quantile=0.999),
    Compared("latency_mean_ms", "latency mean", "ms"),
    Compared("goodput_rps", "goodput", "requests/s", lower_is_better=False),
    Compared(FAILED, "failed requests", "share", by="share"),
    Compared("served_share", "served within the objective", "share", lower_is_better=False, by="share"),
    Compared("detection_s", "detection", "s"),
    Compared("recovery_s", "recovery", "s", by="seconds"),
    Compared("slo_violation_s", "seconds outside the objective", "s", by="seconds"),
    Compared("replica_seconds", "replica-seconds", "s"),
    Compared(REGRET, "cost over hindsight's", "times", digits=2),
    Compared("under_provisioning_accuracy", "under-provisioning", "share"),
    Compared("over_provisioning_accuracy", "over-provisioning", "share"),
    Compared("under_provisioned_share", "time under-provisioned", "share"),
    Compared("over_provisioned_share", "time over-provisioned", "share"),
    Compared("need_to_ready_s", "from need to ready", "s", by="seconds"),
    Compared("scaling_actions", "scaling actions", "actions", by="count"),
)
BY_KEY = {compared.key: compared for compared in COMPARED}
PRIMARY = tuple(BY_KEY)
"""What `comparison.primary` may name."""
RATIOS = tuple(compared.key for compared in COMPARED if compared.by == "ratio")
"""Those that have one."""
LEAST = 1.0
"""What is counted whole is counted in: seconds, actions."""
