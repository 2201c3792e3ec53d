"""MLflow: logs runs from their folders, as the runner's companion or afterwards.

    python -m experiments.tracking results/...               log (or complete) runs, any depth of folders
    python -m experiments.tracking --companion               started by the runner, spoken to on stdin
    python -m experiments.tracking --of-sweep DIR            likewise for the simulated runs of a sweep
    python -m experiments.tracking --finish-sweep DIR STATUS log a sweep's comparison, end its parent run

The companion is told the run's folder, answers `ready` (or `unavailable: <reason>`), waits for the line `log`,
answers `logged` (or `unavailable: <reason>`). When its runner dies it logs what is there and ends the run as KILLED.

That of a sweep is told the folder of each run that has ended, logs them by the chunk, and is told at last `end STATUS`;
when its runner dies it logs what it was told and ends the sweep as KILLED. It answers likewise.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from experiments.tracking.address import pages, shown_uri
from experiments.tracking.store import Store, TrackingError, import_mlflow
from experiments.tracking.values import read_entry
from record.files import FolderError, find, one_line, read_manifest
from record.place import is_held

CHUNK = 50
"""Runs of a sweep that are logged at once: a transaction of some 30,000 rows, a second's work."""
CLOSE_DEADLINE_S = 10.0
"""How long a dead runner's folder is given to be closed by the guardian."""


def serve(work: Callable[[Callable[[str], None]], str], answers: TextIO) -> None:
    """Do the work of a companion, deaf to what interrupts its runner, and answer with its last word.

    Args:
        work: is given the function that answers.
        answers: where to.
    """
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)

    def answer(text: str) -> None:
        try:
            print(text, file=answers, flush=True)
        except OSError:  # the runner is gone; the log is not
            return

    try:
        import_mlflow()
        answer(work(answer))
    except Exception as error:  # whatever it is, it must not cost the runner its measurement
        answer(f"unavailable: {one_line(error)}")


def companion(answer: Callable[[str], None]) -> str:
    """Prepare MLflow, wait for the runner's words or its end, log."""
    if not (told := sys.stdin.readline().strip()):
        return ""  # there is no run
    folder = Path(told)
    manifest = read_manifest(folder)
    store = Store(manifest["config"]["tracking"]["experiment"])
    run_id = store.open_run(folder, manifest)
    answer("ready")
    if sys.stdin.readline().strip() != "log":
        _wait_closed(folder)
    store.log_folder(run_id, folder)
    return "logged"


def of_sweep(sweep_dir: Path) -> str:
    """Log the runs of a sweep while further ones are played, and the sweep when the runner ends it or dies."""
    from experiments.tracking.sweep import finish_sweep

    stores: dict[str, Store] = {}
    ended: list[Path] = []
    status = "KILLED"
    for line in sys.stdin:
        if line.startswith("end "):
            status = line.split()[1]
            break
        ended.append(Path(line.rstrip("\n")))
        if len(ended) == CHUNK:
            _log_ended(ended, stores)
            ended = []
    _log_ended(ended, stores)
    for store in stores.values():
        finish_sweep(store, sweep_dir, status)
    return "logged"


def _log_ended(folders: list[Path], stores: dict[str, Store]) -> None:
    """Log runs, each into the experiment that it names; `stores` are known by that name."""
    experiments: dict[str, list[Path]] = {}
    for folder in folders:
        experiments.setdefault(read_manifest(folder)["config"]["tracking"]["experiment"], []).append(folder)
    for name, same in experiments.items():
        if name not in stores:
            stores[name] = Store(name)
        stores[name].log_ended(same)


def _wait_closed(folder: Path) -> None:
    deadline = time.monotonic() + CLOSE_DEADLINE_S
    while time.monotonic() < deadline and read_manifest(folder)["exit_reason"] == "running":
        time.sleep(0.1)


def log_later(folders: list[Path], answers: TextIO) -> int:
    """Log every run below `folders` that is not logged yet; return the exit status.

    Raises:
        FolderError: there is none in one of them.
        TrackingError: MLflow cannot be used.
    """
    from experiments.tracking.sweep import finish_sweep

    runs = [folder.absolute() for folder in find(folders)]
    stores: dict[str, Store] = {}
    sweeps: dict[str, Store] = {}
    status = 0
    last: Path | None = None
    for folder in runs:
        try:
            manifest = read_manifest(folder)
            name = manifest["config"]["tracking"]["experiment"]
            if manifest["exit_reason"] == "running" and is_held(folder):
                print(f"{folder}: still running, left alone", file=answers, flush=True)
                continue
            read_entry(folder)  # a folder that is damaged leaves no open run in MLflow, and stops no other
        except FolderError as error:
            print(error, file=sys.stderr, flush=True)
            status = 1
            continue
        except KeyError as error:
            print(f"{folder}: the manifest lacks {error}", file=sys.stderr, flush=True)
            status = 1
            continue
        store = stores[name] = stores.get(name) or Store(name)
        run_id = store.open_run(folder, manifest)
        if store.is_logged(run_id):
            print(f"{folder}: logged already, MLflow run {run_id}", file=answers, flush=True)
        else:
            word = store.log_folder(run_id, folder)
            print(f"{folder}: logged, {word}, MLflow run {run_id}", file=answers, flush=True)
        last = folder
        if sweep := manifest.get("sweep_dir"):
            sweeps[sweep] = store
            last = Path(sweep)
    for folder_of_all, store in sweeps.items():
        finish_sweep(store, Path(folder_of_all))
    for line in pages(last) if last else []:
        print(line, file=answers, flush=True)
    return status


def end_sweep(sweep_dir: Path, status: str) -> int:
    """Log a sweep's comparison and end its parent run; return the exit status."""
    from experiments.tracking.sweep import finish_sweep

    try:
        experiment = str(read_manifest(find([sweep_dir])[0])["config"]["tracking"]["experiment"])
    except FolderError:  # none of its runs came to a folder
        experiment = "aegis"
    store = Store(experiment)
    if finish_sweep(store, sweep_dir, status):
        return 0
    raise TrackingError(f"{sweep_dir}: no sweep of that name in MLflow")


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.tracking", description="Log runs to MLflow from their folders."
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="folders with runs, at any depth")
    parser.add_argument("--companion", action="store_true", help="serve the runner that speaks on standard input")
    parser.add_argument(
        "--of-sweep", type=Path, metavar="SWEEP_DIR", help="serve the runner of a sweep's simulated runs likewise"
    )
    parser.add_argument(
        "--finish-sweep", nargs=2, metavar=("SWEEP_DIR", "STATUS"), help="log its comparison, end its parent run"
    )
    chosen = parser.parse_args(arguments)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # what libraries print must not pass for an answer
    if chosen.companion or chosen.of_sweep is not None:
        serve(companion if chosen.companion else lambda _: of_sweep(chosen.of_sweep.absolute()), answers)
        return 0
    try:
        if chosen.finish_sweep is not None:
            return end_sweep(Path(chosen.finish_sweep[0]).absolute(), chosen.finish_sweep[1])
        if not chosen.folders:
            parser.error("name the folders of the runs")
        return log_later(chosen.folders, answers)
    except FolderError as error:
        print(error, file=sys.stderr)
        return 1
    except (TrackingError, OSError) as error:
        print(f"MLflow at {shown_uri()}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
