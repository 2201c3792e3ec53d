"""Writes what won as another program's configuration: `python -m experiments.export results/sweeps/<time> --to envoy`.

Of a sweep it takes the arm that is best, or the one that --arm names. What cannot be carried over stands at the head of
the file. Exit status: 0 written; 2 there is nothing that could be carried over, or the arguments are wrong.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from omegaconf.errors import OmegaConfBaseException

from analysis.comparison.arms import Arm, ComparisonError
from analysis.comparison.gathering import compare_runs, read_runs
from analysis.comparison.over_workloads import best_of
from analysis.comparison.questions import questions_of
from experiments.exporting import EXPORTERS, Deployment, ExportError, Upstream, is_address, joined
from experiments.plan import store
from experiments.plan.config import Config, ConfigError
from experiments.plan.errors import one_line
from experiments.plan.original import as_planned
from experiments.plan.replica_options import weights
from record.files import FolderError, write_text

REFUSED = 2
FIRST_PORT = 9001
PORTS = 65_535
LOCAL = "127.0.0.1"
HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*"
    r"[A-Za-z](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\Z"
)
"""RFC 1123, section 2.1, and the underscores of compose's services; what ends in a number is a wrong address."""
OBJECT_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\Z")
"""Of Kubernetes: RFC 1123's subdomains."""


class Place(NamedTuple):
    """Where something listens."""

    host: str
    port: int


def place(text: str) -> Place:
    """`HOST:PORT`.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_host = is_address(bare) and "%" not in bare and (":" in bare) == (bare != host)
    is_port = port.isascii() and port.isdigit() and len(port) <= len(str(PORTS)) and 0 < int(port) <= PORTS
    if not is_port or not (is_host or HOST_NAME.match(host)):
        raise argparse.ArgumentTypeError(f"{text!r}: must be HOST:PORT, such as 127.0.0.1:9001 or [::1]:9001")
    return Place(bare, int(port))


def target(text: str) -> str:
    """The name of a Deployment.

    Raises:
        argparse.ArgumentTypeError: it cannot be one.
    """
    if not OBJECT_NAME.match(text):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a Kubernetes name, such as shop-2")
    return text


def winner(folder: Path, label: str | None) -> Arm:
    """The arm of `folder` that `label` names, or the best one.

    Raises:
        ExportError: there is no such arm, or no single best one; names the choices.
        ComparisonError: the runs cannot be compared.
        FolderError: there are none.
    """
    runs = read_runs([folder])
    arms: dict[str, Arm] = {}  # one of several workloads is the same under each of them
    for arm in (arm for question in questions_of(runs) for arm in question.arms):
        arms.setdefault(arm.label, arm)
    if label is None and len(arms) == 1:
        return next(iter(arms.values()))
    if label is not None:
        if label not in arms:
            raise ExportError(f"--arm={label}: must be one of {'; '.join(arms)}")
        return arms[label]
    comparisons = compare_runs(runs)
    best = [label for label in arms if all(label in best_of(comparison) for comparison in comparisons)]
    if len(best) != 1:
        where = f" under each of {len(comparisons)} workloads" if len(comparisons) > 1 else ""
        choices = "; ".join(best or arms)
        raise ExportError(f"{folder}: no arm is better than all others{where}; choose with --arm: {choices}")
    return arms[best[0]]


def deployment_of(config: Config, listens: Place, replicas: list[Place], target: str) -> Deployment:
    """What is to be carried over of a run; replicas that are not named are local ones, from port 9001 on.

    Raises:
        ExportError: it had no router, or another number of replicas.
    """
    if (router := config.own_router) is None:
        what = "external: what was measured is configured already" if config.is_external else "none"
        if config.stands_in and config.router is not None:
            what = f"{config.router.data_plane}: its configuration is in {{DIR}}/logs/data_plane"
        raise ExportError(f"router={what}: there is no router to be carried over")
    places = replicas or [Place(LOCAL, FIRST_PORT + number) for number in range(config.replicas)]
    if len(places) != config.replicas and not config.has_manager:
        raise ExportError(f"--replica: {len(places)} given, the run had {config.replicas}")
    if listens in places:
        raise ExportError(f"--listen={joined(*listens)}: is a replica's as well; name another place, or the replicas")
    shares = [*weights(config.replica), *[1.0] * len(places)]
    return Deployment(
        *listens,
        upstreams=tuple(Upstream(f"r{n}", *at, shares[n - 1]) for n, at in enumerate(places, 1)),
        settings=router,
        policy=config.policy,
        slots=config.replica.concurrency,
        scaler=config.scaler,
        scaling=config.autoscaling,
        target=target,
        beside=tuple(_beside(config, len(places), router.count)),
    )


def _beside(config: Config, count: int, routers: int) -> Iterator[str]:
    """What the run had beside its router's settings, and a proxy's file has not."""
    if config.has_manager:
        yield f"the {count} replicas are all that there are: nothing scales them (scaler={config.scaler['name']})"
    if routers > 1:
        yield f"this is one router of {routers}, each of which sees its own requests alone (router.count)"
    if config.tier.replicas:
        yield "the second tier and its router are not in it (tier)"


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise ExportError(f"-o {path}: cannot be written ({error.strerror})") from error


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.export", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="a run's folder, or a sweep's")
    parser.add_argument("--to", required=True, choices=sorted(EXPORTERS.files()), help="the program")
    parser.add_argument("--arm", metavar="LABEL", help="of a sweep: another arm than the best")
    parser.add_argument("--listen", type=place, default=Place("127.0.0.1", 8080), metavar="HOST:PORT")
    parser.add_argument("--replica", type=place, action="append", default=[], metavar="HOST:PORT", help="each of them")
    parser.add_argument(
        "--target", type=target, default="replicas", metavar="NAME", help="of hpa: the Deployment that it scales"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write (default: standard output)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Export what the command line names; return the exit status."""
    chosen = _arguments(arguments)
    store.register()
    try:
        arm = winner(chosen.folder, chosen.arm)
        manifest = next(iter(arm.runs.values()))[0].run.manifest
        config = as_planned(manifest["config"]).config
        deployment = deployment_of(config, chosen.listen, chosen.replica, chosen.target)
        exported = EXPORTERS.create(chosen.to, {}).render(deployment)
        if chosen.output is None:
            print(exported.text, end="")
        else:
            _write(chosen.output, exported.text)
    except (ExportError, ComparisonError, FolderError, ConfigError, OmegaConfBaseException, OSError) as error:
        print(one_line(error), file=sys.stderr)
        return REFUSED
    measured = [one for runs in arm.runs.values() for one in runs]
    if invalid := sum(not one.metrics["valid"] for one in measured):
        print(f"careful: {invalid} of its {len(measured)} runs are not valid (invalid_reasons)", file=sys.stderr)
    where = "" if chosen.output is None else f" written to {chosen.output};"
    print(f"{arm.label}:{where} {len(exported.lost)} things are otherwise, see the head of it", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
