"""The folder that a run takes for its own, and the room in it."""

import os
import shutil
from pathlib import Path

from record.files import FolderError
from record.schema import CONTRACT_FILES, LOGS, RAW

BYTES_PER_REQUEST = 250
"""Rough upper bound of what a request leaves on disk, raw rows and picture included."""
SPARE_BYTES = 8 << 20


def claim(folder: Path, *, may_rename: bool) -> Path:
    """Make `folder` this run's: no other run's, and emptied of an earlier run's files.

    Args:
        folder: where the run is to be.
        may_rename: take `folder-2`, `folder-3`, ... where another run has the name.

    Raises:
        FolderError: it cannot be written, or belongs to a run that is still going on.
    """
    for number in range(1, 1000):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            candidate.mkdir(parents=True, exist_ok=True)
            lock = os.open(candidate / ".claim", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            os.write(lock, str(os.getpid()).encode())
            os.close(lock)
        except FileExistsError:
            owner = (candidate / ".claim").read_text() or "0"
            if may_rename:
                continue
            if int(owner) and Path(f"/proc/{owner}").exists() and int(owner) != os.getpid():
                raise FolderError(
                    f"{candidate}: another run (pid {owner}) writes here; choose another hydra.run.dir"
                ) from None
        except OSError as error:
            raise FolderError(
                f"{candidate}: cannot write results here ({error.strerror}); set hydra.run.dir"
            ) from error
        for name in CONTRACT_FILES:
            (candidate / name).unlink(missing_ok=True)
        for name in (RAW, LOGS):
            shutil.rmtree(candidate / name, ignore_errors=True)
        return candidate
    raise FolderError(f"{folder}: a thousand runs of that name; set hydra.run.dir")


def check_space(folder: Path, requests: int) -> None:
    """Make sure that the results will fit, by taking the space for a moment.

    Raises:
        FolderError: they will not.
    """
    needed = SPARE_BYTES + requests * BYTES_PER_REQUEST
    probe = folder / ".space"
    try:
        with probe.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, needed)
    except OSError as error:
        raise FolderError(f"{folder}: no room for about {needed >> 20} MiB of results ({error.strerror})") from error
    finally:
        probe.unlink(missing_ok=True)
