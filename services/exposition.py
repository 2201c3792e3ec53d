"""What all services' Prometheus metrics share: the registry they begin with, and the bounds of latency histograms."""

import os
import platform

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from services import __version__

REVISION = "AEGIS_REVISION"
"""The environment's name for the commit that an image was built from."""

LATENCY_S = tuple(round(0.001 * 10 ** (step / 8), 6) for step in range(35))
"""Seconds, eight to the decade from 1 ms to 17.8 s.

Neighbours lie a factor of 1.33 apart, so that a quantile interpolated between two of them is at most a third off;
prometheus_client's own bounds (5 ms to 10 s, a factor of 2 to 2.5) would hide what policies differ by.
"""


def new_registry() -> CollectorRegistry:
    """A registry with the process' own metrics and its build, without a `_created` series beside every other one."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    about = {
        "version": __version__,
        "revision": os.environ.get(REVISION) or "unknown",
        "python": platform.python_version(),
    }
    built = Gauge("aegis_build_info", "1; its labels say what runs here", list(about), registry=registry)
    built.labels(**about).set(1)
    return registry


def exposed(registry: CollectorRegistry, accept: str | None) -> tuple[bytes, str]:
    """The metrics and their content type: in OpenMetrics' format, which alone has exemplars, for whoever accepts it.

    Args:
        registry: of `new_registry`.
        accept: the header by which Prometheus says which formats it reads.
    """
    encode, content_type = choose_encoder(accept or "")
    return encode(registry), content_type
