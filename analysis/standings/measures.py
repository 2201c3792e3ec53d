"""What arms are compared by under a pathology, besides the requests that they lose."""

from analysis.comparison.compared import BY_KEY, FAILED, Compared

IN_TIME = "served_share"
"""Where more is asked than can be done: lost requests are in it, so that nothing stands before it."""
FAULT, WHOLE = "times_floor_p99_fault", "times_floor_p99"
BARE_FAULT, BARE = "latency_p99_ms_fault", "latency_p99_ms"
MEASURES = {
    FAULT: Compared(
        FAULT, "p99 over the floor's while it lasts", "times", digits=2, beyond="latency_p99_beyond_ms_fault"
    ),
    WHOLE: Compared(WHOLE, "p99 over the floor's", "times", digits=2, beyond="latency_p99_beyond_ms"),
    BARE_FAULT: Compared(BARE_FAULT, "p99 while it lasts", "ms", quantile=0.99),
    BARE: BY_KEY[BARE],
    IN_TIME: BY_KEY[IN_TIME],
}
"""By key of `metrics.json`. What a fault does is looked for while it lasts; where the run has no floor
(analysis/metrics/floor.py), the quantile itself is compared."""


JUDGED = {FAULT: BARE_FAULT, WHOLE: BARE}
"""What a verdict is about where the measure is a multiple of the floor's: the quantile itself. Two arms of one seed
have the same floor as a rule, which cancels in their ratio. Where they do not, since one has slower replicas or lets
them in again later, a higher floor must buy nothing."""
BY_METRIC = {**MEASURES, FAILED: BY_KEY[FAILED]}
"""All that a verdict may be about, lost requests included."""


def judged_by(measure: str) -> Compared:
    """What two arms are held against each other by, where their pathology's measure is this."""
    return MEASURES[JUDGED.get(measure, measure)]


def measure_for(*, has_faults: bool, has_floor: bool, expects: str) -> str:
    """The measure of a pathology, from what is known before the data.

    Args:
        has_faults: whether anything is done to the system.
        has_floor: whether its runs have one.
        expects: what its scenario expects, as one text.
    """
    if IN_TIME in expects:
        return IN_TIME
    if has_faults:
        return FAULT if has_floor else BARE_FAULT
    return WHOLE if has_floor else BARE
