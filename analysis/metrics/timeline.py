"""`timeline.parquet`: one row a second."""

import numpy as np
import pandas as pd

from record.latency import Floats, quantiles_by, ranked_ms
from record.reading import Run
from record.schema import CPU_ROLES

SAMPLED = (
    "replicas_ready", "replicas_desired", "replicas_provisioned", "router_in_flight", "router_lag_ms",
    *(f"cpu_{role}_cores" for role in CPU_ROLES),
)  # fmt: skip


def build(run: Run) -> pd.DataFrame:
    """One row a second of the run; rates of a last second that is not whole are per second all the same.

    Returns:
        Columns `second` (0..n-1, int64), `offered_rps, achieved_rps, goodput_rps` (float64), `errors` (int64),
        `p50_ms, p99_ms` and those of the samples (float64, NaN = undefined; of a quantile also where it lies among
        requests that were not served). Requests count in the second in which they were scheduled, for `achieved_rps`
        in that in which they were completed.
    """
    seconds = int(np.ceil(run.end_s))
    width = np.minimum(1.0, run.end_s - np.arange(seconds, dtype="float64"))
    requests = run.requests
    at = np.floor(requests["scheduled_s"].to_numpy()).astype("int64")
    ok = requests["outcome"].to_numpy(dtype=object) == "ok"
    completed_s = requests["completed_s"].to_numpy()
    completed = np.floor(completed_s[completed_s < run.end_s]).astype("int64")
    latencies = ranked_ms(requests)
    quantiles = dict(zip(("p50", "p99"), quantiles_by(latencies, at, seconds, (0.5, 0.99)), strict=True))
    return pd.DataFrame(
        {
            "second": np.arange(seconds, dtype="int64"),
            "offered_rps": _count(np.floor(run.offered.to_numpy()).astype("int64"), seconds) / width,
            "achieved_rps": _count(completed, seconds) / width,
            "goodput_rps": _count(at[ok], seconds) / width,
            "errors": _count(at[~ok], seconds),
            **{f"{name}_ms": np.where(np.isfinite(values), values, np.nan) for name, values in quantiles.items()},
            **dict(zip(SAMPLED, _samples(run, seconds).T, strict=True)),
        }
    )


def is_beyond(timeline: pd.DataFrame, column: str) -> "pd.Series[bool]":
    """Whether a second's quantile lies among requests that were not served; where it had no request it does not."""
    return timeline[column].isna() & (timeline["errors"] > 0)


def _count(seconds: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(seconds[(seconds >= 0) & (seconds < n)], minlength=n)


def _samples(run: Run, seconds: int) -> Floats:
    """The runner's samples, shape (seconds, len(SAMPLED)): the one taken at the end of a second belongs to it."""
    table = np.full((seconds, len(SAMPLED)), np.nan)
    for sample in run.samples:
        cpu = sample.get("cpu") or {}
        second = round(sample["t_s"]) - 1
        if 0 <= second < seconds:
            table[second] = [
                np.nan if value is None else value
                for value in (
                    sample.get("replicas_ready"),
                    sample.get("replicas_desired"),
                    sample.get("replicas_provisioned"),
                    sample.get("router_in_flight"),
                    sample.get("router_lag_ms"),
                    *(cpu.get(role) for role in CPU_ROLES),
                )
            ]
    return table
