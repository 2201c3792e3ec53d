"""The files of a run: found, read and written whole or not at all."""

import contextlib
import json
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import cast

from record import schema
from record.metrics import Metrics
from record.misfits import misfits
from record.naming import number_of
from record.shapes import Manifest, Sections

SKIPPED_FOLDERS = frozenset({"mlruns", "mlartifacts"})
"""Below these lie copies of runs."""
PARTIAL = ".part"
"""Ends the name of a file that is not whole yet."""


class FolderError(RuntimeError):
    """The folder is not that of a run or cannot be used, or a file in it cannot; the text is one line."""


def one_line(error: BaseException) -> str:
    """The first line of an error's text that says something, at most 200 characters; its type where none does."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return text[:200]


@contextlib.contextmanager
def told_of(folder: Path) -> Iterator[None]:
    """What a value in a run's folder breaks is a `FolderError` of that folder: it stops nobody who has others to read.

    Raises:
        FolderError: in place of whatever it was but an OSError.
    """
    try:
        yield
    except (FolderError, OSError):
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {one_line(error)}"
        raise FolderError(f"{folder}: a value in its files cannot be used ({what})") from error


def create(path: Path) -> None:
    """Make an empty file that was not there: what lies there by that name, a link too, is taken away, not written into.

    Raises:
        OSError: it cannot be made.
    """
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what is to be found at `path`: there it is afterwards, whole or not at all.

    A link by either name is replaced, never followed: in a folder from elsewhere it may lead to any file.

    Raises:
        OSError: the place cannot be written to.
    """
    partial = path.with_name(path.name + PARTIAL)
    try:
        create(partial)
        yield partial
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # that it cannot be tidied up is not what went wrong
            partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: object) -> None:
    """Write whole or not at all; what JSON does not know becomes text."""
    write_text(path, json.dumps(content, indent=2, default=str) + "\n")


def dump(content: object) -> str:
    """Deterministic JSON; a NaN in it is an error."""
    return json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"


def cached(name: str) -> Path:
    """Where something that takes seconds to make is kept for this user's next process: in `aegis/` of the cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "aegis" / name


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run's folder.

    Raises:
        FolderError: there is none, it cannot be read, another version wrote it, or a value is not of its type.
    """
    path = folder / schema.MANIFEST
    if not path.is_file():
        raise FolderError(f"{folder}: not a run's folder (no manifest.json)")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FolderError(f"{path}: cannot be read ({one_line(error)})") from error
    config = manifest.get("config") if isinstance(manifest, dict) else None
    if not isinstance(config, dict) or not isinstance(config.get("workload"), dict):
        raise FolderError(f"{path}: is not the manifest of a run (no config.workload)")
    if manifest.get("schema_version") not in schema.READ:
        known = " and ".join(str(version) for version in schema.READ)
        raise FolderError(
            f"{path}: schema {manifest.get('schema_version')}, but {known} are read here; measure again, or read it "
            "with the commit that it names"
        )
    for text in chain(misfits(manifest, Manifest), misfits(config, Sections, "config")):
        raise FolderError(f"{path}: {text}")
    return cast(Manifest, manifest)


def read_metrics(folder: Path) -> Metrics:
    """What `metrics.json` holds; empty where there is none.

    Raises:
        FolderError: it is damaged.
    """
    path = folder / schema.METRICS
    if not path.exists():
        return {}
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FolderError(f"{path}: cannot be read ({one_line(error)})") from error
    if not isinstance(metrics, dict):
        raise FolderError(f"{path}: is no table of metrics")
    return cast(Metrics, metrics)


def find(places: list[Path]) -> list[Path]:
    """The run folders in `places`, at any depth, in order and each once.

    Raises:
        FolderError: a place holds none.
    """
    folders: dict[Path, Path] = {}
    for place in places:
        below = [path.parent for path in place.rglob(schema.MANIFEST) if not _is_copy(path.relative_to(place))]
        if not below:
            raise FolderError(f"{place}: no run's folder here (no manifest.json)")
        for folder in sorted(below, key=_natural):
            folders.setdefault(folder.resolve(), folder)
    return list(folders.values())


def _is_copy(path: Path) -> bool:
    return any(part in SKIPPED_FOLDERS or part.startswith(".") for part in path.parts[:-1])


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sorts 2 before 10, and a sweep's folders by their jobs' numbers: so the reference stays the arm named first."""
    numbers = ((part, number_of(part)) for part in path.parts)
    return [(1, 0, part) if number is None else (0, number, part) for part, number in numbers]
