"""What a reader needs to know of the code and the machine that a run was made with."""

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from record import __version__
from record.settings import flatten
from record.shapes import Commit, Provenance

ROOT = Path(__file__).resolve().parent.parent
"""The source tree, or where Aegis is installed."""
PACKAGES = (
    "aiohttp",
    "fastapi",
    "uvicorn",
    "uvloop",
    "locust",
    "gevent",
    "geventhttpclient",
    "hydra-core",
    "numpy",
    "pandas",
    "pyarrow",
)

CODE = ("services", "record", "experiments", "analysis")
"""Our own packages, below `ROOT`."""
SHOWS = ("analysis/pages", "analysis/standings", "analysis/tables")
"""Folders of them that draw and judge what runs have left: no run comes out otherwise by them."""

SECTIONS = ("aegis", "git", "python", "kernel", "cpu", "cores", "packages")
"""Sections of a manifest that may explain why a run comes out otherwise."""
DIRTY = "-dirty"
"""Behind a commit that is not all of the code, as `git describe --dirty` marks it."""


def now_iso() -> str:
    """The time of day in UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat()


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _commit() -> Commit:
    """Commit and uncommitted changes of the source tree; null where Aegis is installed, whatever lies around it."""
    top = _git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != ROOT:
        return {"commit": None, "dirty": None}
    status = _git("status", "--porcelain")
    return {"commit": _git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # of an extra that is not installed
        return None


def cpu_model() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def provenance() -> Provenance:
    """What a reader needs to know of the code and the machine."""
    return {
        "aegis": __version__,
        "git": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "kernel": platform.release(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


@cache
def provenance_of_process() -> Provenance:
    """The same as this process first found it: for what runs within it, whose code was read when it began."""
    return provenance()


def code_digest() -> str:
    """SHA-256 of the Python files that runs are made by, names and bytes: no other commit changes it."""
    digest = hashlib.sha256()
    for package in CODE:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(SHOWS):
                digest.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def commit_of(made: Provenance) -> str:
    """The first ten digits of the commit that a run was made with, of its manifest; `None` where nobody knows."""
    git = made.get("git")
    return str(git["commit"] if git else None)[:10]


def state_of(made: Provenance) -> str:
    """Likewise, with `DIRTY` behind it where something was not committed: the commit alone does not bring it back."""
    git = made.get("git")
    return f"{commit_of(made)}{DIRTY if git and git.get('dirty') else ''}"


def differences(then: Provenance, now: Provenance) -> list[dict[str, str]]:
    """What of code and machine is not as it was: `what`, `then` and `now`, in the order of `SECTIONS`.

    Uncommitted changes on both sides are none the less two states of the code that nobody knows.
    """
    sides = [{name: flatten(side.get(name), name) for name in SECTIONS} for side in (then, now)]
    changes = []
    for name in SECTIONS:
        before, after = (side[name] for side in sides)
        for key in sorted(before.keys() | after.keys()):
            pair = before.get(key, "none"), after.get(key, "none")
            if pair[0] != pair[1] or (key == "git.dirty" and "True" in pair):
                changes.append({"what": key, "then": pair[0], "now": pair[1]})
    return changes
