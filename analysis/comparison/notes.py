"""What a reader must know before he trusts a comparison, in sentences."""

from collections.abc import Sequence

from analysis.comparison.arms import Pairs
from analysis.comparison.compared import BY_KEY
from analysis.comparison.comparison import Comparison
from analysis.comparison.outlying import Outlying
from analysis.comparison.sign_flips import least_p
from analysis.comparison.statistics import ALPHA
from analysis.comparison.values import told
from analysis.metrics.objective import sentence


def notes_of_all(comparisons: Sequence[Comparison]) -> list[str]:
    """Those of all comparisons: what is so of each of them once, the others behind their workload."""
    of_each = [notes(comparison) for comparison in comparisons]
    if len(of_each) == 1:
        return of_each[0]
    common = [note for note in of_each[0] if all(note in each for each in of_each)]
    own = [
        f"{comparison.workload}: {note}"
        for comparison, each in zip(comparisons, of_each, strict=True)
        for note in each
        if note not in common
    ]
    return own + common


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know before he trusts the table, a sentence each."""
    lines = [_apart(one) for one in comparison.outlying]
    for row in comparison.rows:
        n = row.n
        if row.permutation_p is None or not row.is_primary or n < 2:
            continue
        if least_p(n) > row.level >= row.p:
            lines.append(
                f"{row.arm}: the verdict takes differences for normal ones; sign flips, which ask for no distribution, "
                f"cannot have a p below {least_p(n):.2g} with {n} pairs."
            )
        elif least_p(n) <= row.level and (row.p <= row.level) != (row.permutation_p <= row.level):
            lines.append(
                f"{row.arm}: Student's p is {row.p:.2g}, that of sign flips, which asks for no normal differences, "
                f"{row.permutation_p:.2g}: they disagree at {row.level:.2g}."
            )
    manifests = [one.run.manifest for p in comparison.pairings for kept in p.kept for one in (kept.ours, kept.theirs)]
    if len({manifest.get("router_compiled") for manifest in manifests} - {None}) > 1:
        lines.append("Some runs had the compiled router (make fast), others its Python files: they differ in its cost.")
    if text := sentence(manifests):
        lines.append(text)
    pairs = min((row.n for row in comparison.rows if row.is_primary), default=0)
    unseen = 1 - ALPHA ** (1 / pairs) if pairs else 0.0
    if unseen >= 0.01:
        lines.append(f"What spoils up to {unseen * 100:.0f} % of the runs may, by chance, not be among {pairs} (95 %).")
    family = comparison.family
    together = f", all {family.workloads} workloads together" if family.workloads > 1 else ""
    if comparison.rows:
        lines.append(
            "Intervals are those that the verdicts were given by, of 95 % where no level stands beside them: primary "
            f"metric (*) and failed requests are one family of {family.headline} tests, all else one of "
            f"{family.others}{together} (Holm)."
        )
    return lines


def _apart(one: Outlying) -> str:
    compared = BY_KEY[one.metric]

    return (
        f"{one.folder} stands apart: {one.arm}, seed {one.seed}, {compared.label} {told(compared, one.value)}, its "
        f"fellows' median {told(compared, one.fellows)}; intervals do not hold where some runs are of another kind."
    )


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
