"""A process that has imported what a command needs, and forks for each: `python -m` without a second of imports.

For runs that start no services (`engine=sim`, what is refused); where there are processes, signals or an environment to
look at, a test starts a command as users do. What it finds here is the same: its module is run as `__main__`, with its
arguments, in the repository's folder, without standard input.
"""

import atexit
import contextlib
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRELOADED = ("experiments.session", "experiments.simulator.simulation", "experiments.plan.schedule")
MODULE = "experiments.run"
AT_MOST_S = 300
"""For a command."""


def _settings() -> dict[str, str]:
    """Of the environment, what our modules may have read when they were imported."""
    return {name: value for name, value in os.environ.items() if name.startswith("AEGIS_")}


class Warm:
    """The process, started at its first command and ended with this one."""

    def __init__(self) -> None:
        """It is not there yet."""
        self.process: subprocess.Popen[str] | None = None
        self._settings = _settings()

    def is_fit(self) -> bool:
        """Whether the settings are those of the beginning, as they are not where a test has changed them."""
        return self._settings == _settings()

    def _started(self) -> subprocess.Popen[str]:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            atexit.register(self.process.kill)
        return self.process

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Its exit status, negative where a signal ended it, and what it wrote."""
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "stdout", Path(folder) / "stderr"
            asked = {"arguments": arguments, "out": str(out), "err": str(err), "env": dict(os.environ)}
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            status = json.loads(process.stdout.readline())
            return subprocess.CompletedProcess(arguments, status, out.read_text(), err.read_text())


warm = Warm()


def _child(asked: dict) -> int:
    """What the command does, and its exit status."""
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(asked["env"])
    signal.alarm(AT_MOST_S)
    sys.argv = [MODULE, *asked["arguments"]]
    del sys.modules[MODULE]  # it is to be `__main__`
    status: object = 0
    try:
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
        status = 1
    if isinstance(status, str):
        print(status, file=sys.stderr)
        status = 1
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    return 0 if status is None else int(status) & 0xFF  # type: ignore[call-overload]


def main() -> None:
    """Read a command a line, answer with its exit status."""
    for name in (MODULE, *PRELOADED):
        importlib.import_module(name)
    for line in sys.stdin:
        if not (pid := os.fork()):
            os._exit(_child(json.loads(line)))
        _, ended = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(ended), flush=True)


if __name__ == "__main__":
    main()
