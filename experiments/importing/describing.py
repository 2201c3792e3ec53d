"""What `import.json` says of a log beside its name: numbers, what was filled in, and what to be careful of."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from experiments.importing.batch import MILLISECOND, NO_ANSWER
from experiments.importing.curve import Curve
from experiments.importing.gathering import EARLY_S, UNKNOWN, Arranged, Gathered

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
WINDOW_S = 1.0
"""Of the counts whose dispersion is told."""
LEAST_WINDOWS = 10
LEAST_FOR_P99 = 368
"""Independent values for a two-sided 95 % interval of it (docs/validity.md)."""
FAILED = 500
LEFT = 499
"""nginx' word for a client that hung up before the answer."""
LONG_GAP_S = 600.0
BROKEN_SHARE = 0.05
"""Above this it is said that the format may be another one."""


def moment(unix_s: float) -> str:
    """A moment in words, UTC."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def dispersion(arrivals_s: np.ndarray, window_s: float = WINDOW_S) -> float | None:
    """Variance over mean of the counts in windows that follow each other: 1 for a Poisson process, 0 for a clock.

    Args:
        arrivals_s: ascending from 0, shape (n,).
        window_s: the last one, which is not whole, does not count.

    Returns:
        None below ten windows.
    """
    windows = int(arrivals_s[-1] / window_s) if len(arrivals_s) else 0
    if windows < LEAST_WINDOWS:
        return None
    whole = np.floor(arrivals_s[: np.searchsorted(arrivals_s, windows * window_s)] / window_s)
    counts = np.unique(whole, return_counts=True)[1].astype(float)  # the others are 0, however many there are
    mean = counts.sum() / windows
    variance = ((counts**2).sum() - windows * mean**2) / (windows - 1)
    return float(variance / mean)


def error_share(status: np.ndarray | None) -> float | None:
    """The share of requests that were not served: 5xx, 499, or no answer; None where nothing is told of any."""
    known = np.empty(0) if status is None else status[status != UNKNOWN]
    if not len(known):
        return None
    return float(np.mean((known >= FAILED) | (known == LEFT) | (known == NO_ANSWER)))


def numbers(requests: Arranged) -> dict[str, Any]:
    """Rate, span, dispersion, quantiles, errors; None = not defined, or the format does not tell."""
    arrivals = requests.arrivals_s
    span = float(arrivals[-1])
    gaps = np.diff(arrivals)
    longest = int(gaps.argmax()) if len(gaps) else None
    known = requests.columns.get("taken_s", np.empty(0))
    known = known[np.isfinite(known)]
    upstream = requests.columns.get("upstream")
    told: dict[str, Any] = {
        "requests": len(arrivals),
        "started_at": moment(requests.started_unix),
        "span_s": span,
        "rate_rps": (len(arrivals) - 1) / span if span > 0 else None,
        "dispersion": {"window_s": WINDOW_S, "index": dispersion(arrivals)},
        "longest_gap_s": None if longest is None else float(gaps[longest]),
        "longest_gap_from_s": None if longest is None else float(arrivals[longest]),
        "taken_known": len(known),
        "taken_s": {name: float(np.quantile(known, q)) if len(known) else None for name, q in QUANTILES.items()},
        "error_share": error_share(requests.columns.get("status")),
        "upstreams": None,
    }
    if upstream is not None:
        counts = np.bincount(upstream[upstream != UNKNOWN], minlength=len(requests.upstreams))
        told["upstreams"] = dict(zip(requests.upstreams, counts.tolist(), strict=True))
    return told


def filled_in(gathered: Gathered, requests: Arranged, seed: int) -> list[str]:
    """What the format does not tell, and what stands in its place."""
    said = []
    if requests.spread:
        said.append(
            f"the stamps are whole seconds: within each, requests are spread evenly at random (seed {seed}), in the "
            "order of the log; bursts shorter than a second are not in it"
        )
    elif gathered.resolution_s >= MILLISECOND:
        said.append(f"the stamps are rounded down to {gathered.resolution_s:g} s, and were left so")
    taken = requests.columns.get("taken_s")
    unknown = len(requests) if taken is None else int((~np.isfinite(taken)).sum())
    if unknown and not gathered.is_start:
        whose = "no durations" if taken is None else f"no duration of {unknown:,} requests"
        said.append(f"there are {whose}, and the stamp is that of the end: it is taken as the arrival")
    elif unknown:
        said.append("there are no durations" if taken is None else f"there is no duration of {unknown:,} requests")
    return said


def cautions(gathered: Gathered, requests: Arranged, told: dict[str, Any], entries: int) -> list[str]:
    """What somebody who goes on with it should know, each in a sentence."""
    said = []
    if entries and gathered.broken / entries > BROKEN_SHARE:
        said.append(f"{gathered.broken:,} of {entries:,} lines are broken: is it the right --format?")
    if gathered.wrong:
        said.append(f"{gathered.wrong:,} durations are below zero or over a year; they were taken as unknown")
    if gathered.early:
        said.append(
            f"{gathered.early:,} requests are over {EARLY_S:g} s earlier than one before them in the log, the worst "
            f"by {gathered.earliest_s:,.0f} s: a clock went back, or logs were joined out of order; stretches that "
            "overlap lie over one another now (stamps of local time: --time-zone)"
        )
    if gathered.repeats:
        what = "left out" if gathered.asked.drop_repeats else "kept; --drop-repeats leaves them out"
        said.append(f"{gathered.repeats:,} lines are equal to an earlier one ({what})")
    gap = told["longest_gap_s"]
    if gap is not None and gap > LONG_GAP_S:
        said.append(
            f"nothing for {gap:,.0f} s from {told['longest_gap_from_s']:,.0f} s on: the rate is that of the whole span"
        )
    if told["error_share"] is not None and told["error_share"] >= 1.0:
        said.append("no request was served: this is a log of an outage alone")
    if told["span_s"] <= 0:
        said.append("all requests arrive at one moment: there is no rate")
    if 0 < told["taken_known"] < LEAST_FOR_P99:
        said.append(f"{told['taken_known']:,} durations are too few for a p99, {LEAST_FOR_P99} are needed")
    return said


def of_curve(curve: Curve, by_second: np.ndarray, holes: int) -> dict[str, Any]:
    """What is told of a file that holds rates and no requests."""
    filled = [f"{holes:,} seconds had no rate: interpolated"] if holes else []
    filled.append("no requests, only their rate: how bursty they are within a step is not in it")
    return {
        "requests": None,
        "started_at": moment(float(curve.times_s[0])),
        "span_s": float(len(by_second)),
        "rate_rps": float(by_second.mean()),
        "highest_rate_rps": float(by_second.max()),
        "taken_s": {name: curve.taken_s.get(name) for name in QUANTILES},
        "error_share": curve.told_of_errors,
        "filled_in": filled,
        "cautions": curve.notes,
    }
