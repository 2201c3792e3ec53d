"""Keeps runs as a named baseline: `python -m analysis.baseline save main results/sweeps/<time>`, and `list`.

`python -m analysis.compare DIR --baseline main` holds later runs against it. Exit status: 0 done; 2 it cannot be.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from analysis.baselines.keeping import PLACE, Baseline, BaselineError, load, names_in, save
from analysis.compare import for_tables
from analysis.comparison.arms import ComparisonError, arms_of
from analysis.comparison.gathering import read_runs
from record.files import FolderError, find, read_manifest
from record.provenance import commit_of
from record.reading import Run
from record.shapes import Manifest, is_simulated

REFUSED = 2


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m analysis.baseline", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--baselines", type=Path, default=PLACE, metavar="DIR", help=f"where they are ({PLACE}/)")
    actions = parser.add_subparsers(dest="action", required=True, metavar="save | list")
    saving = actions.add_parser("save", help="keep the valid runs of a sweep, or of a run, under a name")
    saving.add_argument("name", metavar="NAME")
    saving.add_argument("place", type=Path, metavar="DIR", help="a sweep's folder, or a run's")
    saving.add_argument("--force", action="store_true", help="take the place of the baseline of that name")
    actions.add_parser("list", help="the baselines, with their arms, commits and machines")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.action == "list":
            _list(chosen.baselines)
        else:
            _save(chosen.name, chosen.place, chosen.baselines, force=chosen.force)
    except (BaselineError, FolderError, ComparisonError, OSError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    return 0


def _save(name: str, place: Path, baselines: Path, *, force: bool) -> None:
    runs = read_runs([place])
    valid = [(run, metrics) for run, metrics in runs if metrics["valid"]]
    for run, metrics in runs:
        if not metrics["valid"]:
            print(f"left out: {run.folder}: not valid: {metrics['invalid_reasons'][0]}", file=sys.stderr)
    if not valid:
        raise BaselineError(f"{place}: there is no valid run to keep")
    arms = arms_of(valid)
    kept = save(name, [run for run, _ in valid], baselines, force=force)
    if any(_is_dirty(run) for run, _ in valid):
        print("warning: made with uncommitted changes, so that no commit tells what it was", file=sys.stderr)
    size = sum(path.stat().st_size for path in kept.folder.rglob("*"))
    told = ", ".join(arm.label for arm in arms)
    print(f"kept: {kept.folder}, {len(valid)} runs of {told}, {size / 1e6:.1f} MB")
    elsewhere = "" if baselines == PLACE else f" --baselines {baselines}"
    print(f"against it: python -m analysis.compare DIR --baseline {name}{elsewhere}")


def _is_dirty(run: Run) -> bool:
    git = run.manifest.get("git")
    return bool(git and git["dirty"])


def _list(baselines: Path) -> None:
    known = names_in(baselines)
    if not known:
        print(f"no baselines in {baselines}/; python -m analysis.baseline save NAME DIR keeps one")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "saved (UTC)", "scenario", "runs", "commit", "made on"):
        table.add_column(column)
    for name in known:
        try:
            row = _row(load(name, baselines))
        except (BaselineError, FolderError, OSError) as error:
            row = (name, f"damaged: {error}")
        table.add_row(*map(escape, row))
    for_tables().print(table)


def _row(one: Baseline) -> Sequence[str]:
    manifests = [read_manifest(folder) for folder in find([one.folder])]
    scenarios = ", ".join(dict.fromkeys(str(each.get("scenario")) for each in manifests))
    commits = ", ".join(dict.fromkeys(commit_of(each) for each in manifests))
    machines = ", ".join(dict.fromkeys(_machine(each) for each in manifests))
    return one.name, one.saved_at[:19].replace("T", " "), scenarios, str(len(manifests)), commits, machines


def _machine(manifest: Manifest) -> str:
    """In virtual time none."""
    if is_simulated(manifest):
        return "simulated"
    return f"{manifest.get('cpu')}, {manifest.get('cores')} cores"


if __name__ == "__main__":
    sys.exit(main())
