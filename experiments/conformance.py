"""Does the proxy do what it says? `python -m experiments.conformance results/runs/<time>-routed` (docs/conformance.md).

Holds every decision of a live run (who was picked, with what in flight) against what the policy would have done, and
names the first that it could not have made. The policy is that of the run; --policy names another one of
experiments/references/. In place of a folder it takes a proxy's access log, with --format, --servers and --policy.
Exit status: 0 nothing speaks against it; 4 something does; 2 there is nothing that could be judged, or the arguments
are wrong.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from experiments.conforming import exact, judging
from experiments.conforming.chances import ALPHA
from experiments.conforming.judging import Finding, Judgement
from experiments.conforming.log import seen_in
from experiments.conforming.run import SLACK_S, UnjudgedError, reference_of, seen_of, weights_of
from experiments.importing.errors import UnusableLog, WrongImport
from experiments.references import REFERENCES, create
from record import reading
from record.files import FolderError, write_text
from services.plugins import check_folders

WRONG, OTHERWISE = 2, 4
FILE = "conformance.json"


def _value(text: str) -> tuple[str, Any]:
    key, _, value = text.partition("=")
    if not key or not value:
        raise argparse.ArgumentTypeError(f"{text}: must be KEY=VALUE, such as choices=2")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text}: must be different names, with commas between them")
    return names


def _weights(text: str) -> list[float]:
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        weights = []
    if not weights or not all(0 < weight < 1e6 for weight in weights):
        raise argparse.ArgumentTypeError(f"{text}: must be numbers above 0, with commas between them")
    return weights


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 0.5:
        raise argparse.ArgumentTypeError(f"{text}: must be above 0 and below 0.5")
    return share


def judge(folder: Path, policy: str | None, options: dict[str, Any], alpha: float, slack_s: float) -> Judgement:
    """What comes of one run.

    Raises:
        FolderError: it is none.
        UnjudgedError: nothing can be said of it.
        ValueError: there is no such policy, or it does not take an option.
    """
    run = reading.read(folder)
    if policy is None and exact.path_of(run).exists():
        return exact.judge(run)
    name, its = (policy, options) if policy is not None else reference_of(run)
    reference = create(name, weights_of(run), its)
    return judging.judge(seen_of(run, slack_s), reference, alpha)


def judge_log(chosen: argparse.Namespace) -> Judgement:
    """What comes of a proxy's access log.

    Raises:
        UnjudgedError, ValueError, OSError: as `seen_in` and `create` say, or an option is missing.
    """
    if chosen.policy is None or chosen.format is None or not chosen.servers:
        raise UnjudgedError(f"{chosen.folder}: is no folder; a log needs --policy, --format and --servers")
    weights = tuple(chosen.weights or [1.0] * len(chosen.servers))
    if len(weights) != len(chosen.servers):
        raise UnjudgedError(f"--weights: {len(weights)} given for {len(chosen.servers)} --servers")
    reference = create(chosen.policy, weights, dict(chosen.option))
    seen = seen_in(chosen.folder, chosen.format, chosen.servers, weights, from_start=chosen.from_start)
    return judging.judge(seen, reference, chosen.alpha)


def told(judged: Judgement) -> str:
    """What the command prints."""
    share = f"{judged.judged:,} of {judged.decisions:,} decisions could have been wrong"
    lines = [f"{judged.reference}: " + ("nothing speaks against it" if judged.conforms else "it does otherwise")]
    if judged.first is not None:
        lines += _first(judged.first)
    lines.append(f"  {share}" + (f"; {judged.impossible:,} are impossible" if judged.impossible else ""))
    if judged.unplaced:
        lines.append(f"  {judged.unplaced:,} requests went nobody knows where, and what they overlap is not judged")
    if judged.evidence is not None and judged.alpha is not None:
        lines.append(
            f"  evidence of other chances {judged.evidence:.3g}; a proxy that draws as it should reaches "
            f"{1 / judged.alpha:g} with a chance of {100 * judged.alpha:g} % at most"
        )
    return "\n".join(lines)


def _first(found: Finding) -> list[str]:
    at = f"{found.low_s:.4f} s" if found.low_s == found.high_s else f"{found.low_s:.4f} to {found.high_s:.4f} s"
    again = f", attempt {found.attempt}, tried before: {', '.join(found.tried)}" if found.tried else ""
    counts = ", ".join(f"{id_} {low if low == high else f'{low} to {high}'}"
                       for id_, (low, high) in found.in_flight.items())  # fmt: skip
    lines = [f"  first at decision {found.place:,}: request {found.request}{again}, {at}, picked {found.picked}"]
    if counts:
        lines.append(f"  in flight: {counts}" + (f"; out of rotation: {', '.join(found.out)}" if found.out else ""))
    if found.alternative is None:
        lines.append(f"  it could have picked {' or '.join(found.possible) or 'nobody'}")
    elif found.possible:
        lines.append(f"  why: {found.alternative}; the policy's own: {', '.join(found.possible)}")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Judge the runs, print what came of it; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.conformance", description=(__doc__ or "").partition("\n")[0],
        epilog="Exit status: 0 nothing speaks against the policy, 4 something does, 2 nothing could be judged.",
    )  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="DIR", help="a live run's folder, or a proxy's access log")
    parser.add_argument("--format", metavar="NAME", help="of a log: nginx, haproxy, envoy, ... (docs/import.md)")
    parser.add_argument("--servers", type=_names, metavar="A,B,...", help="of a log: its names, as configured")
    parser.add_argument("--weights", type=_weights, metavar="1,2,...", help="of a log: theirs (default: equal)")
    parser.add_argument(
        "--from-start", action="store_true", help="of a log: before it nothing was in flight, and nothing had failed"
    )
    parser.add_argument("--policy", metavar="NAME", help=f"not the run's own, but {REFERENCES.listed()}")
    parser.add_argument(
        "--option", type=_value, action="append", default=[], metavar="KEY=VALUE", help="of --policy, such as choices=0"
    )
    parser.add_argument("--alpha", type=_share, default=ALPHA, help=f"error rate of what is drawn (default {ALPHA:g})")
    parser.add_argument(
        "--slack-ms", type=float, default=1e3 * SLACK_S, metavar="MS",
        help=f"how far a stamp may be off (default {1e3 * SLACK_S:g})",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help=f"leave {FILE} in the folder")
    chosen = parser.parse_args(arguments)
    if chosen.option and chosen.policy is None:
        parser.error("--option: goes with --policy")
    if chosen.json and chosen.folder.is_file():
        parser.error("--json: goes with a run's folder")
    if not chosen.folder.is_file() and (chosen.format or chosen.servers or chosen.weights or chosen.from_start):
        parser.error("--format, --servers, --weights, --from-start: go with a log")
    if not 0 <= chosen.slack_ms <= 1000:
        parser.error(f"--slack-ms {chosen.slack_ms:g}: must be between 0 and 1000")
    try:
        check_folders()
        if chosen.folder.is_file():
            judged = judge_log(chosen)
        else:
            judged = judge(chosen.folder, chosen.policy, dict(chosen.option), chosen.alpha, chosen.slack_ms / 1e3)
        if chosen.json:
            write_text(chosen.folder / FILE, json.dumps(judged.as_json(), indent=2) + "\n")
    except (FolderError, UnusableLog, WrongImport, ValueError, OSError) as error:
        print(f"{parser.prog}: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONG
    if not judged.judged:
        why = "any pick may be right (docs/conformance.md says when)" if judged.decisions else "there are no decisions"
        print(f"{parser.prog}: {chosen.folder}: nothing could be judged by {judged.reference}: {why}", file=sys.stderr)
        return WRONG
    print(told(judged))
    return 0 if judged.conforms else OTHERWISE


if __name__ == "__main__":
    sys.exit(main())
