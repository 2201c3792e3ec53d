"""What a replica says of itself: with an answer, in its headers, and when its `/probe` is asked."""

import json
import math

from services.router.policy import Report
from services.router.wire.messages import Answer

METRICS = b"endpoint-load-metrics"
"""ORCA's header, as Envoy and gRPC know it; of its formats `TEXT` is read: `TEXT rps_fractional=45.1,eps=0`."""
HIGHEST = 1e12
"""A larger number is none."""


def _number(text: str) -> float | None:
    """One that can be reckoned with; None = it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 <= number <= HIGHEST else None


def report_of(answer: Answer) -> Report:
    """What its headers say; what cannot be read is not said."""
    report = Report()
    for lower, _, value in answer.headers:
        if lower == b"x-aegis-in-flight":
            count = _number(value.decode("latin-1"))
            report.in_flight = None if count is None else max(0, int(count) - 1)  # without the one that is answered
        elif lower == b"x-aegis-service-ms":
            service_ms = _number(value.decode("latin-1"))
            report.service_s = None if service_ms is None else service_ms / 1e3
        elif lower == METRICS:
            form, _, pairs = value.decode("latin-1").strip().partition(" ")
            if form != "TEXT":
                continue
            told = {
                name.strip(): _number(number) for name, _, number in (each.partition("=") for each in pairs.split(","))
            }
            report.utilisation = told.get("application_utilization", told.get("cpu_utilization"))
            report.rps, report.eps = told.get("rps_fractional"), told.get("eps")
    return report


def probed(body: bytes) -> tuple[int, float | None] | None:
    """What `/probe` says: requests in flight, and the latency to expect, seconds; None = it cannot be read."""
    try:
        told = json.loads(body)
        in_flight, latency_ms = told["in_flight"], told.get("latency_ms")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    if isinstance(in_flight, bool) or not isinstance(in_flight, int) or not 0 <= in_flight <= HIGHEST:
        return None
    known = isinstance(latency_ms, int | float) and not isinstance(latency_ms, bool) and 0 <= latency_ms <= HIGHEST
    return in_flight, latency_ms / 1e3 if known else None
