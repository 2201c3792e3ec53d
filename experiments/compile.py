"""Compile the router and the simulator with mypyc: `python -m experiments.compile` (`make fast`).

Needs a C compiler and Python's headers. The binaries are used as long as the Python files stay as they are
(services/compiled.py); the results are the same to the last digit, in half the time.
`setup.py` calls `build` where it is told so (`AEGIS_COMPILE=1 pip install .`).
"""

import argparse
import ast
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from services.compiled import ABI, FOLDER, RECORD, ROOT, digest

MODULES = (
    "services.router.work",
    "services.router.replica",
    "services.router.fleet",
    "services.backoff",
    "services.draws",
    "services.router.budgets",
    "services.router.running_percentile",
    "services.router.patience",
    "services.router.retries",
    "services.router.idle_limit",
    "services.router.limits",
    "services.router.standing_line",
    "services.router.waiting",
    "services.router.calling",
    "services.router.ending",
    "services.router.dispatch",
    "services.router.policy",
    "services.router.standing_out",
    "services.router.held_back",
    "services.router.policies.adaptive",
    "services.router.policies.c3",
    "services.router.policies.consistent_hash",
    "services.router.policies.join_idle_queue",
    "services.router.policies.late_binding",
    "services.router.policies.least_request",
    "services.router.policies.peak_ewma",
    "services.router.policies.prequal",
    "services.router.policies.random",
    "services.router.policies.round_robin",
    "services.router.policies.weighted_latency",
    "services.router.policies.weighted_utilisation",
    "services.router.reports",
    "services.router.rejections",
    "services.router.latencies",
    "services.router.accounts",
    "services.router.wire.messages",
    "services.router.wire.bodies",
    "services.router.wire.heads",
    "services.router.wire.seam",
    "services.router.wire.outbox",
    "services.router.wire.deadline",
    "services.router.wire.closing",
    "services.router.wire.reading",
    "services.router.wire.heartbeat",
    "services.router.wire.client",
    "services.router.wire.replica",
    "services.router.wire.pool",
    "services.router.attempt",
    "services.router.attempting",
    "services.router.following",
    "services.router.exchange",
    "services.router.proxy",
    "services.backend.calls",
    "services.backend.holding",
    "services.backend.load",
    "services.backend.work_queue",
    "services.backend.draws",
    "experiments.simulator.agenda",
    "experiments.simulator.calling",
    "experiments.simulator.checking",
    "experiments.simulator.clients",
    "experiments.simulator.load",
    "experiments.simulator.path",
    "experiments.simulator.playing",
    "experiments.simulator.probing",
    "experiments.simulator.process",
    "experiments.simulator.registering",
    "experiments.simulator.replica",
    "experiments.simulator.ledger",
    "experiments.simulator.request",
    "experiments.simulator.serving",
    "experiments.simulator.router",
    "experiments.simulator.standing",
)
"""The router's decisions and data plane, and the event engine; everything else, and a user's own policy, stays
interpreted beside them."""
GROUP = "aegis_compiled"
MYPY = """[mypy]
follow_imports = skip
ignore_missing_imports = true
[mypy-services.*,record.*,experiments.*]
follow_imports = normal
[mypy-record.*,experiments.plan.*]
ignore_errors = true
[mypy-numpy.*,pandas.*]
follow_imports = skip
follow_imports_for_stubs = true
"""
"""Third parties' types are not looked at: none is compiled, and reading pandas' takes longer than all of ours. So what
is made of them is not understood; of that nothing is compiled either."""


class CompileError(Exception):
    """The compiler, or what it needs, is not there, or has failed."""


def file_of(module: str) -> str:
    """Below the root."""
    return module.replace(".", "/") + ".py"


def sources(root: Path) -> list[str]:
    """The files that binaries depend on, below `root`: those compiled, and ours that they import."""
    files = {file_of(module) for module in MODULES}
    for module in MODULES:
        for node in ast.walk(ast.parse((root / file_of(module)).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                files.update(
                    file.relative_to(root).as_posix()
                    for name in names
                    for file in (root / file_of(name), root / name.replace(".", "/") / "__init__.py")
                    if file.is_file()
                )
    return sorted(files)


def build(folder: Path = FOLDER, root: Path = ROOT) -> Path:
    """Compile what is below `root` into a folder below `folder`, in place of what was there; returns it.

    Raises:
        CompileError: mypy, the C compiler or Python's headers are missing, or refuse the sources.
    """
    try:
        from mypyc.build import mypycify
        from setuptools import Distribution
        from setuptools.command.build_ext import build_ext
    except ImportError as error:
        raise CompileError(f"{error}: mypy and setuptools are needed to compile") from error
    known = {name: digest(root / name) for name in sources(root)}
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as scratch:
        place, made = Path(scratch), Path(scratch) / "made"
        (place / "mypy.ini").write_text(MYPY, encoding="utf-8")
        options = [f"--config-file={place / 'mypy.ini'}", f"--cache-dir={place / 'types'}"]
        with _inside(root):
            try:
                extensions = mypycify(
                    [*options, *map(file_of, MODULES)], group_name=GROUP, target_dir=str(place), opt_level="2"
                )
                command = build_ext(Distribution({"ext_modules": extensions}))
                command.build_lib, command.build_temp = str(made), str(place / "objects")
                command.ensure_finalized()
                command.run()
            except (SystemExit, Exception) as error:
                raise CompileError(f"{type(error).__name__}: {error}") from error
        modules = {}
        for file in sorted(made.rglob(f"*.{ABI}.*")):
            name = file.relative_to(made).as_posix()
            modules[name.partition(f".{ABI}.")[0].replace("/", ".")] = name
        if missing := [module for module in MODULES if module not in modules]:
            raise CompileError(f"no binary was made of {', '.join(missing)}")
        if known != {name: digest(root / name) for name in known}:
            raise CompileError("the Python files changed meanwhile")
        binaries = {name: digest(made / name) for name in modules.values()}
        about = json.dumps({"modules": modules, "sources": known, "binaries": binaries}, indent=1)
        (made / RECORD).write_text(about, encoding="utf-8")
        shutil.rmtree(folder / ABI, ignore_errors=True)
        made.rename(folder / ABI)
    return folder / ABI


@contextlib.contextmanager
def _inside(root: Path) -> Iterator[None]:
    """The compiler takes a module's name from its path below the working folder."""
    before = Path.cwd()
    os.chdir(root)
    try:
        yield
    finally:
        os.chdir(before)


def main(arguments: list[str] | None = None) -> int:
    """Compile; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m experiments.compile", description=(__doc__ or "").split("\n")[0])
    parser.parse_args(arguments)
    began = time.monotonic()
    try:
        place = build()
    except CompileError as error:
        print(f"not compiled: {error}", file=sys.stderr)
        return 1
    print(f"{len(MODULES)} modules compiled in {time.monotonic() - began:.0f} s: {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
