"""What a killed runner owed the user's system: the lines for the shell that heal it, which the guardian then runs.

They lie in the run's `raw/` from the moment on at which a command of `faults` hurts the system until it is healed; and
so does which process runs a line now. That one is ended first: what hurts must not go on behind what heals. A proxy
in the router's place lies there likewise: nginx' processes do not keep the run's mark in their environment.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from record.files import FolderError, read_manifest, write_json
from record.schema import EVENTS, FAULT_FAILED, FAULT_HEALED, LOGS, RAW

SHELL = "/bin/sh"
OWED = ".heal"
"""What the name of the file of a line that is owed ends in."""
GOING = ".going"
"""Likewise, of the process that runs a line; it holds its number, which leads a group."""
TELLS_ITSELF = 'echo $$ > "$0"; exec "$@"'
CLOCKS_S = 1.0
"""What the moments of a process and of a file may differ by, seconds: they are read off different clocks."""


def owe(raw: Path, index: int, line: str, within_s: float) -> None:
    """Fault number `index` is to be healed by `line`, which may take so long."""
    write_json(raw / f"command-{index}{OWED}", {"fault": index, "line": line, "within_s": within_s})


def settle(raw: Path, index: int) -> None:
    """It is healed, or will not be."""
    (raw / f"command-{index}{OWED}").unlink(missing_ok=True)


@contextlib.contextmanager
def going(raw: Path, name: str, pid: int) -> Iterator[None]:
    """Meanwhile there is process `pid`, which leads a group that must not outlive the run; `name` is its own there."""
    path = raw / f"{name}{GOING}"
    path.write_text(f"{pid}\n", encoding="utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def told_by_itself(raw: Path, name: str, command: list[str]) -> list[str]:
    """The same command for a process that leads a group, which leaves its number there before it does anything else.

    So there is no moment at which it runs and nobody would know of it. `has_ended` takes that back.
    """
    return [SHELL, "-c", TELLS_ITSELF, str(raw / f"{name}{GOING}"), *command]


def has_ended(raw: Path, name: str) -> None:
    """Nothing is left of that one."""
    (raw / f"{name}{GOING}").unlink(missing_ok=True)


def end_going(folder: Path) -> None:
    """End what still runs a line, or stands in the router's place, with what it has started."""
    for path in sorted((folder / RAW).glob(f"*{GOING}")):
        text, written_at = path.read_text(encoding="utf-8"), path.stat().st_mtime
        path.unlink()
        if not text.strip().isdecimal():  # it was about to be written, by a process that had the run's mark
            continue
        pid = int(text)
        with contextlib.suppress(psutil.Error, OSError):
            is_gone = not psutil.pid_exists(pid)  # others of its group may be left
            if is_gone or psutil.Process(pid).create_time() <= written_at + CLOCKS_S:  # else another has its number
                os.killpg(pid, signal.SIGKILL)


def heal_owed(folder: Path, env: Mapping[str, str]) -> None:
    """Run them in the environment `env`, each once; what they print goes where the runner would have put it.

    What came of each is an event of the run, as if the runner had done it.
    """
    end_going(folder)
    for path in sorted((folder / RAW).glob(f"*{OWED}")):
        owed = json.loads(path.read_text(encoding="utf-8"))
        path.unlink()
        failed = _run(owed["line"], folder / LOGS / f"{path.stem}.log", owed["within_s"], env)
        _tell(folder, owed["fault"], failed)


def _run(line: str, log_path: Path, within_s: float, env: Mapping[str, str]) -> str | None:
    """Why it failed; None = it did not."""
    with log_path.open("ab") as log:
        log.write(f"$ {line}   # by the guardian: the runner was killed\n".encode())
        log.flush()
        process = subprocess.Popen(
            [SHELL, "-c", line], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True,
            preexec_fn=_heed_signals,
        )  # fmt: skip
        try:
            status = process.wait(within_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"not done within {within_s:g} s: {line}"
    return None if status == 0 else f"exit status {status} of: {line}"


def _tell(folder: Path, fault: int, failed: str | None) -> None:
    """Write the event, behind whatever the runner was writing when it was killed."""
    with contextlib.suppress(FolderError, OSError):
        t0 = read_manifest(folder).get("t0_monotonic")
        if t0 is None:
            return
        entry: dict[str, object] = {"t_s": round(time.monotonic() - t0, 6), "source": "runner"}
        about = {"fault": fault, "action": "command", "target": "system", "planned_s": None}
        if failed is None:
            entry |= {"event": FAULT_HEALED, **about, "at_end": True}
        else:
            entry |= {"event": FAULT_FAILED, "reason": failed, "phase": FAULT_HEALED, **about}
        with (folder / EVENTS).open("ab") as events:
            events.write(b"\n" + json.dumps(entry).encode() + b"\n")


def _heed_signals() -> None:
    """What the guardian ignores, a service that a line starts must not."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)
