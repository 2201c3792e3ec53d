"""Whether a fleet comes back after a trigger: what was served at a run's end, by load and length of the trigger."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from record.reading import Run
from record.shapes import has_router

LAST = 0.2
"""The share of a run, at its end, whose requests are looked at."""
AGREE = 0.1
"""Runs of one cell whose shares lie farther apart do not agree, which the cell says."""
BACK = 0.9
"""A fleet is back where at least this share of the last requests is served."""
QUESTION = "Does the fleet come back after the trigger?"
ABOUT = (
    f"share of the requests in the last {LAST:.0%} of the run that were served, mean of a cell's runs, and "
    f"their range where it passes {AGREE:.0%}"
)
At = tuple[float, float]
"""A cell: load in requests a second, seconds that the trigger lasts."""


class MapError(RuntimeError):
    """The runs make no map."""


def served_at_the_end(run: Run) -> float | None:
    """The share of the requests scheduled in the last part of the run that were served."""
    last = run.requests["scheduled_s"].to_numpy() >= (1 - LAST) * run.end_s
    served = run.requests["outcome"].to_numpy(dtype=object)[last] == "ok"
    return float(served.mean()) if len(served) else None


def edge_rps(config: dict[str, Any]) -> float:
    """The load at which every attempt of every request fills the fleet: capacity over attempts.

    Raises:
        MapError: the configuration lacks what it takes.
    """
    try:
        replica, speeds = config["replica"], config["replica"].get("speeds") or [1.0] * int(config["replicas"])
        capacity = sum(speeds) * replica["concurrency"] / (config["workload"]["demand"]["mean_ms"] / 1e3)
        return float(capacity / config["router"]["retry"]["max_attempts"])
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise MapError("rate, demand, replicas or retries are missing in a manifest") from error


def cells(runs: Sequence[Run]) -> dict[At, list[float]]:
    """The share of each run of a cell, ascending, by cell.

    Raises:
        MapError: a run has no trigger that ends, or no router; or there is nothing to look at.
    """
    served: dict[At, list[float]] = {}
    for run in runs:
        config, faults = run.manifest["config"], run.manifest.get("faults") or []
        if not faults or faults[0].get("for_s") is None or not has_router(run.manifest):
            raise MapError(f"{run.folder}: a map needs a router and a fault that ends")
        share = served_at_the_end(run)
        if share is not None:
            try:
                at = float(config["workload"]["rate_rps"]), float(faults[0]["for_s"])
            except (KeyError, TypeError) as error:
                raise MapError(f"{run.folder}: its manifest has no rate") from error
            served.setdefault(at, []).append(share)
    if not served:
        raise MapError("no run with requests at its end")
    return {at: sorted(shares) for at, shares in served.items()}


def told(shares: Sequence[float]) -> str:
    """The mean of a cell's runs, and where they do not agree, from which to which (`shares` ascending)."""
    mean = f"{np.mean(shares):.0%}"
    return f"{mean}\n{shares[0]:.0%} to {shares[-1]:.0%}" if shares[-1] - shares[0] > AGREE else mean


def outcome(shares: Sequence[float]) -> str:
    """`back` in every run of the cell, `not back` in any, or `either`."""
    back = [share >= BACK for share in shares]
    return "back" if all(back) else "either" if any(back) else "not back"


def verdict(served: dict[At, list[float]], edge: float) -> str:
    """How many cells come back, and from which load on one does not, beside the edge of theory."""
    outcomes = {at: outcome(shares) for at, shares in served.items()}
    count = {word: list(outcomes.values()).count(word) for word in ("back", "either", "not back")}
    text = f"Of {len(served)} cells the fleet comes back in {count['back']}, and not in {count['not back']}"
    text += f"; in {count['either']} that is a matter of the seed" if count["either"] else ""
    text += f" (back: at least {BACK:.0%} of the last requests are served)."
    lost = [load for (load, _), word in outcomes.items() if word != "back"]
    if lost:
        text += f" The lowest load that does not always come back is {min(lost):g} requests/s"
        text += f"; theory has the edge at {edge:.1f}."
    return text
