"""The metrics that arms are compared by. Light: the configuration reads the names from here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Compared:
    """A key of `metrics.json`."""

    key: str
    label: str
    unit: str
    lower_is_better: bool = True
    is_share: bool = False
    """Compared by the difference, as it may be zero; the others by the ratio."""


COMPARED = (
    Compared("latency_p50_ms", "latency p50", "ms"),
    Compared("latency_p90_ms", "latency p90", "ms"),
    Compared("latency_p99_ms", "latency p99", "ms"),
    Compared("latency_p999_ms", "latency p99.9", "ms"),
    Compared("latency_mean_ms", "latency mean", "ms"),
    Compared("goodput_rps", "goodput", "requests/s", lower_is_better=False),
    Compared("error_rate", "failed requests", "share", is_share=True),
    Compared("served_share", "served in time", "share", lower_is_better=False, is_share=True),
    Compared("detection_s", "detection", "s"),
    Compared("replica_seconds", "replica-seconds", "s"),
)
PRIMARY = tuple(compared.key for compared in COMPARED)
"""What `comparison.primary` may name."""
SHARES = tuple(compared.key for compared in COMPARED if compared.is_share)
"""Those that have no ratio."""
