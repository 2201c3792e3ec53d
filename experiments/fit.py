"""The fleet behind a log, or a refusal: `python -m experiments.fit DIR` (of `aegis import`, or of a run).

Fits hosts, slots, speeds, demand, retries and outages to the first half, holds them against the second half in the
simulator, and fits all of it. Writes `fleet.json`, `fleet.yaml` (the overrides that play it), `fitted.parquet` (the log
as a `workload.trace`, with demands) and `fit.md` (how well it fits). Exit status: 0 fitted; 2 wrong arguments, or no
log; 3 refused, with the reason and what to collect (docs/what-if.md).
"""

import argparse
import shlex
import sys
from pathlib import Path

from analysis.fitting.log import read_log
from analysis.fitting.refusal import FitRefused
from experiments.fitting.judging import fit_and_judge
from experiments.fitting.overrides import delays, overrides
from experiments.fitting.reading import requests_of, resolution_of
from experiments.fitting.written import PAGE, TRACE, judged_rows, short, write_fit, write_refusal
from experiments.runner.exit_status import ExitStatus
from record.files import FolderError


def main(arguments: list[str] | None = None) -> int:
    """Fit what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m experiments.fit", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("place", type=Path, metavar="DIR", help="what `aegis import` wrote, or a run's folder")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="where the fit goes (default: there)")
    chosen = parser.parse_args(arguments)
    output = chosen.output or chosen.place
    try:
        table = requests_of(chosen.place)
        output.mkdir(parents=True, exist_ok=True)
        try:
            verdict = fit_and_judge(read_log(table, resolution_of(chosen.place)))
        except FitRefused as refused:
            write_refusal(output, refused)
            print(f"refused: {refused.reason}", f"collect: {refused.collect}", sep="\n", file=sys.stderr)
            return ExitStatus.INVALID
        write_fit(output, table, verdict)
    except (FolderError, OSError) as error:
        print(error, file=sys.stderr)
        return ExitStatus.WRONG
    print(short(verdict.fleet), "", *judged_rows(verdict.judged), "", sep="\n")
    for note in verdict.fleet.notes:
        print(note)
    print(f"how well it fits: {output / PAGE}")
    trace = f"workload.trace={output / TRACE}"
    typed = [trace, "workload.warmup_s=0", *overrides(verdict.fleet), *delays(verdict.fleet)]
    print("again: aegis run +scenario=routed engine=sim", *(shlex.quote(each) for each in typed))
    return ExitStatus.COMPLETE


if __name__ == "__main__":
    sys.exit(main())
