"""Runs for the comparison without the files: what `metrics.json` and manifest would hold of simulated latencies."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.comparison.arms import Arm, Measured
from analysis.comparison.compared import BY_KEY
from record.latency import QUANTILES
from record.metrics import Metrics
from record.reading import Run
from record.shapes import Manifest

EMPTY = pd.DataFrame()
NONE = pd.Series(dtype="float64")
UNKNOWN: dict[str, float | bool | None] = {
    **dict.fromkeys(BY_KEY),
    **{f"latency_{name}_beyond_ms": None for name in QUANTILES},
    "faults_undetected": None,
    "recovered": None,
    "relaxation_s": None,
    "steady": None,
}


def settings(
    *,
    primary: str = "latency_p99_ms",
    estimand: str = "run",
    until: float | None = None,
    most: int = 20,
    looks: Sequence[int] = (),
    duration_s: float = 0.0,
) -> Manifest:
    """A manifest with what the comparison reads of it."""
    return {
        "schedule_hash": "the same",
        "looks": list(looks),
        "config": {
            "workload": {"duration_s": duration_s, "warmup_s": 0.0},
            "comparison": {
                "primary": primary,
                "estimand": estimand,
                "smallest_effect": 0.05,
                "smallest_share": 0.001,
                "smallest_seconds": 1.0,
            },
            "repeat": {"until_ratio_ci": until, "max": most},
        },
        "exit_reason": "complete",
    }


def run(manifest: Manifest, latencies: NDArray[np.float64] | None = None) -> Run:
    """A run of that manifest; its latencies in ms, where the estimand asks for them."""
    made = Run(Path(), manifest, EMPTY, [], [], NONE, NONE)
    made.latencies = np.zeros(0) if latencies is None else latencies
    return made


def metrics(
    requests: int, known: Mapping[str, float | None] | None = None, *, failed: int = 0, valid: bool = True
) -> Metrics:
    """The metrics of a run in which `failed` of `requests` were lost and the others served within the objective.

    Args:
        requests: offered in the run.
        known: further keys of `metrics.json`; all others are null.
        failed: of the requests.
        valid: whether the run counts.
    """
    counts = {"offered_requests": requests, "failed_requests": failed, "error_rate": failed / requests}
    return cast(
        Metrics, UNKNOWN | counts | {"served_share": 1 - failed / requests, "valid": valid} | dict(known or {})
    )


def arm(label: str, manifest: Manifest, runs: Sequence[Metrics]) -> Arm:
    """An arm of runs with these metrics, one a seed."""
    one = run(manifest)
    return Arm(label, {seed: [Measured(one, metrics)] for seed, metrics in enumerate(runs)})
