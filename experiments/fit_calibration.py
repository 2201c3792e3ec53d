"""How right fits are, on systems whose truth is known: `python -m experiments.fit_calibration` (a minute or two).

Makes systems up (experiments/fitting/made_up.py), simulates the logs that their proxies would write, fits them, and
prints Markdown: what became of each, how often the intervals hold the truth, and how often a fit was refused rightly
and wrongly (docs/what-if.md). With `--live DIR` the logs are those of live runs, half an hour for 40; they stay in DIR,
and what is there is not measured again. Exit status: 0 printed; 2 wrong arguments; 130 interrupted.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from experiments.fitting.calibrating import Outcome, table, tried
from experiments.fitting.live import LIVE_REQUESTS, NotMeasuredError, log_in, measured, overrides_of, slowed
from experiments.fitting.made_up import System, log_of, made_up
from experiments.fitting.truth import Truth
from experiments.runner.exit_status import ExitStatus
from experiments.runner.supervision import say
from record.files import FolderError

SYSTEMS, REQUESTS = 40, 6000
LEAST = 1000


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.fit_calibration", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--systems", type=int, default=SYSTEMS, help=f"how many (default {SYSTEMS})")
    parser.add_argument("--first", type=int, default=0, help="the first one's number (default 0)")
    parser.add_argument(
        "--requests", type=int, help=f"of each log, about (default {REQUESTS:,}, of live ones {LIVE_REQUESTS:,})"
    )
    parser.add_argument("--live", type=Path, metavar="DIR", help="by live runs, which are kept there")
    chosen = parser.parse_args(arguments)
    requests = chosen.requests
    if requests is None:
        requests = REQUESTS if chosen.live is None else LIVE_REQUESTS
    if chosen.systems < 1 or chosen.first < 0 or requests < LEAST:
        parser.error(f"--systems: at least 1; --first: at least 0; --requests: at least {LEAST}")
    systems = [made_up(number, requests) for number in range(chosen.first, chosen.first + chosen.systems)]
    try:
        logs = _simulated(systems) if chosen.live is None else _live(systems, chosen.first, chosen.live)
        outcomes: list[Outcome] = []
        for number, (system, log) in enumerate(logs, 1):
            outcomes.append(tried(system, log))
            say(f"{number} of {chosen.systems} fitted: {system}")
    except (NotMeasuredError, FolderError, OSError) as error:
        say(str(error))
        return ExitStatus.WRONG
    except KeyboardInterrupt:
        say("interrupted; live runs are kept")
        return ExitStatus.INTERRUPTED
    print(table(outcomes), end="")
    return ExitStatus.COMPLETE


def _simulated(systems: list[System]) -> Iterator[tuple[System, tuple[pd.DataFrame, Truth]]]:
    return ((system, log_of(system)) for system in systems)


def _live(systems: list[System], first: int, place: Path) -> Iterator[tuple[System, tuple[pd.DataFrame, Truth]]]:
    """All are measured before the first one is fitted: the machine does one thing at a time."""
    folders: list[tuple[System, Path]] = []
    for number, system in enumerate(map(slowed, systems), first):
        say(f"system {number}: {system}")
        folder = measured(place / f"system-{number:03}", overrides_of(system))
        if folder is None:
            say(f"system {number}: left out")
        else:
            folders.append((system, folder))
    return ((system, log_in(folder)) for system, folder in folders)


if __name__ == "__main__":
    sys.exit(main())
