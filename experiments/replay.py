"""Runs a run again and says whether it comes out the same: `python -m experiments.replay results/runs/<time>-routed`.

Its resolved configuration, seed, schedule and faults are taken from its folder. Exit status: 0 the old run agrees with
the new ones within what these vary; 1 a run failed; 2 it cannot be replayed (nothing was started); 3 it differs, or
cannot be compared; 4 it agrees, but what it expects (`expect`) is not met by the repeats; 130 and 143 interrupted (what
was measured is kept).
"""

import argparse
import sys
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from analysis.expectations.grammar import parse_all
from experiments.plan.original import COMMANDS, Original, ReplayError, read_original, refused
from experiments.runner.exit_status import ExitStatus
from experiments.runner.supervision import Interrupted, say, status_of, supervise
from record.files import read_manifest, write_json
from record.metrics import Metrics
from record.provenance import differences, provenance
from record.shapes import Manifest

FAILED, WRONG = ExitStatus.FAILED, ExitStatus.WRONG
AGREES, DIFFERS, UNMET = ExitStatus.COMPLETE, ExitStatus.INVALID, ExitStatus.UNMET
"""What the statuses of a run mean of a replay."""
PLACE = Path("results/replays")
TABLE_WIDTH = 120
"""Columns that the table may take; a terminal that has fewer wraps its lines."""


def main(arguments: list[str] | None = None) -> int:
    """Replay what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.replay", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("run", type=Path, metavar="DIR", help="a run's folder")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="how often it is run again (default 3)")
    parser.add_argument(COMMANDS, action="store_true", help="run the lines for the shell that its faults have")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to (default: results/replays/<time>-<run>)")
    chosen = parser.parse_args(arguments)
    if chosen.repeats < 1:
        parser.error(f"--repeats={chosen.repeats}: must be at least 1")
    try:
        original = read_original(chosen.run)
        if not chosen.commands and (why_not := refused(original.folder, original.plan.faults)) is not None:
            raise ReplayError(why_not)
        old = _metrics(chosen.run)
        output = _claim(chosen.output or PLACE / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{original.name}")
    except (ReplayError, OSError) as error:
        say(str(error))
        return WRONG
    environment = differences(original.manifest, provenance())
    for entry in environment:
        say(f"warning: {entry['what']}: {entry['then']} then, {entry['now']} now")
    if not old["valid"]:
        say(f"warning: the old run is not valid, and what is not valid is not compared: {old['invalid_reasons'][0]}")
    statuses: list[int] = []
    status: int = FAILED
    try:
        for number in range(1, chosen.repeats + 1):
            print(f"repeat {number} of {chosen.repeats}", flush=True)
            statuses.append(_run_again(original, output, number))
        status = _judge(original, old, output, statuses, environment)
    except (Interrupted, KeyboardInterrupt) as error:
        status = status_of(error)
        print(f"interrupted after {len(statuses)} of {chosen.repeats} repeats, no verdict; kept: {output}")
    from experiments.tracking.companion import finish_sweep

    finish_sweep(output, status)
    return status


def _claim(output: Path) -> Path:
    """The folder of the new runs, made or empty: an earlier run in it would be overwritten.

    Raises:
        ReplayError: something lies there.
        OSError: it cannot be made.
    """
    output.mkdir(parents=True, exist_ok=True)
    if any(output.iterdir()):
        raise ReplayError(f"{output}: is not empty; choose another --output")
    return output


def _metrics(folder: Path) -> Metrics:
    """A run's metrics, computed from its files with the code of now."""
    from analysis.metrics import table as metrics
    from analysis.metrics import timeline
    from record.files import FolderError
    from record.reading import read

    try:
        run = read(folder)
    except FolderError as error:
        raise ReplayError(str(error)) from error
    return metrics.compute(run, timeline.build(run))


def _run_again(original: Original, output: Path, number: int) -> int:
    """One repeat, as a job of a sweep over nothing; return its status."""
    from experiments.session import Session

    session = Session(
        plan=original.plan,
        scenario=original.manifest["scenario"],
        folder=output / str(number),
        overrides=original.manifest["overrides"],
        sweep_dir=output.absolute(),
    )
    return supervise(session)


def _judge(
    original: Original, old: Metrics, output: Path, statuses: list[int], environment: list[dict[str, str]]
) -> int:
    """Compare, write `replay.json`, print; return the exit status."""
    from analysis.comparison.replay_check import cells, check
    from analysis.comparison.verdicts import Smallest

    failed = sum(status == FAILED for status in statuses)
    new = [_metrics(output / str(number)) for number, status in enumerate(statuses, 1) if status != FAILED]
    comparison = original.plan.config.comparison
    smallest = Smallest(
        comparison.smallest_effect, comparison.smallest_share, comparison.smallest_seconds, comparison.smallest_count
    )
    judgement = check(old, new, original.plan.primary, smallest)
    content = {
        "run": str(original.folder),
        "repeats": len(statuses),
        "failed": failed,
        "valid": sum(metrics["valid"] for metrics in new),
        "environment": environment,
        **judgement.as_dict(),
    }
    write_json(output / "replay.json", content)
    console = Console(width=max(Console().width, TABLE_WIDTH))
    if judgement.rows:
        table = Table(box=None, pad_edge=False)
        for name in ("metric", "old", "new mean", "one further run lies in", "verdict"):
            table.add_column(name)
        for row in judgement.rows:
            table.add_row(*cells(row))
        console.print(table)
    console.print(judgement.sentence, highlight=False, markup=False, soft_wrap=True)
    if failed:
        say(f"{failed} of {len(statuses)} repeats failed")
    print(f"written: {output / 'replay.json'}")
    manifests = [read_manifest(output / str(number)) for number, status in enumerate(statuses, 1) if status != FAILED]
    is_met = _is_met(original, output, new, manifests, console)
    return FAILED if failed else DIFFERS if judgement.verdict != "agrees" else AGREES if is_met else UNMET


def _is_met(
    original: Original, output: Path, new: list[Metrics], manifests: list[Manifest], console: Console
) -> bool:
    """Whether the repeats together meet what the run expects; what is about a reference, which they have none of, is
    left out with a line.
    """
    from analysis.expectations.judging import hold_runs
    from analysis.expectations.report import show, write

    expected = parse_all(original.plan.config.expect)
    for one in expected:
        if one.has_reference:
            say(f"left out: expect: '{one.text}': a replay has no reference")
    outcomes = hold_runs(expected, str(original.manifest["scenario"]), new)
    if outcomes:
        write(outcomes, manifests or [{**original.manifest, "ended_at": None}], output)
        show(outcomes, console)
    return all(outcome.is_met for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
