"""What a change would have done to a fitted log: `python -m experiments.what_if DIR policy=round_robin,prequal
replicas=4,6`.

Plays the log's requests over the fleet that `aegis fit` found, once for every combination of the choices (the first is
the reference) and for every draw of what the log leaves open; prints effects with intervals that carry the fit's own
uncertainty, and writes DIR/what-if.json. `slo.p99_ms=300` sets the objective. Exit status: 0 answered; 2 wrong
arguments; 3 refused: the log was not fitted.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from experiments.fitting.arms import arms_of
from experiments.fitting.kept import NotFittedError, kept
from experiments.fitting.supposing import PLAYS, SEED, Span, Supposed, busiest, suppose
from experiments.plan.config import ConfigError
from experiments.plan.errors import one_line
from experiments.runner.exit_status import ExitStatus
from record.files import FolderError, dump, write_text

OUTPUT = "what-if.json"
FULL = 0.98
"""Utilisation beyond which a line only grows: figures are then those of this stretch of time."""


def main(arguments: list[str] | None = None) -> int:
    """Answer; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.what_if", description=(__doc__ or "").partition(":")[0] + "."
    )
    parser.add_argument("place", type=Path, metavar="DIR", help="where `aegis fit` has left a fleet")
    parser.add_argument("choices", nargs="+", metavar="KEY=A,B", help="what is changed; the first is the reference")
    parser.add_argument("--plays", type=int, default=PLAYS, help=f"of every arm (default {PLAYS})")
    chosen = parser.parse_args(arguments)
    if chosen.plays < 2:
        parser.error("--plays: at least 2, or there is no interval")
    try:
        fitted = kept(chosen.place)
        trace = busiest(fitted.trace)
        arms = arms_of(chosen.choices, fitted, trace)
        supposed = suppose(arms, fitted, trace, chosen.plays, SEED)
        write_text(chosen.place / OUTPUT, dump([_finite(asdict(each)) for each in supposed]))
    except NotFittedError as refused:
        print(f"refused: {refused}", file=sys.stderr)
        return ExitStatus.INVALID
    except OverrideParseException as error:
        print(f"{error.override}: must be KEY=A,B", file=sys.stderr)
        return ExitStatus.WRONG
    except (ConfigError, OmegaConfBaseException, HydraException) as error:  # some of them are OSErrors
        print(one_line(error), file=sys.stderr)
        return ExitStatus.WRONG
    except (FolderError, OSError) as error:
        print(error, file=sys.stderr)
        return ExitStatus.WRONG
    if len(trace) < len(fitted.trace):
        print(f"the busiest {len(trace):,} requests of {len(fitted.trace):,}\n")
    print(table(supposed), end="")
    return ExitStatus.COMPLETE


def table(supposed: Sequence[Supposed]) -> str:
    """Markdown: an arm a row."""
    lines = [
        f"| arm | p50, ms | p99, ms | failed, % | p99 below {supposed[0].objective_ms:g} ms | p99 over the first's | |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in supposed:
        lost = each.failed_share
        lines.append(
            f"| {each.label} | {_said(each.latency_ms['p50'])} | {_said(each.latency_ms['p99'])} | "
            f"{100 * lost.value:.2f} | {each.holds} | {'-' if each.p99_ratio is None else _said(each.p99_ratio)} | "
            f"{each.verdict or 'reference'} |"
        )
    full = [each for each in supposed if each.utilisation > FULL]
    notes = [
        f"{each.label}: asked for {100 * each.utilisation:.0f} % of what its slots can do; its line grows to the end"
        for each in full
    ]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _said(span: Span) -> str:
    if not math.isfinite(span.value):
        return f"among the failed ({span.low:.3g} and more)"
    return f"{span.value:.3g} ({span.low:.3g} to {span.high:.3g})"


def _finite(value: object) -> object:
    """JSON has no infinity: null, as everywhere."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)


if __name__ == "__main__":
    sys.exit(main())
