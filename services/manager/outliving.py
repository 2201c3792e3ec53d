"""Replicas of this machine that outlive a manager that is killed: noted in a file, by which the next one finds them."""

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path

from services.processes import STOP_DEADLINE_S

POLL_S = 0.05
"""Between two looks at whether one has ended that is nobody's child here, seconds."""


def begun(pid: int) -> str | None:
    """When a process was started, in the kernel's clock ticks as text: tells it from a later one of the same number.

    None = there is none, or it has ended. Where there is no /proc it is empty, and the number alone is believed.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        try:
            os.kill(pid, 0)
        except OSError:
            return None
        return ""
    return None if fields[0] in ("Z", "X") else fields[19]  # proc(5): the state is field 3, starttime 22


class Outlived:
    """A replica that an earlier manager has started, with what of `ServiceProcess` an engine asks for."""

    def __init__(self, pid: int, begun_at: str, addresses: dict[str, str]) -> None:
        """As it was noted."""
        self.addresses = addresses
        self._pid = pid
        self._begun_at = begun_at

    @property
    def pid(self) -> int | None:
        """The process id while it lives."""
        return self._pid if begun(self._pid) == self._begun_at else None

    def signal(self, number: int) -> None:
        """Send a signal, if it lives."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    async def wait(self, timeout_s: float) -> bool:
        """Whether it has ended within `timeout_s` seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while self.pid is not None and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)  # it is no child of this process: nobody tells
        return self.pid is None

    async def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """SIGTERM (and SIGCONT, it may be paused), then SIGKILL after `deadline_s` seconds."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        if not await self.wait(deadline_s):
            self.signal(signal.SIGKILL)
            await self.wait(2)


class Notes:
    """The file: by id the process, when it began, and where it listens (nothing as long as it has not joined).

    Who drains is not in it any more: it ends by itself, and a second signal would cut it short.
    """

    def __init__(self, file: Path) -> None:
        """It need not be there yet."""
        self._file = file
        self._content: dict[str, dict[str, object]] = {}

    def found(self) -> dict[str, Outlived]:
        """What is noted, by id; dead ones, too.

        Raises:
            ValueError: the file is none of these; one line.
        """
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
            found = {id_: Outlived(int(o["pid"]), str(o["begun"]), dict(o["addresses"])) for id_, o in content.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"--outlive={self._file}: must be a file that a manager has written ({error})") from error
        self._content = content
        return found

    def note(self, id_: str, pid: int, addresses: dict[str, str]) -> None:
        """There is such a replica."""
        self._content[id_] = {"pid": pid, "begun": begun(pid) or "", "addresses": addresses}
        self._write()

    def forget(self, id_: str) -> None:
        """It is not to be found."""
        if self._content.pop(id_, None) is not None:
            self._write()

    def _write(self) -> None:
        """At once or not at all: whoever is killed meanwhile leaves the earlier content."""
        new = self._file.with_name(self._file.name + ".new")
        new.write_text(json.dumps(self._content, indent=1), encoding="utf-8")
        new.replace(self._file)
