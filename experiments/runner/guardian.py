"""The run's guardian: ends what a killed runner left behind.

It holds the read end of a pipe whose other end the runner holds. When the runner dies, however it dies
(SIGKILL included), the pipe closes; the guardian then takes the run's folder, lets the load write its rows, ends
every process that carries the run's mark in its environment (also stopped ones, and the manager's replicas), heals
what commands of `faults` have hurt, and closes the folder. Where the next run has the folder already nothing is written
there any more: the processes are ended at once. An orderly runner says `done` first, and the guardian goes at once.

A process that plays many simulated runs, which start no processes, has one guardian for all: it is told the folder of
each further run on a line, and closes the last.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from experiments.runner.healing import heal_owed
from record.files import FolderError, read_manifest
from record.place import Claim, give_back, hold
from services.door.access import FILE_VARIABLE, TOKEN_VARIABLE

MARK = "AEGIS_RUN"
"""Environment variable that every process of a run inherits."""
OURS = (MARK, TOKEN_VARIABLE, FILE_VARIABLE)
DONE = "done"
LOAD_DEADLINE_S = 2.5
"""Longest wait for the load to write what it has measured."""
WRITERS = ("locust", "experiments.load.master")
"""In the command lines of the processes that do."""


def for_others() -> dict[str, str]:
    """The environment of a command of the user's.

    Without the mark by which what it leaves running would be ended, and without the token of the run's services.
    """
    return {key: value for key, value in os.environ.items() if key not in OURS}


def project_of(mark: str) -> str:
    """The Compose project of the run `mark`, where its services are containers."""
    return f"aegis-{mark[:8]}"


def marked(mark: str) -> list[psutil.Process]:
    """The living processes of the run `mark`, without this one."""
    processes = []
    for process in psutil.process_iter():
        try:
            is_ours = process.pid != os.getpid() and process.environ().get(MARK) == mark
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
        except (psutil.Error, OSError):
            continue
    return processes


def kill_marked(mark: str) -> int:
    """SIGKILL every process of the run, until none is left; return how many there were."""
    ended: set[int] = set()
    while processes := marked(mark):
        for process in processes:
            ended.add(process.pid)
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(processes, timeout=0.5)
    return len(ended)


def _is_writing(process: psutil.Process) -> bool:
    try:
        command = " ".join(process.cmdline())
        return any(word in command for word in WRITERS) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def main(folder: Path, mark: str | None, cleanup: str | None = None) -> None:
    """Wait for the runner's word or its end, then clear up.

    Args:
        folder: the run's, or the first one's.
        mark: that of the run's processes; None = it has none.
        cleanup: module that removes what else a killed run leaves, by its project; None = nothing else.
    """
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    is_orderly = False
    for line in sys.stdin:
        if is_orderly := line.strip() == DONE:
            break
        folder = Path(line.rstrip("\n"))
    claim = None if is_orderly else _take(folder)
    if mark is not None:
        if claim is not None:
            deadline = time.monotonic() + LOAD_DEADLINE_S
            while time.monotonic() < deadline and any(_is_writing(p) for p in marked(mark)):
                time.sleep(0.05)
        kill_marked(mark)
        if not is_orderly and cleanup is not None:
            os.environ.pop(MARK, None)
            subprocess.run([sys.executable, "-m", cleanup, project_of(mark)], check=False)
    if claim is not None:
        with contextlib.suppress(OSError):
            heal_owed(claim.folder, for_others())
        _close(claim)


def _take(folder: Path) -> Claim | None:
    """The folder, with the room for its rows free; None where there is nothing to close, or another run has it."""
    try:
        if read_manifest(folder).get("exit_reason") != "running":
            return None
        claim = hold(folder)
    except (FolderError, OSError):  # the run did not come to it, or it was removed
        return None
    if claim is not None:
        give_back(folder)
    return claim


def _close(claim: Claim) -> None:
    """Close the folder and leave it to others."""
    from record.writing import close

    try:
        close(claim.folder, "killed")
    except (FolderError, OSError) as error:
        later = f"python -m record.writing {claim.folder}"
        print(f"{claim.folder}: the killed run is not closed ({error}); later: {later}", file=sys.stderr)
    finally:
        claim.release()


if __name__ == "__main__":
    main(Path(sys.argv[1]), os.environ.get(MARK), *sys.argv[2:])
