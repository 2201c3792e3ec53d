"""The folder that a run takes for its own, and the room in it."""

import contextlib
import errno
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from record.files import FolderError, create
from record.schema import COMPOSED, CONTRACT_FILES, LOGS, MANIFEST, RAW, REQUESTS, SCHEDULE, TIMELINE, UI

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".claim"
PATIENCE_S = 0.5
"""Longest wait for a folder: who only looks whether a run has it has it himself for a moment."""
CLEARING_S = 15.0
"""Longest wait for the folder of a run that was killed: its guardian has it until it is closed."""
UNMISTAKABLE = (LOCK, SCHEDULE, REQUESTS, TIMELINE)
"""Nobody but a run of Aegis leaves a file that is called so."""
SPACE = ".space"
"""Holds the room that a run's results will need."""
BYTES_PER_REQUEST = 250
"""Rough upper bound of what a request leaves on disk, raw rows and picture included."""
SPARE_BYTES = 8 << 20


class Claim:
    """A folder that is this run's until `release`, or until this process ends, however it ends.

    It is a lock of the operating system (flock) on the file `.claim`: the kernel lets go of it when its holder is
    gone, which no note of a process id does (the id is another's by now, or was given on another machine), and which
    needs no `/proc`. Where a file system has no flock, filelock takes a note with host and id instead.
    """

    def __init__(self, folder: Path, lock: "BaseFileLock") -> None:
        """`lock` is held."""
        self.folder = folder
        self._lock = lock

    def release(self) -> None:
        """Leave the folder to others."""
        give_back(self.folder)
        # While it is held: who waits for a file that is no more is told by its count of links, and looks again.
        (self.folder / LOCK).unlink(missing_ok=True)
        self._lock.release()


def hold(folder: Path, patience_s: float = PATIENCE_S) -> Claim | None:
    """Take a folder as it is; None where a run has it that is still going on after `patience_s` seconds.

    Raises:
        OSError: it cannot be written to.
    """
    from filelock import FileLock, Timeout  # a tenth of a second, which a wrong configuration is not to wait for

    lock = FileLock(folder / LOCK, timeout=patience_s, thread_local=False)
    try:
        lock.acquire(poll_interval=0.02)
    except Timeout:
        return None
    return Claim(folder, lock)


def is_held(folder: Path) -> bool:
    """Whether a run that is still going on has the folder."""
    if not (folder / LOCK).exists():
        return False
    try:
        claim = hold(folder)
    except OSError:  # another user's, or a medium that is only read: nobody that can be asked
        return False
    if claim is not None:
        claim.release()
    return claim is None


def claim(folder: Path, *, may_rename: bool) -> Claim:
    """Make `folder` this run's: no other run's, and emptied of an earlier run's files.

    One whose run was killed is waited for while its guardian clears up: what the killed run's processes still write
    must not come among this run's files.

    Args:
        folder: where the run is to be.
        may_rename: take `folder-2`, `folder-3`, ... where another run has the name, one that is complete included.

    Raises:
        FolderError: it cannot be written, belongs to a run that is still going on, or holds what is of no run.
    """
    for number in range(1, 1000):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            candidate.mkdir(parents=True, exist_ok=True)
            if (foreign := _foreign(candidate)) is not None:
                raise FolderError(f"{candidate}: {foreign} there is of no run, which would take its place; "
                                  "set hydra.run.dir")  # fmt: skip
            claimed = hold(candidate)
            if claimed is None and not may_rename and _is_dead(candidate):
                claimed = hold(candidate, CLEARING_S)
        except OSError as error:
            raise FolderError(
                f"{candidate}: cannot write results here ({error.strerror}); set hydra.run.dir"
            ) from error
        told = _told(candidate)
        if claimed is None:
            if may_rename:
                continue
            owner = f" (pid {told['pid']})" if "pid" in told else ""
            raise FolderError(f"{candidate}: another run{owner} writes here; choose another hydra.run.dir")
        if may_rename and told.get("exit_reason") == "complete":
            claimed.release()
            continue
        _empty(candidate)
        return claimed
    raise FolderError(f"{folder}: a thousand runs of that name; set hydra.run.dir")


def _foreign(folder: Path) -> str | None:
    """The name of what a run would take away there, though no run has left it; None = there is nothing of that kind.

    A run that was killed before it had a manifest has left its claim, or its schedule; one whose outputs DVC has taken
    away has a timeline, or the configuration that it was composed of.
    """
    if any((folder / name).exists() for name in UNMISTAKABLE) or "exit_reason" in _told(folder):
        return None
    with contextlib.suppress(OSError, UnicodeError):
        if "\nworkload:\n" in (folder / COMPOSED / "config.yaml").read_text(encoding="utf-8"):
            return None
    there = (name for name in (*CONTRACT_FILES, RAW, LOGS, UI) if os.path.lexists(folder / name))
    return next(there, None)


def _empty(folder: Path) -> None:
    """Take away an earlier run's files; of a link in their place the link: nothing is written where it leads."""
    for name in (*CONTRACT_FILES, SPACE):
        (folder / name).unlink(missing_ok=True)
    for name in (RAW, LOGS, UI):
        if (folder / name).is_symlink():
            (folder / name).unlink()
        shutil.rmtree(folder / name, ignore_errors=True)
    if (folder / COMPOSED).is_symlink():
        (folder / COMPOSED).unlink()


def _is_dead(folder: Path) -> bool:
    """Whether the process that the manifest names is gone; of one on another machine that cannot be told: True."""
    try:
        os.kill(int(_told(folder)["pid"]), 0)
    except (KeyError, TypeError, ValueError):
        return False
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def _told(folder: Path) -> dict[str, Any]:
    """What the manifest there says, to be shown; empty where there is none that can be read."""
    try:
        return dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _take(descriptor: int, folder: Path, needed: int) -> None:
    """Take `needed` bytes for an open file.

    Raises:
        OSError: there are not so many.
    """
    if sys.platform != "darwin":
        os.posix_fallocate(descriptor, 0, needed)
    elif shutil.disk_usage(folder).free < needed:  # which knows no quota
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def reserve_space(folder: Path, requests: int) -> None:
    """Make sure that the results will fit, by taking the room for them until `give_back`.

    A disk that others fill while the run goes on then costs it nothing. On macOS the room is only looked for.

    Raises:
        FolderError: they will not.
    """
    needed = SPARE_BYTES + requests * BYTES_PER_REQUEST
    try:
        create(folder / SPACE)
        with (folder / SPACE).open("wb") as file:
            _take(file.fileno(), folder, needed)
    except OSError as error:
        give_back(folder)
        raise FolderError(f"{folder}: no room for about {needed >> 20} MiB of results ({error.strerror})") from error


def give_back(folder: Path) -> None:
    """Free the room that `reserve_space` took: what it was taken for is about to be written."""
    with contextlib.suppress(OSError):  # of a medium that is only read by now
        (folder / SPACE).unlink(missing_ok=True)
