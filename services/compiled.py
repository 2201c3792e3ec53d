"""Finds the compiled form of the router and of the simulator, where `make fast` has left one.

The compiled modules know each other's memory layout: all of them are used, or none. They are used only where the Python
files are those that they were compiled from, byte for byte, and for this Python's ABI; else the Python files are, and
`note` says why. Replicas and the manager never look here. A run's manifest says which form its router was.
"""

import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
"""Where the packages are."""
FOLDER = Path(__file__).resolve().with_name("binaries")
"""Holds a folder for each Python ABI."""
ABI = str(sysconfig.get_config_var("SOABI"))
RECORD = "compiled.json"
"""What was compiled from what: `modules` (their binaries), `sources` and `binaries` (their hashes)."""
SHARED = "__mypyc"
"""How the name of the module ends that holds what all of them share."""
INTERPRETED = "AEGIS_INTERPRETED"
"""Set to anything in the environment, the Python files are used."""


class _Finder(importlib.abc.MetaPathFinder):
    """Answers for the compiled modules only."""

    def __init__(self, files: dict[str, Path]) -> None:
        self.files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The binary of `fullname`, where it is one of them."""
        file = self.files.get(fullname)
        return None if file is None else importlib.util.spec_from_file_location(fullname, file)


class State:
    """Whether this process uses the compiled form."""

    is_installed = False
    is_compiled = False
    why_not: str | None = None
    """Where there is one that is not used, the reason."""
    _is_said = False

    def note(self) -> str | None:
        """One line where a compiled form is there and not used; only once a process."""
        if self.why_not is None or self._is_said:
            return None
        self._is_said = True
        return f"the compiled form is not used, the Python files are: {self.why_not}"


state = State()


def digest(file: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def reason_against(folder: Path, root: Path) -> str | None:
    """Why the binaries in `folder` may not be used beside the sources below `root`; None = they may."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        for name, known in record["sources"].items():
            if digest(root / name) != known:
                return f"{name} has changed since; `make fast` compiles it anew"
        if any(digest(folder / name) != known for name, known in record["binaries"].items()):
            return "they are not the files that were compiled; `make fast` compiles them anew"
    except (OSError, ValueError, KeyError, AttributeError) as error:
        return f"{type(error).__name__}: {error}; `make fast` compiles it anew"
    already = [name for name in record["modules"] if name in sys.modules]
    return f"{already[0]} had been imported before" if already else None


def install() -> None:
    """Let this process import the compiled form, if there is one and it fits; the first call decides.

    It comes before anything else is imported.
    """
    if state.is_installed or not FOLDER.is_dir() or os.environ.get(INTERPRETED):
        return
    state.is_installed = True
    folder = FOLDER / ABI
    if not folder.is_dir():
        built = [entry.name for entry in FOLDER.iterdir() if (entry / RECORD).exists()]
        state.why_not = f"it is for {', '.join(sorted(built))}, this is {ABI}" if built else None
        return
    state.why_not = reason_against(folder, ROOT)
    if state.why_not is None:
        modules = json.loads((folder / RECORD).read_text(encoding="utf-8"))["modules"]
        finder = _Finder({name: folder / file for name, file in modules.items()})
        sys.meta_path.insert(0, finder)
        try:
            importlib.import_module(next(name for name in modules if name.endswith(SHARED)))
        except (ImportError, StopIteration) as error:  # made for another system's libraries
            sys.meta_path.remove(finder)
            state.why_not = f"{error}; `make fast` compiles it anew"
        else:
            state.is_compiled = True
