"""How right `aegis what-if` was: `python -m experiments.what_if_check DIR RUN RUN ...`, live runs beside predictions.

DIR is where `aegis fit` has left the fleet behind one run's log; the RUNs are live ones of the same schedule that
differ by policy. Every pair of them is a prediction: prints, as Markdown, the predicted ratio of p99 with its interval
beside the live one, how often the interval holds it, and how often a ranking that was decided is right. Exit status:
0 compared; 2 wrong arguments.
"""

import argparse
import itertools
import sys
from pathlib import Path

from analysis.fitting.inversion import Floats
from experiments.fitting.arms import arms_of
from experiments.fitting.kept import NotFittedError, kept
from experiments.fitting.predicted import P99, Predicted, live_p99_ms, said
from experiments.fitting.predicted import table as of_pairs
from experiments.fitting.supposing import PLAYS, SEED, busiest, played, ratio_span
from experiments.runner.exit_status import ExitStatus
from record.files import FolderError, read_manifest


def policy_of(folder: Path) -> str:
    """The policy of a run.

    Raises:
        FolderError: it is no run.
    """
    return str(read_manifest(folder)["config"]["policy"]["name"])


def main(arguments: list[str] | None = None) -> int:
    """Compare; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.what_if_check", description=(__doc__ or "").partition(":")[0] + "."
    )
    parser.add_argument("place", type=Path, metavar="DIR", help="where `aegis fit` has left a fleet")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="live runs, each of another policy")
    chosen = parser.parse_args(arguments)
    try:
        live = {policy_of(run): live_p99_ms(run) for run in chosen.runs}
        fitted = kept(chosen.place)
    except (FolderError, NotFittedError, OSError) as error:
        print(error, file=sys.stderr)
        return ExitStatus.WRONG
    if len(live) < 2:
        print("RUN: at least two, of different policies", file=sys.stderr)
        return ExitStatus.WRONG
    trace = busiest(fitted.trace)
    arms = arms_of([f"policy={','.join(live)}"], fitted, trace)
    values = dict(zip(live, played(arms, fitted, trace, PLAYS, SEED), strict=True))
    print(table(live, {policy: each[:, P99] for policy, each in values.items()}), end="")
    return ExitStatus.COMPLETE


def table(live: dict[str, float], predicted: dict[str, Floats]) -> str:
    """Markdown: a policy a row, then a pair a row, then how many were right.

    Args:
        live: p99 by policy, ms.
        predicted: p99 by policy, play by play, ms.
    """
    lines = ["| policy | p99 live, ms | predicted |", "|---|---|---|"]
    lines += [f"| `{each}` | {p99:.0f} | {said(ratio_span(predicted[each]), 0)} |" for each, p99 in live.items()]
    pairs = [
        Predicted(f"`{other}` over `{one}`", live[other] / live[one], ratio_span(predicted[other] / predicted[one]))
        for one, other in itertools.combinations(live, 2)
    ]
    return "\n".join([*lines, "", *of_pairs(pairs)]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
