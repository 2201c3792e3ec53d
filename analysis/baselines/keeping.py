"""Saves and finds baselines: `baselines/<name>/` with `baseline.json` and a folder a run."""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from record.files import one_line, write_json
from record.provenance import now_iso
from record.reading import Run
from record.schema import MANIFEST, MEASURED_FILES

PLACE = Path("baselines")
"""In the working folder, outside of `results/`, which no repository keeps: a baseline may be committed."""
ABOUT = "baseline.json"
VERSION = 1
NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


class BaselineError(RuntimeError):
    """It cannot be saved or found; the text is one line."""


@dataclass(frozen=True)
class Baseline:
    """A folder of runs under a name."""

    name: str
    folder: Path
    saved_at: str
    """Time of day, UTC, ISO 8601."""


def save(name: str, runs: Sequence[Run], place: Path, *, force: bool) -> Baseline:
    """Copy what was measured of the runs.

    Args:
        name: letters, digits, dots, dashes and underscores.
        runs: at least one.
        place: folder of the baselines.
        force: take the place of one of that name.

    Raises:
        BaselineError: the name is none, or taken.
        OSError: it cannot be written.
    """
    folder = _folder(name, place)
    if folder.exists() and not (force and (folder / ABOUT).is_file()):
        remedy = "--force takes its place" if (folder / ABOUT).is_file() else f"it is no baseline (no {ABOUT})"
        raise BaselineError(f"{folder}: is there already; {remedy}")
    partial = place / f".{name}.part"
    shutil.rmtree(partial, ignore_errors=True)
    about = Baseline(name, folder, now_iso())
    try:
        for number, run in enumerate(runs):
            _copy(run, partial / str(number))
        write_json(partial / ABOUT, {"schema_version": VERSION, "saved_at": about.saved_at})
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return about


def _copy(run: Run, to: Path) -> None:
    """The files of a run that its numbers are computed from; its sweep, which is not there, is forgotten."""
    to.mkdir(parents=True)
    write_json(to / MANIFEST, {**run.manifest, "sweep_dir": None})
    for name in MEASURED_FILES:
        if name != MANIFEST and (run.folder / name).is_file():
            shutil.copyfile(run.folder / name, to / name)


def load(name: str, place: Path) -> Baseline:
    """The baseline of that name.

    Raises:
        BaselineError: there is none, or another version made it.
    """
    folder = _folder(name, place)
    path = folder / ABOUT
    if not path.is_file():
        names = ", ".join(names_in(place)) or "none"
        raise BaselineError(f"--baseline={name}: there is no {path}; there are: {names}")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        version, saved_at = about["schema_version"], str(about["saved_at"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BaselineError(f"{path}: cannot be read ({one_line(error)})") from error
    if version != VERSION:
        raise BaselineError(f"{path}: version {version}, but {VERSION} is read here; save it anew")
    return Baseline(name, folder, saved_at)


def names_in(place: Path) -> list[str]:
    """Of all that there are, whether they can be read or not, in order."""
    names = (path.parent.name for path in place.glob(f"*/{ABOUT}"))
    return sorted(name for name in names if NAME.fullmatch(name))


def _folder(name: str, place: Path) -> Path:
    if not NAME.fullmatch(name):
        raise BaselineError(f"{name!r}: no name for a baseline: letters, digits, and . _ - between them")
    return place / name
