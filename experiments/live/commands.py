"""Runs the commands of `faults`: lines for the shell by which the user hurts the system under test, and heals it."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from experiments.plan.fault_command import PARAMETER
from experiments.plan.fault_plan import Fault
from experiments.runner.guardian import for_others
from experiments.runner.healing import SHELL, going, owe, settle
from services.manager.engines import EngineError

MOST_CHARACTERS = 120
"""Of what a command said last that stands in an event; all of it is in its log."""


class Commands:
    """Those of one run; what each prints goes to a log of its fault."""

    def __init__(self, logs: Path, raw: Path) -> None:
        """`logs` is the folder for them, `raw` that for what is to be done should the runner be killed."""
        self._logs = logs
        self._raw = raw

    def log_of(self, index: int) -> Path:
        """What the lines of fault number `index` have printed."""
        return self._logs / f"command-{index}.log"

    async def inject(self, index: int, fault: Fault) -> float:
        """Hurt the system; returns when that began (monotonic, seconds). What only half succeeds is healed again.

        Raises:
            EngineError: it failed, or took too long; one line.
        """
        began = time.monotonic()
        if fault.heal is not None:
            owe(self._raw, index, fault.heal, fault.full_parameters[PARAMETER])
        try:
            await self._run(index, fault, fault.inject or "")
        except EngineError:
            with contextlib.suppress(EngineError):
                await self.heal(index, fault)
            raise
        return began

    async def heal(self, index: int, fault: Fault) -> float:
        """End it; returns when that began, so that recovery includes what it takes.

        Raises:
            EngineError: as of `inject`.
        """
        began = time.monotonic()
        if fault.heal is not None:
            try:
                await self._run(index, fault, fault.heal)
            except EngineError:
                settle(self._raw, index)  # it has been said, and would fail again
                raise
            settle(self._raw, index)
        return began

    async def _run(self, index: int, fault: Fault, line: str) -> None:
        """One line, until it has ended; one that takes too long, or is not wanted any more, is killed.

        What it leaves running behind it, as a service that it starts, is the user's, and stays.
        """
        path, within_s = self.log_of(index), fault.full_parameters[PARAMETER]
        with path.open("ab") as log:
            log.write(f"$ {line}\n".encode())
            log.flush()
            process = await asyncio.create_subprocess_exec(
                SHELL, "-c", line,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=for_others(),
            )  # fmt: skip
        try:
            with going(self._raw, f"command-{index}", process.pid):
                status = await asyncio.wait_for(process.wait(), within_s)
        except TimeoutError:
            raise EngineError(f"not done within {within_s:g} s: {line}") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if status != 0:
            raise EngineError(f"exit status {status} of: {line}{_last_words(path)}")


def _last_words(path: Path) -> str:
    """The last line that was printed, in brackets; empty where that is the command itself."""
    lines = [" ".join(line.split()) for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    said = next((line for line in reversed(lines) if line), "")
    return "" if not said or said.startswith("$ ") else f" ({said[:MOST_CHARACTERS]})"
