"""How long runs take, and how a person says it. Light: the command line reads it before anything is imported."""

LIVE_OVERHEAD_S = 10.0
"""Seconds that a live run takes besides its load: services up and down, analysis and page. Four replicas and 10 s of
load took 17 CPU-seconds (2026-11, AMD EPYC), which two idle cores do in so long."""

PACKED_OVERHEAD_S = 4.5
"""Likewise one of an evidence pack: one process has imported all of it, and nothing is drawn. A run of 20 s took 24.1
(16 runs with six proxies, 2026-11-30, two cores of which others used one): proxy and replicas 1.6, Locust 1.0, before
the first and after the last request 0.6, the end of all processes 0.8."""

SIMULATED_OVERHEAD_S = 4.0
"""Seconds that a simulated run takes besides its requests: schedule, analysis, page. Six of 700 requests took 25
CPU-seconds (2026-11, AMD EPYC)."""

SWEPT_OVERHEAD_S = 0.2
"""Likewise one of a sweep's simulated runs, which share a process and are not drawn (docs/simulator.md)."""
SWEEP_OVERHEAD_S = 15.0
"""What such a sweep takes once: imports, MLflow's database, comparison and page."""


def span(seconds: float) -> str:
    """A length of time in words, to two digits."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.2g} min" if seconds < 6000 else f"{seconds / 3600:.2g} h"
