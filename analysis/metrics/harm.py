"""Whether faults did harm: lost requests, or made them slower, by more than chance and by enough to matter."""

from collections.abc import Iterator

from analysis.distributions.discrete import hypergeometric_tails
from record.latency import QUANTILES, Floats, quantile
from record.reading import Run

LEAST_STEADY_S = 3.0
"""docs/results.md: of steady phase before the first fault, below which its latency is no reference."""
FACTOR = 1.1
"""A quantile of latency up to so many times that of the steady phase has stayed (docs/results.md)."""
LEVEL = 0.05
"""Chance of finding a rise where there is none, over all that is looked at in a run (Bonferroni)."""
WAKE_S = 3.0
"""After a fault landed or healed: looked at by itself, so that a long phase does not hide a short harm."""
LOOKED_AT = ("p50", "p90", "p99")


def why_not_judged(run: Run) -> str | None:
    """Why harm and recovery cannot be told in a run with faults, in a few words with the remedy; None = they can."""
    first = run.faults[0].landed_s
    steady_s = max(0.0, round(first - run.warmup_s, 6))
    if steady_s < LEAST_STEADY_S:
        return (
            f"{steady_s:.1f} s of steady phase before the first fault are no reference ({LEAST_STEADY_S:g} s needed: "
            "a later fault or a shorter workload.warmup_s)"
        )
    if not len(steady_latencies(run)):
        return "no request came in the steady phase (a higher rate or a later fault)"
    if not (run.requests["scheduled_s"].to_numpy() >= first).any():
        return "no request came after the first fault (an earlier fault or a longer run)"
    return None


def steady_latencies(run: Run) -> Floats:
    """Milliseconds, +inf where not served, of the steady phase."""
    latencies: Floats = run.ranked[run.columns["phase"] == "steady"]
    return latencies


def is_harmed(run: Run) -> bool:
    """Whether anything was lost or slower after the first fault landed; only where it can be judged.

    Lost: a request that was not served and ended after that moment, so that one in flight then counts. Slower: p50,
    p90 or p99 of a stretch is above `FACTOR` times that of the steady phase, and more of its requests lie above the
    latter than chance would have it (Fisher's exact test of the two shares, one-sided, `LEVEL` over all). Without the
    second condition one slow request would be a harm wherever few requests came a second.
    """
    completed_s, outcomes = run.requests["completed_s"].to_numpy(), run.requests["outcome"].to_numpy(dtype=object)
    # One that was dropped has not ended, and counts as ended last.
    if ((outcomes != "ok") & ~(completed_s < run.faults[0].landed_s)).any():
        return True
    before, stretches = steady_latencies(run), [after for after in _stretches(run) if len(after)]
    level = LEVEL / (len(stretches) * len(LOOKED_AT))
    return any(_has_risen(before, after, QUANTILES[name], level) for after in stretches for name in LOOKED_AT)


def _stretches(run: Run) -> Iterator[Floats]:
    """Latencies of the fault phase, of the recovery phase, and of the wake of every fault and heal."""
    ranked, phases, scheduled_s = run.ranked, run.columns["phase"], run.columns["scheduled_s"]
    for phase in ("fault", "recovery"):
        yield ranked[phases == phase]
    moments = {moment for fault in run.faults for moment in (fault.landed_s, fault.well_from_s)}
    for moment in sorted(moments):
        yield ranked[(scheduled_s >= moment) & (scheduled_s < moment + WAKE_S)]


def _has_risen(before: Floats, after: Floats, share: float, level: float) -> bool:
    reference = quantile(before, share)
    if quantile(after, share) <= FACTOR * reference:
        return False
    slow, slow_after = int((before > reference).sum() + (after > reference).sum()), int((after > reference).sum())
    # Fisher's exact test, one-sided (Statistical Methods for Research Workers, 5th edition, 1934, section 21.02).
    return hypergeometric_tails(slow_after, len(before) + len(after), slow, len(after))[1] <= level
