"""How right `aegis what-if` is: `python -m experiments.what_if_calibration DIR`, made-up systems as live runs.

Of each pair the first configuration is run live and its log fitted; a what-if says of that log what the second would
do, and that is run live as well, asked the same. Prints Markdown: the predicted ratio of p99 with its interval beside
the live one, pair by pair, how often the interval holds it, how often a ranking that was decided is right, and which
logs were refused. Runs stay in DIR (half an hour for 20 pairs), and what is there is not measured again. Exit
status: 0 printed; 2 wrong arguments; 130 interrupted.
"""

import argparse
import sys
from pathlib import Path

from analysis.fitting.refusal import FitRefused
from experiments.fitting.live import LIVE_REQUESTS, NotMeasuredError
from experiments.fitting.pairs import Pair, measured_pair, pairs, predicted
from experiments.fitting.predicted import Predicted, table
from experiments.runner.exit_status import ExitStatus
from experiments.runner.supervision import say
from record.files import FolderError

PAIRS = 20


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.what_if_calibration", description=(__doc__ or "").partition(":")[0] + "."
    )
    parser.add_argument("place", type=Path, metavar="DIR", help="where runs are kept")
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"how many (default {PAIRS})")
    parser.add_argument("--first", type=int, default=0, help="the first one's number (default 0)")
    chosen = parser.parse_args(arguments)
    if chosen.pairs < 1 or chosen.first < 0:
        parser.error("--pairs: at least 1; --first: at least 0")
    try:
        found, others = _found(list(pairs(chosen.first, chosen.pairs, LIVE_REQUESTS)), chosen.place)
    except (NotMeasuredError, FolderError, OSError) as error:
        say(str(error))
        return ExitStatus.WRONG
    except KeyboardInterrupt:
        say("interrupted; runs are kept")
        return ExitStatus.INTERRUPTED
    print("\n".join([*table(found), *(["", *others] if others else [])]))
    return ExitStatus.COMPLETE


def _found(wanted: list[Pair], place: Path) -> tuple[list[Predicted], list[str]]:
    """What was predicted, and a line for each pair of which nothing was. All are measured before one is fitted."""
    runs = {}
    others = []
    for count, pair in enumerate(wanted, 1):
        say(f"{count} of {len(wanted)}, pair {pair.number}: {pair}")
        if (both := measured_pair(pair, place)) is None:
            others.append(f"- not measured: {pair}")
        else:
            runs[pair] = both
    found = []
    for pair, both in runs.items():
        try:
            found.append(predicted(pair, both, place))
        except FitRefused as refused:
            others.append(f"- refused ({refused.kind}: {refused.reason}): {pair}")
        say(f"pair {pair.number} done")
    return found, others


if __name__ == "__main__":
    sys.exit(main())
