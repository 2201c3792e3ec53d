"""Plans an experiment from a pilot: `python -m analysis.plan DIR --effect 0.1`.

The pilot is a sweep of a few pairs, simulated ones are enough. It says how much runs of its length scatter, and from
that how many pairs of which length would show an effect with probability 0.8, how long that takes, and whether runs of
that length speak of the system. Exit status: 0 said; 2 there is no pilot to plan from.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from analysis.comparison.advice import MOST_PAIRS, minutes_a_run, quantiles
from analysis.comparison.arms import ComparisonError, Pairs
from analysis.comparison.compared import BY_KEY
from analysis.comparison.comparison import Comparison, Row, compare_questions
from analysis.comparison.gathering import read_runs
from analysis.comparison.questions import questions_of
from analysis.comparison.run_time import LIVE_OVERHEAD_S, span
from analysis.comparison.statistics import ALPHA
from analysis.comparison.text import duration_s
from analysis.comparison.values import unit_of_difference
from record.files import FolderError

REFUSED = 2
LENGTHS = (1, 2, 4, 8)
"""Times the pilot's measured window."""
LEAST_PAIRS = 3


@dataclass(frozen=True)
class Plan:
    """An experiment that would decide."""

    duration_s: float
    """Of a run, warm-up included."""
    pairs: int | None
    """None = more than can be advised."""
    time_s: float | None
    """Of all its runs, live, one after another."""
    speaks_of_system: bool | None
    """Whether runs of that length are long enough; None = the pilot does not say."""


def plans(
    row: Row, effect: float, warmup_s: float, window_s: float, arms: int, overhead_s: float, level: float = ALPHA
) -> list[Plan]:
    """Pairs and minutes for runs of several lengths.

    The spread of a run's metric falls as one over the square root of its length once that is long against the queue's
    memory (Whitt, Planning queueing simulations, Management Science 35, 1989); of shorter runs it is an estimate.

    Args:
        row: the pilot's, with two pairs or more.
        effect: that is to be found: relative, of a difference absolute.
        warmup_s: of a run, seconds.
        window_s: measured of a run, seconds.
        arms: of the experiment.
        overhead_s: that a run takes besides its load.
        level: at which the strictest of the headline's comparisons is judged.
    """
    assert row.smallest_detectable is not None
    wanted, now = effect, row.smallest_detectable
    if BY_KEY[row.metric].by == "ratio":
        wanted, now = math.log1p(wanted), math.log1p(now)
    of_pair = now / quantiles(row.n, row.level) * math.sqrt(row.n)
    worth_planning = []
    lengths = [warmup_s + factor * window_s for factor in LENGTHS]
    if row.system_needs_s is not None:
        lengths = sorted({*lengths, row.system_needs_s})
    for length in lengths:
        error = of_pair / math.sqrt((length - warmup_s) / window_s)
        counts = range(LEAST_PAIRS, MOST_PAIRS)
        pairs = next((n for n in counts if quantiles(n, level) * error / math.sqrt(n) <= wanted), None)
        speaks = True if row.estimand == "system" else None
        if row.system_needs_s is not None:
            speaks = length >= row.system_needs_s
        time_s = None if pairs is None else pairs * arms * (length + overhead_s)
        worth_planning.append(Plan(length, pairs, time_s, speaks))
    return worth_planning


def show(comparison: Comparison, effect: float | None, console: Console) -> int:
    """Print a table an arm, or why there is none; return how many there are."""
    compared = BY_KEY[comparison.primary]
    under = f"{comparison.workload}: " if comparison.workload else ""
    level = min((row.level for row in comparison.rows if row.is_primary), default=ALPHA)
    planned = 0
    for pairs in comparison.pairings:
        row = comparison.row(pairs.arm, comparison.primary)
        if row is None or row.smallest_detectable is None:
            print(f"{under}{pairs.arm}: {_why_not(row, len(pairs.kept), compared.label)}", file=sys.stderr)
            continue
        planned += 1
        wanted = comparison.smallest.of(compared) if effect is None else effect
        unit = "%" if compared.by == "ratio" else unit_of_difference(compared)
        size = f"{wanted if compared.is_whole else 100 * wanted:.3g} {unit}"
        console.print(
            f"{under}{row.arm} over {row.reference}: to find {size} of {compared.label} with probability 0.8, by "
            f"what {row.n} pairs of {duration_s(pairs):g} s vary by:",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        console.print(_table(row, wanted, pairs, comparison.family.arms, level))
    return planned


def _why_not(row: Row | None, pairs: int, label: str) -> str:
    """Why the pilot says nothing of an arm, and what to do."""
    if row is not None and row.verdict == "not identified":
        known = ", ".join(f"{count} of {row.n} runs of {arm}" for arm, count in row.known.items())
        return f"{label} is known in {known} only; plan with another metric, as comparison.primary=served_share"
    return f"{pairs} valid pair(s) show no spread of {label}, two at least do: add seeds"


def _table(row: Row, wanted: float, pairs: Pairs, arms: int, level: float) -> Table:
    run = pairs.kept[0].ours.run
    overhead_s = LIVE_OVERHEAD_S
    if not run.is_simulated:
        took = minutes_a_run([one for pair in pairs.kept for one in (pair.ours, pair.theirs)])
        overhead_s = overhead_s if took is None else max(0.0, 60 * took - duration_s(pairs))
    table = Table(box=None, pad_edge=False)
    for name in ("workload.duration_s", "pairs", "runs", "time of live runs", "speaks of the system"):
        table.add_column(name, justify="right")
    for plan in plans(row, wanted, run.warmup_s, run.window_s, arms, overhead_s, level):
        system = {True: "yes", False: "no", None: "-"}[plan.speaks_of_system]
        if plan.pairs is None or plan.time_s is None:
            table.add_row(f"{plan.duration_s:g}", f"over {MOST_PAIRS:,}", "-", "-", system)
        else:
            table.add_row(
                f"{plan.duration_s:g}", f"{plan.pairs:,}", f"{plan.pairs * arms:,}", span(plan.time_s), system
            )
    return table


def main(arguments: list[str] | None = None) -> int:
    """Plan from what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m analysis.plan", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("places", nargs="+", type=Path, metavar="DIR", help="a sweep's folder, or several runs")
    parser.add_argument(
        "--effect", type=float, metavar="X", help="to be found: relative, of a share absolute (default: the smallest)"
    )
    chosen = parser.parse_args(arguments)
    if chosen.effect is not None and not 0 < chosen.effect < 100:
        parser.error("--effect must be above 0 and below 100: 0.1 is ten per cent")
    try:
        comparisons = compare_questions(questions_of(read_runs(chosen.places)))
        planned = sum(show(comparison, chosen.effect, Console()) for comparison in comparisons)
    except (FolderError, ComparisonError, OSError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    return 0 if planned else REFUSED


if __name__ == "__main__":
    sys.exit(main())
