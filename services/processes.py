"""Child processes that are services: started niced, awaited until ready, drained; used by runner and manager."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

STARTUP_NICE = 10
"""Niceness of a service until it is ready: imports of one must not slow what already runs."""
STOP_DEADLINE_S = 8.0
"""Longest wait between SIGTERM and SIGKILL; longer than a drain."""


class StartError(RuntimeError):
    """A process did not come up; the text ends with the tail of its log."""


def python_module(module: str, *arguments: object) -> list[str]:
    """The command that runs `module` with this interpreter."""
    return [sys.executable, "-m", module, *(str(argument) for argument in arguments)]


class ServiceProcess:
    """A child process in its own session (a Ctrl-C in the terminal reaches the runner alone)."""

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        *,
        env: dict[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """`on_line` gets every line of its standard output after the first; the rest goes to `log`."""
        self.name = name
        self.command = command
        self.log = log
        self.addresses: dict[str, str] = {}
        self._env = env or {}
        self._on_line = on_line
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._first_line: asyncio.Future[str] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it lives."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def returncode(self) -> int | None:
        """The exit status, None while it lives."""
        return None if self._process is None else self._process.returncode

    async def spawn(self) -> None:
        """Start it; return before it is ready."""
        self._first_line = asyncio.get_running_loop().create_future()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self._env},
                start_new_session=True,
                limit=1 << 20,
            )
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None and self._first_line is not None
        with self.log.open("ab", buffering=0) as log:
            async for raw in self._process.stdout:
                line = raw.decode(errors="replace").rstrip()
                if not self._first_line.done():
                    self._first_line.set_result(line)
                if self._on_line is not None:
                    self._on_line(line)
                else:
                    with contextlib.suppress(OSError):  # of a full disk, which costs what it says, and not the run
                        log.write(raw)
        await self._process.wait()
        if not self._first_line.done():
            self._first_line.set_result("")

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Wait for the ready line; return the addresses in it.

        Raises:
            StartError: it ended, or said nothing for `timeout_s` seconds.
        """
        assert self._first_line is not None
        try:
            line = await asyncio.wait_for(asyncio.shield(self._first_line), timeout_s)
        except TimeoutError:
            raise StartError(f"{self.name} was not ready within {timeout_s:g} s\n{self.tail()}") from None
        if " ready " not in line:
            await self.wait(2)
            raise StartError(f"{self.name} did not start (exit status {self.returncode})\n{self.tail()}")
        self.addresses = dict(word.split("=", 1) for word in line.split() if "=" in word)
        return self.addresses

    async def start(self, timeout_s: float, on_spawn: Callable[[], None] | None = None) -> dict[str, str]:
        """Start it niced, wait until it is ready, give it its priority back; return its addresses.

        `on_spawn` is called once there is a process.

        Raises:
            StartError: it did not come up.
        """
        await self.spawn()
        if on_spawn is not None:
            on_spawn()
        niced = self._renice(STARTUP_NICE) if may_raise_priority() else False
        addresses = await self.ready(timeout_s)
        if niced:
            self._renice(0)
        return addresses

    def _renice(self, nice: int) -> bool:
        """Set the niceness of every thread (on Linux it belongs to the thread)."""
        if self.pid is None:
            return False
        tasks = Path(f"/proc/{self.pid}/task")
        try:
            for thread in [int(entry.name) for entry in tasks.iterdir()] if tasks.exists() else [self.pid]:
                os.setpriority(os.PRIO_PROCESS, thread, nice)
        except OSError:
            return False
        return True

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"  {line}" for line in text[-lines:])

    def signal(self, number: int) -> None:
        """Send a signal, if it lives."""
        if self.pid is not None:
            # Popen's own way would first poll, and so take the exit status from asyncio, which then reports 255.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def wait(self, timeout_s: float) -> int | None:
        """Its exit status, None where it still lives after `timeout_s` seconds."""
        assert self._process is not None
        try:
            await asyncio.wait_for(self._process.wait(), timeout_s)
            if self._reader is not None:
                await asyncio.wait_for(asyncio.shield(self._reader), 1.0)
        except TimeoutError:
            pass
        return self._process.returncode

    async def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """SIGTERM (and SIGCONT, it may be paused), then SIGKILL after `deadline_s` seconds."""
        if self.pid is None:
            return
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        if await self.wait(deadline_s) is None:
            self.signal(signal.SIGKILL)
            await self.wait(2)


def may_raise_priority() -> bool:
    """Whether this process may lower the niceness of another one again (root, on Linux and macOS)."""
    return os.geteuid() == 0
