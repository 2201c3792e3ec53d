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
    by: Literal["ratio", "share", "seconds"] = "ratio"
    """Compared by the ratio, or by the difference: of shares, and of seconds that are counted whole and may be none."""
    quantile: float | None = None
    """Of latency, which one."""

    @property
    def is_share(self) -> bool:
        """Whether it counts requests."""
        return self.by == "share"


FAILED = "error_rate"
"""Lost requests: what every other verdict stands behind."""
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
)
BY_KEY = {compared.key: compared for compared in COMPARED}
PRIMARY = tuple(BY_KEY)
"""What `comparison.primary` may name."""
RATIOS = tuple(compared.key for compared in COMPARED if compared.by == "ratio")
"""Those that have one."""
LEAST_S = 1.0
"""What `recovery_s` and `slo_violation_s` are counted in, seconds."""
