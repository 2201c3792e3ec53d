"""What would decide a comparison that did not: more pairs, how many, and how long they take."""

import bisect
import contextlib
import math
from collections.abc import Sequence
from datetime import datetime

from analysis.comparison.arms import Measured
from analysis.comparison.compared import BY_KEY
from analysis.comparison.comparison import Comparison, Row
from analysis.comparison.run_time import SIMULATED_OVERHEAD_S
from analysis.comparison.sequential import extended
from analysis.comparison.statistics import POWER
from analysis.distributions.student import student_quantile

MOST_PAIRS = 10_000
"""Beyond so many, more pairs are no advice."""


def advise(comparison: Comparison) -> Comparison:
    """Say of what is inconclusive how many pairs would probably decide, and how many minutes the missing ones take."""
    runs = [one for pairs in comparison.pairings for pair in pairs.kept for one in (pair.ours, pair.theirs)]
    minutes, arms = minutes_a_run(runs), comparison.family.arms
    for row in comparison.rows:
        if row.verdict == "inconclusive":
            row.pairs_needed = pairs_needed(row, comparison)
            if row.pairs_needed is not None and minutes is not None:
                row.minutes_needed = (row.pairs_needed - row.n - row.left_out["pairs"]) * arms * minutes
    return comparison


def pairs_needed(row: Row, comparison: Comparison) -> int | None:
    """Pairs to be measured in all that would decide with probability 0.8; None = more than can be advised.

    That is if effect, spread and the share of valid pairs are as seen.

    Decided is what excludes no effect, or lies within the smallest one: either needs an interval of a certain width.
    The nearer the effect is to the edge of what matters, the narrower; half of the smallest effect is the narrowest
    that is asked for. The pairs that come are judged as what they are, an extension of a sweep that has ended.
    """
    compared = BY_KEY[row.metric]
    if row.smallest_detectable is None or row.n < 2:
        return None
    margin = comparison.smallest.margin(compared)
    seen, now = row.difference, row.smallest_detectable
    if compared.by == "ratio":
        seen, now = None if row.ratio is None else math.log(row.ratio), math.log1p(now)
    if seen is None:
        return None
    wanted = max(abs(seen), margin - abs(seen), margin / 2)
    of_pair = now / quantiles(row.n, row.level) * math.sqrt(row.n)
    measured = row.n + row.left_out["pairs"]
    ended_at = (*(comparison.look.ended_at if comparison.look else ()), measured)

    def decides(pairs: int) -> bool:
        valid = pairs * row.n / measured
        level = extended(pairs, ended_at).level * row.level / row.alpha
        return quantiles(math.floor(valid), level) * of_pair / math.sqrt(valid) <= wanted

    counts = range(measured + 1, MOST_PAIRS + 1)
    place = bisect.bisect_left(counts, True, key=decides)
    return counts[place] if place < len(counts) else None


def quantiles(n: int, level: float) -> float:
    """How many standard errors large an effect is that n pairs find with probability 0.8 at a level (Bloom, 1995)."""
    return student_quantile(1 - level / 2, n - 1) + student_quantile(POWER, n - 1)


def minutes_a_run(runs: Sequence[Measured]) -> float | None:
    """What a run took from start to end, on average, with its analysis and page; None where the runs do not say."""
    spans = []
    for one in runs:
        start, end = one.run.manifest.get("started_at"), one.run.manifest.get("ended_at")
        with contextlib.suppress(TypeError, ValueError):  # not times of day
            if start and end:
                spans.append((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() / 60)
    return sum(spans) / len(spans) + SIMULATED_OVERHEAD_S / 60 if spans else None
