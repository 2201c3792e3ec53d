"""The runner's side of MLflow: a process that is warm before the load starts and logs when it has ended."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from experiments.runner.exit_status import ExitStatus
from experiments.runner.guardian import MARK
from experiments.tracking.address import pages
from record.files import FolderError, read_manifest
from record.schema import TRACKED

READY_DEADLINE_S = 60.0
LOG_DEADLINE_S = 120.0


class Companion:
    """`python -m experiments.tracking --companion`; failures are warnings, never the run's."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._folder: Path | None = None
        self._warn = warn
        self._process: asyncio.subprocess.Process | None = None

    async def spawn(self) -> None:
        """Start it; it imports MLflow (seconds) meanwhile."""
        env = {key: value for key, value in os.environ.items() if key != MARK}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "experiments.tracking",
            "--companion",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            start_new_session=True,
        )

    def open(self, folder: Path) -> None:
        """Tell it the run's folder, whose manifest is written; it prepares database and run."""
        self._folder = folder
        self._tell(str(folder))

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(ConnectionError):
                self._process.stdin.write(line.encode() + b"\n")

    async def _answer(self, deadline_s: float) -> str:
        assert self._process is not None and self._process.stdout is not None
        with contextlib.suppress(TimeoutError):
            line = await asyncio.wait_for(self._process.stdout.readline(), deadline_s)
            return line.decode(errors="replace").strip() or "unavailable: it ended"
        return f"unavailable: no answer within {deadline_s:g} s"

    async def ready(self) -> None:
        """Wait until it is idle, so that it takes nothing from the measurement."""
        answer = await self._answer(READY_DEADLINE_S)
        if answer != "ready":
            self._give_up(answer)

    async def log(self) -> list[str]:
        """Log the finished run's folder; return where it is found, as lines."""
        if self._process is None:
            return []
        self._tell("log")
        answer = await self._answer(LOG_DEADLINE_S)
        while answer == "ready":  # an interrupted start did not read it
            answer = await self._answer(LOG_DEADLINE_S)
        if answer != "logged":
            self._give_up(answer)
            return []
        await self._process.wait()
        return [] if self._folder is None else pages(self._folder)

    def _give_up(self, answer: str) -> None:
        reason = answer.removeprefix("unavailable: ")
        self._warn(f"not logged to MLflow ({reason}); later: python -m experiments.tracking {self._folder}")
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        self._process = None


class SweepCompanion:
    """`python -m experiments.tracking --of-sweep DIR`: one process for all the simulated runs of a sweep.

    Such runs take less time than it takes to import MLflow, and nothing of the machine has to be kept free for them.
    """

    _open: ClassVar[dict[Path, "SweepCompanion"]] = {}

    @classmethod
    def of(cls, sweep_dir: Path) -> "SweepCompanion | None":
        """That of the sweep in `sweep_dir`, from its start to its end."""
        return cls._open.get(sweep_dir.absolute())

    def __init__(self, sweep_dir: Path, warn: Callable[[str], None]) -> None:
        """Start it; it imports MLflow (seconds) while the first runs are played."""
        self._sweep_dir = sweep_dir.absolute()
        self._open[self._sweep_dir] = self
        self._warn = warn
        self._process = subprocess.Popen(
            [sys.executable, "-m", "experiments.tracking", "--of-sweep", str(self._sweep_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ended(self, folder: Path) -> None:
        """A run has ended, or was not begun; one that left something is logged soon."""
        try:
            manifest = read_manifest(folder)
        except FolderError:
            return
        if manifest["exit_reason"] != "running" and manifest["config"]["tracking"]["enabled"]:
            self._tell(str(folder))

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its answer says why
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def end(self, status: str) -> None:
        """The sweep has ended, and its folder holds its comparison; wait until all is logged.

        Args:
            status: MLflow's, of the sweep's parent run.
        """
        del self._open[self._sweep_dir]
        self._tell(f"end {status}")
        answer, _ = self._process.communicate()
        if answer.strip() != "logged":
            reason = answer.strip().removeprefix("unavailable: ") or "its process ended"
            self._warn(f"not logged to MLflow ({reason}); later: python -m experiments.tracking {self._sweep_dir}")


def finish_sweep(folder: Path, status: int) -> None:
    """End the parent run in MLflow of the sweep in `folder`, if its runs were logged; `status` is its exit status."""
    (folder / TRACKED).unlink(missing_ok=True)  # of an earlier sweep into the same folder
    ended = (ExitStatus.COMPLETE, ExitStatus.INVALID, ExitStatus.UNMET)
    word = "FINISHED" if status in ended else "FAILED" if status == ExitStatus.FAILED else "KILLED"
    if (companion := SweepCompanion.of(folder)) is not None:
        companion.end(word)
    elif any(_is_logged(path) for path in folder.glob("*/manifest.json")):
        command = [sys.executable, "-m", "experiments.tracking", "--finish-sweep", str(folder.absolute()), word]
        subprocess.run(command, check=False)
    for line in pages(folder):
        print(line, flush=True)


def _is_logged(manifest: Path) -> bool:
    try:
        return bool(json.loads(manifest.read_text(encoding="utf-8"))["config"]["tracking"]["enabled"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
