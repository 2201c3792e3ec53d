"""The runner's side of the guardian (`guardian.py`): a run's own, or one for all that a process simulates."""

import contextlib
import os
import subprocess
import sys
import uuid
from pathlib import Path

from experiments.runner.guardian import DONE, MARK


class Guardian:
    """A process that closes the folder that it was told last, should this one die."""

    def __init__(self, folder: Path, mark: str | None = None, cleanup: str | None = None) -> None:
        """Start it.

        Args:
            folder: where a run goes on.
            mark: of the processes that it ends; None = there are none.
            cleanup: module that removes what else a killed run leaves, by its project; None = nothing else.
        """
        env = {key: value for key, value in os.environ.items() if key != MARK}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "experiments.runner.guardian", str(folder), *([cleanup] if cleanup else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env=env if mark is None else env | {MARK: mark},
        )

    def watch(self, folder: Path) -> None:
        """A further run goes on in `folder`, and none in the one before."""
        self._tell(str(folder))

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # somebody ended it
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def done(self) -> None:
        """Nothing is left to guard; wait until it has gone."""
        assert self._process.stdin is not None
        self._tell(DONE)
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


_of_process: list[Guardian] = []
"""The one of the simulated runs of this process, once there is one."""


def guard(folder: Path, cleanup: str | None) -> Guardian:
    """A guardian for a run with processes, all of which carry its mark from now on; `cleanup` as for `Guardian`."""
    os.environ[MARK] = str(uuid.uuid4())
    # Only its children carry the mark: the runner's own environment block is the one it was started with.
    return Guardian(folder, os.environ[MARK], cleanup)


def guard_simulated(folder: Path) -> None:
    """Let the guardian of this process watch over the simulated run in `folder`; it goes when the process ends."""
    if _of_process:
        _of_process[0].watch(folder)
    else:
        _of_process.append(Guardian(folder))
