"""What the calls of a second tier came to, as its router counted them."""

import numpy as np

from record.reading import Run

Values = dict[str, float | int | None]


def assess(run: Run) -> Values:
    """`tier_*`, warm-up included; None without a second tier, and where the counts are not of the whole run."""
    calls = None if why_unknown(run) else run.manifest.get("tier")
    sent = int((~np.isnan(run.requests["sent_s"].to_numpy())).sum())
    return {
        "tier_calls": calls["calls"] if calls else None,
        "tier_calls_per_request": calls["calls"] / sent if calls and sent else None,
        "tier_attempts_per_call": calls["attempts"] / calls["calls"] if calls and calls["calls"] else None,
        "tier_hedged_calls": calls["hedged"] if calls else None,
        "tier_failed_calls": calls["failed"] if calls else None,
    }


def why_unknown(run: Run) -> str | None:
    """A process that ended has taken its counts with it; a simulated one has none to lose."""
    if run.is_simulated:
        return None
    for fault in run.faults:
        if fault.target == "tier_router" and fault.action in ("kill", "restart"):
            return f"{fault.action} of tier_router at {fault.landed_s:.1f} s took what it had counted"
    return None
