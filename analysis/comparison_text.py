"""A comparison in words."""

from analysis.arms import Pairs
from analysis.comparison import Comparison, Row
from analysis.comparison_metrics import COMPARED
from analysis.sequential import Look
from analysis.verdict import percent

LABELS = {compared.key: compared.label for compared in COMPARED}
UNITS = {compared.key: compared.unit for compared in COMPARED}


def headline(comparison: Comparison, pairs: Pairs) -> str:
    """The verdict on the primary metric, in a sentence."""
    row = next((r for r in comparison.rows if r.arm == pairs.arm and r.is_primary), None)
    label = LABELS[comparison.primary]
    if row is None:
        return f"INCONCLUSIVE. No pair of valid runs of {pairs.arm} and {pairs.reference} has a {label}."
    relation = {
        "better": f"{row.arm} is better than {row.reference}",
        "worse": f"{row.arm} is worse than {row.reference}",
        "equivalent": f"{row.arm} and {row.reference} are equivalent",
        "inconclusive": f"{row.arm} and {row.reference} cannot be told apart",
    }[row.verdict]
    counted = "1 pair" if row.n == 1 else f"{row.n} pairs"
    look = "" if comparison.look is None else f", {look_of(comparison.look)}"
    return f"{row.verdict.upper()}. {relation}: {label} {effect(row)} ({counted}{look}{_power(row)})."


def look_of(look: Look) -> str:
    """Which look at a sequential sweep."""
    return "not at a planned look" if look.number is None else f"look {look.number} of {look.planned}"


def progress(comparison: Comparison, pairs: Pairs, until: float) -> str:
    """How narrow the interval of the primary metric is at a look, against the factor 1 + `until` that is wanted."""
    assert comparison.look is not None
    at = f"{look_of(comparison.look)}, {comparison.look.pairs} pairs measured"
    row = next((r for r in comparison.rows if r.arm == pairs.arm and r.is_primary), None)
    if row is None:
        return f"{at}: {pairs.arm}: no pair of valid runs yet"
    width = f"within a factor {row.factor:.3f}; wanted: {1 + until:g}"
    return f"{at}: {row.arm} over {row.reference}: {LABELS[row.metric]} {effect(row)}, {width}"


def effect(row: Row) -> str:
    """The ratio, or the difference of a share, with its 95 % interval."""
    if row.ratio is None:
        assert row.difference is not None
        bounds = "no interval," if row.low is None else f"[{_points(row.low)}, {_points(row.high)}]"
        return f"{_points(row.difference)} {bounds} percentage points"
    bounds = "no interval" if row.low is None and row.high is None else f"[{_number(row.low)}, {_number(row.high)}]"
    return f"x {row.ratio:.3f} {bounds}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _points(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:+.3f}"


def _power(row: Row) -> str:
    if row.smallest_detectable is None:
        return "; one pair shows no spread"
    if row.ratio is None:
        return f"; so many would show {row.smallest_detectable * 100:.2f} percentage points"
    return f"; so many would show {row.smallest_detectable * 100:.0f} %"


def left_out(pairs: Pairs) -> str:
    """What did not enter, and whether the arms lost different numbers of runs; empty where nothing was lost."""
    parts = []
    if pairs.left_out:
        counts = [f"{count} invalid of {label}" for label, count in pairs.invalid.items()]
        parts.append(f"left out whole: {pairs.left_out} pair(s) ({', '.join(counts)})")
        if len(set(pairs.invalid.values())) > 1:
            parts.append("the arms lost different numbers of runs, so that the rest may be a biased choice")
    alone = [f"{count} of {label}" for label, count in pairs.alone.items() if count]
    if alone:
        parts.append(f"without a partner: {', '.join(alone)}")
    return "; ".join(parts).capitalize() + "." if parts else ""


def cells(row: Row) -> tuple[str, str, str, str, str]:
    """Metric, reference, arm, effect and verdict, for a table."""
    name = LABELS[row.metric] + (" *" if row.is_primary else "")
    return name, _value(row, row.reference_value), _value(row, row.arm_value), effect(row), row.verdict


def _value(row: Row, value: float | None) -> str:
    if value is None:
        return "-"
    return percent(value) if row.ratio is None else f"{value:,.1f} {UNITS[row.metric]}"
