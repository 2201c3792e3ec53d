"""A comparison in words."""

import math
import shlex

from analysis.comparison.arms import Measured, Pairs
from analysis.comparison.compared import BY_KEY, FAILED
from analysis.comparison.comparison import Comparison, Row
from analysis.comparison.run_time import span
from analysis.comparison.sequential import Look
from analysis.comparison.statistics import ALPHA
from analysis.comparison.values import told, told_difference, unit_of_difference
from analysis.metrics.verdict import percent

MOST_NAMED = 4
"""Of the other metrics that stand clear, so many are named in the headline."""
WIDEST = 1000
"""An interval that goes further than this factor from its ratio says nothing: its ends are not printed."""
TOO_WIDE = "too wide to say"


def headline(comparison: Comparison, pairs: Pairs) -> str:
    """The verdict on an arm: lost requests first, then the primary metric, then what else stands clear."""
    row = comparison.row(pairs.arm, comparison.primary)
    if row is None or row.overall is None:
        label = BY_KEY[comparison.primary].label
        return f"INCONCLUSIVE. No pair of valid runs of {pairs.arm} and {pairs.reference} has a number for {label}."
    relation = {
        "better": f"{row.arm} is better than {row.reference}"
        if row.direction != "worse"
        else f"{row.arm} against {row.reference}",
        "worse": f"{row.arm} is worse than {row.reference}",
        "equivalent": f"{row.arm} and {row.reference} are equivalent",
        "inconclusive": f"{row.arm} and {row.reference} cannot be told apart",
        "not identified": f"{row.arm} and {row.reference} cannot be compared",
    }[row.overall]
    failed = comparison.row(pairs.arm, FAILED)
    parts = [] if failed is None or row.metric == FAILED else _lost(failed, pairs)
    said = finding(row, comparison)
    parts.append(f"{BY_KEY[row.metric].label} {said}")
    word = _word(row, failed, comparison)
    sentences = [f"{word}. {relation}: {'; '.join(parts)} ({_counted(comparison, row)})."]
    sentences += [text for text in (_others(comparison, row), _length(row, pairs), _more(comparison, row)) if text]
    return " ".join(sentences)


def _word(row: Row, failed: Row | None, comparison: Comparison) -> str:
    """The verdict in capitals, with what it leaves open of the size: of lost requests where they decided it."""
    assert row.overall is not None
    decided = failed if failed is not None and failed.direction in ("better", "worse") else row
    if row.overall == "better" and row.direction == "worse":
        return f"BETTER IN FAILED REQUESTS, WORSE IN {BY_KEY[row.metric].label.upper()}"
    size = "" if decided.is_certain or decided.verdict not in ("better", "worse") else _size(decided, comparison)
    return (row.overall + size).upper() if row.overall in ("better", "worse") else row.overall.upper()


def _lost(failed: Row, pairs: Pairs) -> list[str]:
    """Lost requests, and where they and speed disagree, also who is faster where he answers."""
    if not (failed.reference_value or failed.arm_value):
        return []
    if failed.reference_value == failed.arm_value:
        return ["neither served a request" if failed.arm_value == 1 else f"{percent(failed.arm_value)} failed in both"]
    counts = f"{percent(failed.arm_value)} failed against {percent(failed.reference_value)}"
    if failed.verdict == "inconclusive":
        counts += f" ({effect(failed)}: may be chance, or more than matters)"
    parts = [counts]
    latencies = [(_served_p99(pair.ours), _served_p99(pair.theirs)) for pair in pairs.kept]
    if failed.verdict in ("better", "worse") and all(a and b for a, b in latencies):
        ratio = math.exp(sum(math.log(b / a) for a, b in latencies) / len(latencies))
        loses_more = (failed.difference or 0.0) > 0
        if loses_more == (ratio < 1):
            parts.append(f"{'faster' if loses_more else 'slower'} where it answers (p99 of those x {ratio:.3f})")
    return parts


def _served_p99(one: Measured) -> float:
    """0 where it served nothing, or an older version did not say."""
    return one.metrics.get("latency_served_p99_ms") or 0.0


def finding(row: Row, comparison: Comparison) -> str:
    """A metric's effect and what it is worth, in words."""
    if row.verdict == "not identified":
        return f"is not identified: {_unknown(row)}"
    words = ""
    if row.verdict in ("better", "worse") and (row.is_certain or row.overall != row.verdict):
        words = f", {verdict_words(row, comparison)}"
    elif row.verdict == "inconclusive" and row.overall != "inconclusive":
        words = ", which cannot be told apart"
    return f"{effect(row)}{words}"


def verdict_words(row: Row, comparison: Comparison) -> str:
    """The verdict; what is surely more than the smallest effect and what is perhaps less are different words."""
    if row.verdict == "not identified" and row.rank_verdict in ("better", "worse"):
        return f"not identified; by ranks {row.rank_verdict}"
    return row.verdict + (_size(row, comparison) if row.verdict in ("better", "worse") else "")


def _size(row: Row, comparison: Comparison) -> str:
    smallest = comparison.smallest
    margin = {
        "ratio": f"{smallest.effect * 100:g} %",
        "share": f"{smallest.share * 100:g} percentage points",
        "seconds": f"{smallest.seconds:g} s",
        "count": f"{smallest.count:g} {BY_KEY[row.metric].unit}",
    }[BY_KEY[row.metric].by]
    return f" by at least {margin}" if row.is_certain else f", perhaps by less than {margin}"


def _unknown(row: Row) -> str:
    """What is known of a metric that has no effect, in a sentence's part."""
    parts = []
    for label in (row.reference, row.arm):
        missing, beyond = row.n - row.known[label], row.beyond[label]
        if missing:
            what = "no number" if beyond is None else f"beyond {beyond:,.0f} ms" if beyond else "no request was served"
            parts.append(f"{what} in {missing} of {row.n} runs of {label}")
    if row.rank_p is not None and any(row.known.values()):
        word = row.rank_verdict if row.rank_verdict in ("better", "worse") else "undecided"
        parts.append(f"with those as the worst: {word} by ranks, p = {row.rank_p:.2g}")
    return "; ".join(parts)


def _counted(comparison: Comparison, row: Row) -> str:
    parts = ["1 pair" if row.n == 1 else f"{row.n} pairs"]
    if row.level != ALPHA:
        parts.append(f"{level_told(row.level)} interval")
    if comparison.look is not None:
        parts.append(look_of(comparison.look))
    if row.n == 1:
        parts.append("one pair shows no spread")
    return ", ".join(parts)


def look_of(look: Look) -> str:
    """Which look at a sequential or extended sweep."""
    if look.ended_at:
        judged = f"judged at {100 * look.level:.2g} %"
        return f"extended after its end at {look.ended_at[-1]}, which had spent the 5 %: {judged}"
    return "not at a planned look" if look.number is None else f"look {look.number} of {look.planned}"


def _others(comparison: Comparison, primary: Row) -> str:
    """The other metrics that stand clear."""
    clear = [
        row
        for row in comparison.rows
        if row.arm == primary.arm
        and row.direction in ("better", "worse")
        and row.metric not in (primary.metric, FAILED)
    ]
    named = [
        f"{BY_KEY[row.metric].label} {verdict_words(row, comparison)} ({effect(row)})" for row in clear[:MOST_NAMED]
    ]
    if len(clear) > MOST_NAMED:
        named.append(f"and {len(clear) - MOST_NAMED} more")
    return f"Clear besides: {', '.join(named)}." if named else ""


def _length(row: Row, pairs: Pairs) -> str:
    """Where the verdict is on runs of this length, what it would take to speak of the system."""
    if row.system_reason is None or row.verdict == "not identified":
        return ""
    text = f"This is about runs of {duration_s(pairs):g} s; for the system in the long run it is not identified"
    advice = "" if row.system_needs_s is None else f"; workload.duration_s={row.system_needs_s:g} would do"
    return f"{text} ({row.system_reason}){advice}."


def duration_s(pairs: Pairs) -> float:
    """The length of a run, warm-up included, seconds."""
    return float(pairs.kept[0].ours.run.manifest["config"]["workload"].get("duration_s", math.nan))


def _more(comparison: Comparison, row: Row) -> str:
    """What would decide, and the command that adds it."""
    failed = comparison.row(row.arm, FAILED)
    open_one = row if row.verdict == "inconclusive" else failed
    if row.overall != "inconclusive" or open_one is None or open_one.verdict != "inconclusive":
        return ""
    if failed is not None and failed.reference_value == failed.arm_value == 1:
        return ""
    if open_one.n < 2:
        return "One pair shows no spread: more are needed."
    needed, minutes = open_one.pairs_needed, open_one.minutes_needed
    if needed is None:
        return "More pairs would be needed than are practical."
    took = f", about {span(60 * minutes)} more" if minutes else ""
    text = f"{needed} pairs would probably decide ({needed - row.n - row.left_out['pairs']} more{took})"
    if comparison.sweep is None:
        return f"{text}."
    folder = shlex.quote(comparison.sweep)
    return f"{text}: python -m experiments.run repeat.resume={folder} repeat.max={needed}"


def progress(comparison: Comparison, pairs: Pairs, until: float) -> str:
    """How narrow the interval of the primary metric is at a look, against the factor 1 + `until` that is wanted."""
    assert comparison.look is not None
    at = f"{look_of(comparison.look)}, {comparison.look.pairs} pairs measured"
    row = comparison.row(pairs.arm, comparison.primary)
    if row is None:
        return f"{at}: {pairs.arm}: no pair of valid runs yet"
    if row.verdict == "not identified":
        return f"{at}: {row.arm} over {row.reference}: {BY_KEY[row.metric].label} {finding(row, comparison)}"
    width = f"within a factor {row.factor:.3f}" if row.factor <= WIDEST else f"the interval is {TOO_WIDE}"
    width += f"; wanted: {1 + until:g}"
    return f"{at}: {row.arm} over {row.reference}: {BY_KEY[row.metric].label} {effect(row)}, {width}"


def best(comparison: Comparison) -> str:
    """Which arms are best, in a sentence; empty where there are only two."""
    leading = comparison.best
    if leading is None:
        return ""
    parts = [f"Best: {leading.first}"]
    if leading.others:
        word = "equivalent to it" if leading.are_equivalent else "not distinguishable from it"
        parts.append(f"{', '.join(leading.others)} {word}")
    if leading.worse:
        parts.append(f"{', '.join(leading.worse)} worse")
    if leading.apart:
        parts.append(f"{', '.join(leading.apart)} without a valid pair")
    return f"{'; '.join(parts)} (every pair of arms{of_all(comparison)}, together at 5 %)."


def of_all(comparison: Comparison) -> str:
    """Whether what is judged together is of several workloads; empty where there is one only."""
    count = comparison.family.workloads
    return f" of all {count} workloads" if count > 1 else ""


def effect(row: Row) -> str:
    """The ratio, or the difference, with the interval that the verdict was given by."""
    if row.verdict == "not identified":
        return "-"
    if row.ratio is not None:
        return f"x {row.ratio:.3f} {_ratio_bounds(row.ratio, row.low, row.high)}"
    assert row.difference is not None
    compared = BY_KEY[row.metric]
    ends = [None if end is None else told_difference(compared, end) for end in (row.low, row.high)]
    bounds = "(no interval)" if ends[0] is None else f"[{ends[0]}, {ends[1]}]"
    return f"{told_difference(compared, row.difference)} {bounds} {unit_of_difference(compared)}"


def _ratio_bounds(ratio: float, low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "no interval"
    return f"[{TOO_WIDE}]" if says_nothing(ratio, low, high) else f"[{_number(low)}, {_number(high)}]"


def says_nothing(middle: float, low: float | None, high: float | None) -> bool:
    """Whether an interval of a ratio, or of what has one, goes further than the factor `WIDEST` from its middle."""
    ends = (end for end in (low, high) if end is not None)
    return any(not middle <= end * WIDEST <= middle * WIDEST**2 for end in ends)


def level_told(level: float) -> str:
    """How often an interval of that level holds, %: to three digits, and where those would hide what is lacking to 100
    (0.05 / 150), to two digits of that.
    """
    lacking = 100 * level
    digits = 3 if lacking >= 0.1 else 3 - math.floor(math.log10(lacking))
    return f"{100 * (1 - level):.{digits}g} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def cells(row: Row, comparison: Comparison) -> tuple[str, str, str, str, str, str]:
    """Metric, what it is about, reference, arm, effect with its interval's level, and verdict, for a table."""
    name = BY_KEY[row.metric].label + (" *" if row.is_primary else "")
    level = "" if row.verdict == "not identified" or row.low is None else f" {level_told(row.level)}"
    about = "system" if row.estimand == "system" else "these runs"
    shown = f"{effect(row)}{level}"
    if row.verdict == "not identified":
        known = " / ".join(str(row.known[label]) for label in (row.reference, row.arm))
        shown = f"known in {known} of {row.n} runs" + ("" if row.rank_p is None else f"; by ranks p = {row.rank_p:.2g}")
    return name, about, _value(row, row.reference), _value(row, row.arm), shown, verdict_words(row, comparison)


def _value(row: Row, label: str) -> str:
    value = row.reference_value if label == row.reference else row.arm_value
    if value is not None:
        return told(BY_KEY[row.metric], value)
    beyond = row.beyond[label]
    if beyond is None:
        return f"{row.known[label]} of {row.n} runs"
    return f"beyond {beyond:,.0f} ms" if beyond else "none was served"
